//! Accepting connections from a listening socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::server::ShutdownWatch;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::handshake::{self, Established};
use super::worker::Open;
use crate::clock;

use super::{Application, ClientStream, Connection, SharedListener, Worker, http1, http2};

/// The first and the longest pause after a failure that the next attempt would meet as well, such as too
/// many open files.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The shortest time between two reports of such failures.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Accepts connections until `stop` becomes true. Connections that were accepted before are still served.
/// `number` is the position of the listener.
pub async fn accept<A: Application>(
    worker: Arc<Worker<A>>,
    socket: TcpListener,
    listener: SharedListener,
    number: usize,
    mut stop: ShutdownWatch,
) {
    let (mut pause, mut reported) = (PAUSES.0, None);
    loop {
        let accepted = tokio::select! {
            biased;
            // An error means that the sender is gone because the server has ended.
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                pause = PAUSES.0;
                let connection = Connection::new(peer, listener.load_full());
                match worker.application.admit_connection(&connection, number) {
                    Some(permit) => {
                        let open = Open::new(&worker, permit);
                        tokio::spawn(serve(open, socket, Box::new(connection), stop.clone()));
                    }
                    None => reset(&socket),
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if reported.is_none_or(|at| clock::since(at) >= REPORT_EVERY) {
                    log::error!("cannot accept connections: {error}; trying again");
                    reported = Some(clock::now());
                }
                tokio::time::sleep(pause).await;
                pause = PAUSES.1.min(2 * pause);
            }
        }
    }
}

/// Whether the error concerns only a client that closed its connection before it was accepted
/// (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Has the kernel reset a refused connection when it is closed. After a reset no `TIME_WAIT` state remains.
fn reset(socket: &TcpStream) {
    // If this fails, the connection is closed the ordinary way.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

async fn serve<A: Application>(
    mut open: Open<A>,
    socket: TcpStream,
    connection: Box<Connection>,
    stop: ShutdownWatch,
) {
    // Responses are written whole, so waiting for more bytes (Nagle's algorithm) gains nothing.
    let _ = socket.set_nodelay(true);
    // A task has room for its largest future during its whole life. The handshake and HTTP/2 are boxed, so
    // that a task is only as large as HTTP/1 needs.
    let Some(Established { transport, ahead, connection, is_http2 }) =
        Box::pin(handshake::establish(&mut open, socket, *connection)).await
    else {
        return;
    };
    let worker = &open.worker;
    let connection = Arc::new(connection);
    let time = worker.application.limits().time;
    let mut stream = Box::new(ClientStream::new(transport, ahead, connection.clone(), time.write));
    if is_http2 || connection.listener.h2c && http2::has_preface(worker, &mut stream).await {
        stream.become_http2(time.header);
        Box::pin(http2::serve(worker, stream, &connection, &stop)).await;
    } else {
        http1::serve(worker, stream, &connection, &stop).await;
    }
}
