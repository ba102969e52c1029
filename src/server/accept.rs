//! Accepting connections. Pingora's own loop cuts every waiting connection at shutdown, also one
//! whose request is on its way; this one lets each send its next request, answered with
//! `Connection: close`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora_core::apps::ServerApp;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::{GetSocketDigest, SocketDigest};
use pingora_core::server::ShutdownWatch;
use tokio::net::{TcpListener, TcpStream};

/// How long to wait when the process is out of file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Accepts until `stop` says so, then what the kernel holds already, and closes the socket.
pub(super) async fn serve<A: ServerApp + Send + Sync + 'static>(
    socket: std::net::TcpListener,
    app: Arc<A>,
    stop: ShutdownWatch,
    connections: Arc<AtomicUsize>,
) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return log::error!("cannot accept connections: {error}"),
    };
    let begin = |connection| {
        let (app, stop, open) = (app.clone(), stop.clone(), Open::new(&connections));
        tokio::spawn(async move {
            if let Some(stream) = prepare(connection) {
                let mut next = app.process_new(Box::new(stream), &stop).await;
                while let Some(stream) = next {
                    next = app.process_new(stream, &stop).await;
                }
            }
            drop(open);
        });
    };
    let mut stopping = stop.clone();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => break,
            accepted = listener.accept() => match accepted {
                Ok(connection) => begin(connection),
                Err(error) => rest_after(&error).await,
            },
        }
    }
    if let Ok(socket) = listener.into_std() {
        while let Ok((connection, peer)) = socket.accept() {
            let connection = connection.set_nonblocking(true).and_then(|()| TcpStream::from_std(connection));
            if let Ok(connection) = connection {
                begin((connection, peer));
            }
        }
    }
}

async fn stopped(stop: &mut ShutdownWatch) {
    // An error means that the sender is gone, and so is the server.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// A connection as Pingora wants it.
fn prepare((connection, peer): (TcpStream, SocketAddr)) -> Option<Stream> {
    // Fails when the client has gone already.
    connection.set_nodelay(true).ok()?;
    let digest = SocketDigest::from_raw_fd(connection.as_raw_fd());
    // Known from accepting: saves a system call a request.
    let _ = digest.peer_addr.set(Some(peer.into()));
    let mut stream = Stream::from(connection);
    stream.set_socket_digest(digest);
    Some(stream)
}

/// A client that hung up while it waited is no trouble; no file descriptors left is.
async fn rest_after(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
        log::error!("cannot accept a connection: {error}");
        tokio::time::sleep(EXHAUSTED).await;
    }
}

/// Counts a connection for as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}
