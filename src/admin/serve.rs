//! Connections to the admin listener: few at a time, and none for long without a request. A flood of
//! them uses up neither the descriptors of the process nor the place of a probe.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use parking_lot::Mutex;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{Stream, l4};
use pingora_http::RequestHeader;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Notify, watch};
use tokio::task::block_in_place;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::access::Peer;
use super::tls::TlsConnection;

/// Connections at a time. One more closes the one that has waited longest for its client.
pub const MAX_CONNECTIONS: usize = 64;

/// How long the TLS handshake and the first request of a connection may each take to come.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How long a connection is kept open for another request. Longer than the usual interval of a scraper.
const NEXT_REQUEST: Duration = Duration::from_secs(75);

/// How long the client may take to receive an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Bytes of a body that are written at once. After each part the thread yields the core, so that the metrics of ten
/// thousand routes do not delay requests.
const PART: usize = 32 * 1024;

/// The first and the longest pause after a failure to accept, such as too many open files.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What answers the requests of a listener.
pub(super) trait Pages: Send + Sync + 'static {
    fn answer(&self, request: &RequestHeader, peer: Peer) -> Response<Vec<u8>>;

    /// Makes the handshakes of TCP connections; `None` if they are in clear text.
    fn acceptor(&self) -> Option<TlsAcceptor> {
        None
    }
}

/// A listening socket for operators.
pub enum AdminListener {
    /// For any client that reaches the address.
    Tcp(TcpListener),
    /// For processes that may use the socket.
    Unix(UnixListener),
}

/// A connection as it was accepted.
enum NewConnection {
    Tcp(TcpStream),
    /// Over a unix socket, without a handshake.
    Plain(Stream),
}

impl AdminListener {
    async fn accept(&self) -> io::Result<(NewConnection, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                // Answers are written whole: nothing is gained by waiting for more.
                let _ = socket.set_nodelay(true);
                Ok((NewConnection::Tcp(socket), Peer::Tcp(peer)))
            }
            Self::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                let peer = socket.peer_cred()?;
                let peer = Peer::Unix { user: peer.uid(), process: peer.pid() };
                Ok((NewConnection::Plain(Box::new(l4::stream::Stream::from(socket))), peer))
            }
        }
    }
}

/// Accepts and serves connections until `stop` says so.
pub(super) async fn serve(pages: Arc<impl Pages>, listener: AdminListener, mut stop: watch::Receiver<bool>) {
    let connections = Arc::new(Connections::default());
    let mut pause = PAUSES.0;
    loop {
        let accepted = tokio::select! {
            // An error means that the sender is gone, and with it the server.
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((transport, peer)) => {
                pause = PAUSES.0;
                if let Some(open) = connections.open() {
                    let (pages, is_stopping) = (pages.clone(), stop.clone());
                    tokio::spawn(async move {
                        if let Some(stream) = greet(transport, pages.acceptor(), &open).await {
                            converse(pages, stream, peer, open, is_stopping).await;
                        }
                    });
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                log::error!("admin: cannot accept connections: {error}; trying again in {pause:?}");
                tokio::time::sleep(pause).await;
                pause = PAUSES.1.min(2 * pause);
            }
        }
    }
}

/// The client was gone before its connection was accepted (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused)
}

/// Makes the TLS handshake if there is one. Returns `None` if it fails.
async fn greet(
    accepted: NewConnection,
    acceptor: Option<TlsAcceptor>,
    open: &OpenConnection,
) -> Option<Stream> {
    match (accepted, acceptor) {
        (NewConnection::Plain(stream), _) => Some(stream),
        (NewConnection::Tcp(socket), None) => Some(Box::new(l4::stream::Stream::from(socket))),
        (NewConnection::Tcp(socket), Some(acceptor)) => tokio::select! {
            stream = timeout(FIRST_REQUEST, acceptor.accept(socket)) => {
                Some(Box::new(TlsConnection(stream.ok()?.ok()?)))
            }
            () = open.close.notified() => None,
        },
    }
}

async fn converse(
    pages: Arc<impl Pages>,
    stream: Stream,
    peer: Peer,
    mut open: OpenConnection,
    is_stopping: watch::Receiver<bool>,
) {
    let (mut next, mut patience) = (Some(stream), FIRST_REQUEST);
    while let Some(stream) = next.take() {
        let mut session = ServerSession::new_http1(stream);
        let has_request = tokio::select! {
            // A request that has come is answered, even if another connection needs the room.
            biased;
            read = timeout(patience, session.read_request()) => matches!(read, Ok(Ok(true))),
            () = open.close.notified() => false,
        };
        if !has_request {
            return;
        }
        open.has_request();
        let request = session.req_header();
        // The metrics of ten thousand routes take a while: other tasks of this thread move to another one.
        let response = block_in_place(|| pages.answer(request, peer));
        session.set_keepalive(if *is_stopping.borrow() { None } else { Some(NEXT_REQUEST.as_secs()) });
        next = timeout(ANSWER, send(session, response)).await.ok().flatten();
        open.waits();
        patience = NEXT_REQUEST;
    }
}

/// Sends the response. Returns the stream if the connection stays open.
async fn send(mut session: ServerSession, response: Response<Vec<u8>>) -> Option<Stream> {
    let (parts, body) = response.into_parts();
    session.write_response_header(Box::new(parts.into())).await.ok()?;
    let mut body = Bytes::from(body);
    while !body.is_empty() {
        let part = body.split_to(body.len().min(PART));
        session.write_response_body(part, body.is_empty()).await.ok()?;
        std::thread::yield_now();
    }
    // A client that sends the next request before the answer has to connect again.
    let (stream, pipelined) = session.finish().await.ok()??.into_parts();
    pipelined.is_none_or(|bytes| bytes.is_empty()).then_some(stream)
}

#[derive(Default)]
struct Connections {
    open: AtomicUsize,
    numbers: AtomicU64,
    /// Connections that wait for their client, the one that has waited longest first. A notification closes one.
    waiting: Mutex<BTreeMap<u64, Arc<Notify>>>,
}

impl Connections {
    /// Room for another connection, which waits for its client from now on. Closes the one that has
    /// waited longest if there are too many, and is `None` if every connection is being answered.
    fn open(self: &Arc<Self>) -> Option<OpenConnection> {
        if self.open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            let (_, longest) = self.waiting.lock().pop_first()?;
            longest.notify_one();
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        let mut open = OpenConnection { connections: self.clone(), close: Arc::default(), number: 0 };
        open.waits();
        Some(open)
    }
}

struct OpenConnection {
    connections: Arc<Connections>,
    /// Notified if another connection needs the room.
    close: Arc<Notify>,
    /// The key of this connection in [`Connections::waiting`].
    number: u64,
}

impl OpenConnection {
    fn waits(&mut self) {
        self.number = self.connections.numbers.fetch_add(1, Ordering::Relaxed);
        self.connections.waiting.lock().insert(self.number, self.close.clone());
    }

    fn has_request(&self) {
        self.connections.waiting.lock().remove(&self.number);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.waiting.lock().remove(&self.number);
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_of_connections_leaves_room_for_the_next() {
        let connections = Arc::new(Connections::default());
        // None of their tasks has run yet.
        let burst: Vec<OpenConnection> =
            (0..2 * MAX_CONNECTIONS).map(|_| connections.open().unwrap()).collect();
        assert!(connections.open().is_some());
        drop(burst);
        assert_eq!(connections.open.load(Ordering::Relaxed), 0);
        assert!(connections.waiting.lock().is_empty());
    }

    #[test]
    fn connections_that_are_answered_are_not_closed() {
        let connections = Arc::new(Connections::default());
        let answered: Vec<OpenConnection> =
            (0..MAX_CONNECTIONS).map(|_| connections.open().unwrap()).collect();
        answered.iter().for_each(OpenConnection::has_request);
        assert!(connections.open().is_none());
    }
}
