//! HTTP/2 on one connection: streams side by side, each a request.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{self, H2Accept, H2Options, HttpSession};
use pingora_core::protocols::{Digest, GetProxyDigest, GetSocketDigest};
use pingora_core::server::ShutdownWatch;
use tokio::time::{Instant, interval_at, timeout};

use super::stream::ClientStream;
use super::{IDLE, Worker};

/// What a client begins an HTTP/2 connection with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long the preface and the first settings may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Streams at a time. A client that needs more opens another connection.
const STREAMS: u32 = 100;

/// Streams that the client has reset and nobody has looked at yet; more end the connection (rapid
/// reset, CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// Streams that the gateway itself had to reset over the whole life of a connection.
const MALFORMED: usize = 32;

/// Bytes of all fields of a request, as RFC 9113 §6.5.2 counts them.
const HEADER_LIST: u32 = 64 * 1024;

/// Bytes of a body on the way to the gateway, for a stream and for all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

fn options() -> H2Options {
    let mut options = server::default_h2_options();
    options
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(MALFORMED))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    options
}

/// Whether the client of a connection in clear text begins with HTTP/2 (RFC 9113 §3.3).
pub(super) async fn begins(stream: &mut ClientStream) -> bool {
    let preface = poll_fn(|context| stream.poll_preface(PREFACE, context));
    timeout(HANDSHAKE, preface).await.is_ok_and(|preface| preface == Some(true))
}

/// Serves requests until one of the two ends the connection. A draining process tells the client so
/// with GOAWAY (RFC 9113 §6.8), and answers what it has sent.
pub(super) async fn serve(worker: &Worker, stream: Box<ClientStream>, stop: &ShutdownWatch) {
    let digest = Arc::new(Digest {
        ssl_digest: None,
        timing_digest: Vec::new(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let Ok(Ok(mut connection)) = timeout(HANDSHAKE, server::handshake(stream, Some(options()))).await else {
        return;
    };
    let requests = Arc::new(Requests::default());
    let mut stopping = stop.clone();
    let mut is_draining = false;
    let mut malformed = 0;
    let mut seen = 0;
    // Two looks at a connection on which nothing has happened in between.
    let mut look = interval_at(Instant::now() + IDLE / 2, IDLE / 2);
    loop {
        let accepted = tokio::select! {
            biased;
            () = until(&mut stopping), if !is_draining => {
                is_draining = true;
                connection.graceful_shutdown();
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => accepted,
            _ = look.tick() => {
                let ended = requests.ended.load(Ordering::Relaxed);
                match requests.are_idle() && ended == seen {
                    true if is_draining => return,
                    true => {
                        is_draining = true;
                        connection.graceful_shutdown();
                    }
                    false => seen = ended,
                }
                continue;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                let request = Request::new(&requests);
                let (proxy, stop) = (worker.proxy.clone(), stop.clone());
                tokio::spawn(async move {
                    let _request = request;
                    proxy.process_new_http(ServerSession::new_http2(session), &stop).await;
                });
            }
            Ok(Some(H2Accept::Rejected)) => {
                malformed += 1;
                if malformed == MALFORMED {
                    return;
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

async fn until(stopping: &mut ShutdownWatch) {
    // An error means that the sender is gone, and with it the server.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// The requests of a connection.
#[derive(Default)]
struct Requests {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Requests {
    fn are_idle(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == self.ended.load(Ordering::Relaxed)
    }
}

/// One of them, for as long as it lasts.
struct Request(Arc<Requests>);

impl Request {
    fn new(requests: &Arc<Requests>) -> Self {
        requests.begun.fetch_add(1, Ordering::Relaxed);
        Self(requests.clone())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
