//! Accepting connections from a listening socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::server::ShutdownWatch;
use tokio::net::{TcpListener, TcpStream};

use super::stream::ClientStream;
use super::{Open, Worker, http1};
use crate::proxy::Connection;

/// After a failure that another attempt would meet at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `stop` says so. What was accepted is served on, also after that.
pub async fn accept(worker: Arc<Worker>, listener: TcpListener, mut stop: ShutdownWatch) {
    loop {
        let accepted = tokio::select! {
            biased;
            // An error means that the sender is gone, and with it the server.
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let open = Open::new(&worker);
                tokio::spawn(serve(open, socket, peer, stop.clone()));
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

async fn serve(open: Open, socket: TcpStream, peer: SocketAddr, stop: ShutdownWatch) {
    // Answers are written whole: nothing is won by waiting for more.
    let _ = socket.set_nodelay(true);
    let connection = Arc::new(Connection::new(peer));
    match ClientStream::new(socket, connection.clone()) {
        Ok(stream) => http1::serve(&open.0, Box::new(stream), &connection, &stop).await,
        Err(error) => log::error!("a connection from {peer} cannot be served: {error}"),
    }
}
