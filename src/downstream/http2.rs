//! HTTP/2 on one connection: requests side by side, each on a stream of its own.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use pingora_core::protocols::http::v2::server::{self, H2Accept, H2Options, HttpSession};
use pingora_core::protocols::{Digest, GetProxyDigest, GetSocketDigest};
use pingora_core::server::ShutdownWatch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{Application, ClientStream, Connection, Http2Request, Worker};
use crate::admission::ProtocolLimits;
use crate::clock;
use crate::http::PREFACE;

/// Concurrent streams. A client that needs more opens another connection.
const STREAMS: u32 = 100;

/// Streams that the client has reset before the gateway took them. More end the connection (rapid
/// reset, CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// Malformed requests on one connection. More end the connection.
const MALFORMED: usize = 32;

/// Streams on one connection that the gateway has reset, because they were malformed or more than
/// [`STREAMS`]. More end the connection (CVE-2025-8671). A fast client may open many streams before it
/// learns of the limit, so the number is generous.
const OWN_RESETS: usize = 256;

/// Bytes of request bodies that may be on their way to the gateway: of one stream, and of all streams
/// of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The most response bytes of one stream that flow control has admitted and the connection has not taken yet.
const SEND_BUFFER: usize = 32 * 1024;

/// How long an unwanted client may take to read the last frames.
const FAREWELL: Duration = Duration::from_secs(1);

fn options(limits: &ProtocolLimits) -> H2Options {
    let mut options = server::default_h2_options();
    // The size of a header list counts 32 bytes more for each field (RFC 9113 §6.5.2).
    let header_list = limits.head.bytes + 32 * limits.head.fields;
    options
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(OWN_RESETS))
        .max_send_buffer_size(SEND_BUFFER)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    options
}

/// Whether a connection without TLS begins with the preface of HTTP/2 (RFC 9113 §3.3).
pub(super) async fn has_preface<A: Application>(worker: &Worker<A>, stream: &mut ClientStream) -> bool {
    let preface = poll_fn(|context| stream.poll_preface(PREFACE, context));
    let limit = worker.application.limits().time.header;
    timeout(limit, preface).await.is_ok_and(|preface| preface == Some(true))
}

/// Serves requests until the client or the gateway ends the connection. When the process drains, the
/// client is told by GOAWAY (RFC 9113 §6.8), and the requests that it has sent are answered.
pub(super) async fn serve<A: Application>(
    worker: &Arc<Worker<A>>,
    stream: Box<ClientStream>,
    connection: &Connection,
    stop: &ShutdownWatch,
) {
    let limits = worker.application.limits();
    let started = clock::now();
    let digest = Arc::new(Digest {
        ssl_digest: None,
        timing_digest: Vec::new(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let handshake = timeout(limits.time.header, server::handshake(stream, Some(options(&limits)))).await;
    let Ok(Ok(mut streams)) = handshake else { return };
    let requests = Arc::new(Requests::default());
    let mut stopping = stop.clone();
    // The time at which GOAWAY was sent.
    let mut draining: Option<Instant> = None;
    let mut malformed = 0;
    let mut seen = 0;
    // The connection is idle if no request has run or ended between two ticks.
    let half = limits.time.idle / 2;
    let mut ticks = interval_at(clock::timer() + half, half);
    // After a pause of the process, two ticks at once would find every connection idle.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            biased;
            () = until(&mut stopping), if draining.is_none() => {
                draining = Some(clock::timer());
                streams.graceful_shutdown();
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut streams, digest.clone()) => accepted,
            _ = ticks.tick() => {
                let ended = requests.ended.load(Ordering::Relaxed);
                let is_idle = requests.are_idle() && ended == seen;
                seen = ended;
                if is_idle && draining.is_some() {
                    return;
                }
                if draining.is_none() && (is_idle || clock::since(started) >= limits.age) {
                    draining = Some(clock::timer());
                    streams.graceful_shutdown();
                }
                continue;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                // A client that has seen GOAWAY opens no more streams. A client that keeps opening
                // streams long after it ignores GOAWAY.
                let ignores_goaway =
                    draining.is_some_and(|since| clock::timer().duration_since(since) > limits.time.header);
                if ignores_goaway || connection.is_ended() {
                    streams.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    // A client that does not read the frame in time loses it.
                    let _ = timeout(FAREWELL, poll_fn(|context| streams.poll_closed(context))).await;
                    return;
                }
                let counted = Counted::new(&requests);
                if draining.is_none() && counted.number >= limits.requests {
                    draining = Some(clock::timer());
                    streams.graceful_shutdown();
                }
                let request = Http2Request { session, limits };
                let (worker, stop) = (worker.clone(), stop.clone());
                tokio::spawn(async move {
                    let _counted = counted;
                    worker.application.serve_http2(request, &stop).await;
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
    // An error means that the sender is gone because the server has ended.
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

/// Counts one request for as long as it lives.
struct Counted {
    requests: Arc<Requests>,
    /// The position on its connection, from 1.
    number: usize,
}

impl Counted {
    fn new(requests: &Arc<Requests>) -> Self {
        let number = requests.begun.fetch_add(1, Ordering::Relaxed) + 1;
        Self { requests: requests.clone(), number }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.requests.ended.fetch_add(1, Ordering::Relaxed);
    }
}
