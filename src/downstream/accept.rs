//! Accepting connections from a listening socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::server::ShutdownWatch;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::stream::ClientStream;
use super::{Open, SharedListener, Worker, greeting, http1, http2};
use crate::downstream::greeting::Greeted;
use crate::limits::Outcome;
use crate::proxy::Connection;

/// After a failure that another attempt would meet at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `stop` says so. What was accepted is served on, also after that. `number` is the
/// listener's, for its count of connections.
pub async fn accept(
    worker: Arc<Worker>,
    socket: TcpListener,
    listener: SharedListener,
    number: usize,
    mut stop: ShutdownWatch,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            // An error means that the sender is gone, and with it the server.
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let connection = Connection::new(peer, listener.load_full());
                match worker.shared.snapshot.load().limits.admit_connection(connection.known_client(), number)
                {
                    Ok(permit) => {
                        let open = Open::new(&worker, permit);
                        tokio::spawn(serve(open, socket, connection, stop.clone()));
                    }
                    Err(cause) => {
                        worker.shared.metrics.limited(cause, Outcome::Refused);
                        reset(&socket);
                    }
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                log::error!("cannot accept connections: {error}; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The client was gone before it was accepted (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Closes it so that nothing is left of it, here or in the kernel: no answer, no `TIME_WAIT`.
fn reset(socket: &TcpStream) {
    // Where it fails, it is closed the ordinary way.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

async fn serve(mut open: Open, socket: TcpStream, connection: Connection, stop: ShutdownWatch) {
    // Answers are written whole: nothing is won by waiting for more.
    let _ = socket.set_nodelay(true);
    let Some(Greeted { transport, ahead, connection, is_http2 }) =
        greeting::greet(&mut open, socket, connection).await
    else {
        return;
    };
    let worker = &open.worker;
    let connection = Arc::new(connection);
    let time = worker.bounds().time;
    let mut stream = match ClientStream::new(transport, ahead, connection.clone(), time.write) {
        Ok(stream) => Box::new(stream),
        Err(error) => return log::error!("a connection cannot be served: {error}"),
    };
    if is_http2 || connection.listener.h2c && http2::begins(worker, &mut stream).await {
        stream.becomes_http2(time.header);
        http2::serve(worker, stream, &connection, &stop).await;
    } else {
        http1::serve(worker, stream, &connection, &stop).await;
    }
}
