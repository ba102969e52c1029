//! HTTP/2 on one connection: streams side by side, each a request.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::time::Duration;

use h2::Reason;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{self, H2Accept, H2Options, HttpSession};
use pingora_core::protocols::{Digest, GetProxyDigest, GetSocketDigest};
use pingora_core::server::ShutdownWatch;
use tokio::time::{Instant, interval_at, timeout};

use super::stream::ClientStream;
use super::{BodyWatch, Worker};
use crate::admission::ProtocolLimits as Bounds;
use crate::http::PREFACE;
use crate::proxy::Connection;

/// Streams at a time. A client that needs more opens another connection.
const STREAMS: u32 = 100;

/// Streams that the client has reset and nobody has looked at yet; more end the connection (rapid
/// reset, CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// Malformed requests over the whole life of a connection.
const MALFORMED: usize = 32;

/// Streams that the gateway itself had to reset over that life, malformed or beyond [`STREAMS`]: a client
/// that is fast and well-meant may open many before it hears how many it may (CVE-2025-8671 is about
/// clients that bring it about again and again).
const OWN_RESETS: usize = 256;

/// Bytes of a body on the way to the gateway, for a stream and for all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// For which a client that is sent away may take what is left for it.
const LEAVE: Duration = Duration::from_secs(1);

fn options(bounds: &Bounds) -> H2Options {
    let mut options = server::default_h2_options();
    // RFC 9113 §6.5.2 adds 32 bytes to each field.
    let header_list = bounds.head.bytes + 32 * bounds.head.fields;
    options
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(OWN_RESETS))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    options
}

/// Whether the client of a connection in clear text begins with HTTP/2 (RFC 9113 §3.3).
pub(super) async fn begins(worker: &Worker, stream: &mut ClientStream) -> bool {
    let preface = poll_fn(|context| stream.poll_preface(PREFACE, context));
    timeout(worker.bounds().time.header, preface).await.is_ok_and(|preface| preface == Some(true))
}

/// Serves requests until one of the two ends the connection. A draining process tells the client so
/// with GOAWAY (RFC 9113 §6.8), and answers what it has sent.
pub(super) async fn serve(
    worker: &Worker,
    stream: Box<ClientStream>,
    connection: &Connection,
    stop: &ShutdownWatch,
) {
    let bounds = worker.bounds();
    let started = Instant::now();
    let digest = Arc::new(Digest {
        ssl_digest: None,
        timing_digest: Vec::new(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let shaken = timeout(bounds.time.header, server::handshake(stream, Some(options(&bounds)))).await;
    let Ok(Ok(mut streams)) = shaken else { return };
    let requests = Arc::new(Requests::default());
    let mut stopping = stop.clone();
    // Since when the client has been told to go elsewhere.
    let mut draining: Option<Instant> = None;
    let mut malformed = 0;
    let mut seen = 0;
    // Two looks at a connection on which nothing has happened in between.
    let half = bounds.time.idle / 2;
    let mut look = interval_at(Instant::now() + half, half);
    loop {
        let accepted = tokio::select! {
            biased;
            () = until(&mut stopping), if draining.is_none() => {
                draining = Some(Instant::now());
                streams.graceful_shutdown();
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut streams, digest.clone()) => accepted,
            _ = look.tick() => {
                let ended = requests.ended.load(Ordering::Relaxed);
                let is_idle = requests.are_idle() && ended == seen;
                seen = ended;
                if is_idle && draining.is_some() {
                    return;
                }
                if draining.is_none() && (is_idle || started.elapsed() >= bounds.age) {
                    draining = Some(Instant::now());
                    streams.graceful_shutdown();
                }
                continue;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                // Whoever has taken note of the GOAWAY opens no stream any more; it is final only
                // once the client has said so, which it may never do.
                let is_deaf = draining.is_some_and(|since| since.elapsed() > bounds.time.header);
                if is_deaf || connection.is_ended() {
                    streams.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    // Whoever does not read this in time goes without it.
                    let _ = timeout(LEAVE, poll_fn(|context| streams.poll_closed(context))).await;
                    return;
                }
                let request = Request::new(&requests);
                if draining.is_none() && request.number >= bounds.requests {
                    draining = Some(Instant::now());
                    streams.graceful_shutdown();
                }
                let (proxy, stop) = (worker.proxy.clone(), stop.clone());
                let watch = (!session.is_body_empty()).then(BodyWatch::new);
                tokio::spawn(async move {
                    let _request = request;
                    let work = async {
                        proxy.process_new_http(ServerSession::new_http2(session), &stop).await;
                    };
                    match watch {
                        Some(watch) => watch.watch(&bounds, work).await,
                        None => work.await,
                    }
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
struct Request {
    requests: Arc<Requests>,
    /// Counted from 1.
    number: usize,
}

impl Request {
    fn new(requests: &Arc<Requests>) -> Self {
        let number = requests.begun.fetch_add(1, Ordering::Relaxed) + 1;
        Self { requests: requests.clone(), number }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.requests.ended.fetch_add(1, Ordering::Relaxed);
    }
}
