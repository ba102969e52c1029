//! Accepting connections from a listening socket.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_core::server::ShutdownWatch;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::stream::ClientStream;
use super::{Open, Worker, http1, http2};
use crate::config::Listener;
use crate::proxy::Connection;

/// How long the client of a connection in clear text may take to show which protocol it speaks.
const PREFACE: Duration = Duration::from_secs(10);

/// After a failure that another attempt would meet at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `stop` says so. What was accepted is served on, also after that.
pub async fn accept(
    worker: Arc<Worker>,
    listener: TcpListener,
    settings: Arc<ArcSwap<Listener>>,
    mut stop: ShutdownWatch,
) {
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
                tokio::spawn(serve(open, socket, peer, settings.load_full(), stop.clone()));
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

async fn serve(
    open: Open,
    socket: TcpStream,
    peer: SocketAddr,
    listener: Arc<Listener>,
    stop: ShutdownWatch,
) {
    // Answers are written whole: nothing is won by waiting for more.
    let _ = socket.set_nodelay(true);
    let connection = Arc::new(Connection::new(peer));
    match ClientStream::new(socket, connection.clone()) {
        Ok(stream) => speak(&open.0, Box::new(stream), &connection, &stop, listener.h2c).await,
        Err(error) => log::error!("a connection from {peer} cannot be served: {error}"),
    }
}

/// HTTP/2 where it is allowed and the client begins with it (RFC 9113 §3.3), otherwise HTTP/1.
async fn speak(
    worker: &Worker,
    mut stream: Box<ClientStream>,
    connection: &Connection,
    stop: &ShutdownWatch,
    has_h2c: bool,
) {
    let is_http2 = async {
        let preface = poll_fn(|context| stream.poll_preface(http2::PREFACE, context));
        has_h2c && timeout(PREFACE, preface).await.is_ok_and(|preface| preface == Some(true))
    };
    if is_http2.await {
        stream.becomes_http2();
        http2::serve(worker, stream, stop).await;
    } else {
        http1::serve(worker, stream, connection, stop).await;
    }
}
