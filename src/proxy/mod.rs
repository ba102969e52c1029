//! The life of a request, as Pingora's phases. Each hook converts, calls and records; the
//! decisions are made in [`crate::policy`] and [`crate::approov`], which know nothing of Pingora.

mod admit;
mod answer;
mod client;
mod connection;
mod context;
mod exchange;
mod extract;
mod failure;
mod forward;
mod grpc;
mod limit_state;
mod record;
mod snapshot;
mod unparsed;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{EXPECT, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_core::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::admission::Refusal;
use crate::downstream::BodyWatch;
use crate::limits::Cause;
use crate::policy::Verdict;
use crate::telemetry::{AccessLogSink, Metrics};
use crate::upstream::{NextRequest, TUNNEL_IDLE};

use client::Client;
pub use connection::{Connection, TlsSession};
pub use context::RequestContext;
use context::Watched;
use record::Sent;
pub use snapshot::Snapshot;
pub use unparsed::{Unparsed, UnparsedRequest};

/// What all requests and all workers share.
pub struct Shared {
    /// The configuration in force; a request takes it once, at its start.
    pub snapshot: ArcSwap<Snapshot>,
    /// Where finished requests are logged.
    pub access_log: AccessLogSink,
    /// Everything counted.
    pub metrics: Arc<Metrics>,
    /// The listeners' labels in metrics, by position.
    pub listeners: Vec<Box<str>>,
}

/// The proxy application of one worker.
pub struct Gateway {
    shared: Arc<Shared>,
    in_flight: Arc<AtomicUsize>,
}

impl Gateway {
    /// An application that counts its unfinished requests in `in_flight`.
    pub fn new(shared: Arc<Shared>, in_flight: Arc<AtomicUsize>) -> Self {
        Self { shared, in_flight }
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::new(self.shared.snapshot.load_full(), self.in_flight.clone())
    }

    /// No module is wanted; Pingora's default, compression, costs on every request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    /// 1. Route, verify, refuse.
    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        let time = ctx.snapshot.limits.protocol.time;
        session.set_read_timeout(Some(time.body));
        session.set_write_timeout(Some(time.write));
        if let Some(connection) = Connection::of(session) {
            ctx.client = Some(Client::of(connection, session.req_header()));
            ctx.connection = Some(connection.clone());
        }
        ctx.watched = BodyWatch::current().map(|watch| {
            Box::new(Watched { watch, shared: self.shared.clone(), request: session.req_header().clone() })
        });
        match self.admit(session, ctx) {
            Ok(()) => {
                if ctx.verdict == Verdict::Accepted && grpc::is_call(session.req_header()) {
                    // Its messages are a conversation, which may pause.
                    ctx.watch_no_longer();
                }
                ctx.is_tunnel = extract::settle_upgrade(session.req_header_mut());
                if ctx.is_tunnel {
                    session.set_read_timeout(Some(TUNNEL_IDLE));
                    session.set_write_timeout(Some(TUNNEL_IDLE));
                }
                if session.req_header().version == Version::HTTP_10 {
                    // It would take an interim response for the final one (RFC 9110 §15.2), and
                    // cannot ask for one (§10.1.1).
                    session.set_ignore_info_resp(true);
                    session.req_header_mut().remove_header(&EXPECT);
                }
                Ok(false)
            }
            Err(answer) => {
                if ctx.is_unwelcome() {
                    ctx.end_connection(session);
                }
                let sent = ctx.snapshot.answers.send(session, answer, &ctx.notes()).await;
                sent.map_err(Error::into_down)?;
                Ok(true)
            }
        }
    }

    /// 2. Choose the origin's address. Called again after a failure to connect.
    async fn upstream_peer(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
        ctx.choose_peer(session.is_body_empty()).await
    }

    /// The connection learns that a request begins, and which answers it can have.
    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _descriptor: RawFd,
        digest: Option<&Digest>,
        _ctx: &mut RequestContext,
    ) -> Result<()> {
        if let Some(digest) = digest {
            NextRequest::announce(digest, &session.req_header().method);
        }
        Ok(())
    }

    /// 3. What the origin gets to see. Pingora has removed hop-by-hop fields already.
    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let upstream = ctx.upstream().ok_or_else(failure::no_route)?;
        ctx.snapshot.forwarding.apply(request, ctx.client.as_ref(), upstream.origin())
    }

    /// No more than may be sent, and not for longer than the origin may take.
    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        is_end: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        if ctx.takes_too_much(body.as_ref().map_or(0, Bytes::len), is_end) {
            self.refuse(&mut ctx.limited, Refusal::by(Cause::BodySize));
            return Err(failure::too_large());
        }
        ctx.time_left().map(drop)
    }

    /// 4. The origin has answered. Another of its addresses may have a better answer.
    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let is_switch = response.status == StatusCode::SWITCHING_PROTOCOLS;
        if is_switch && !(ctx.is_tunnel && extract::accepts_handshake(session.req_header(), response)) {
            return Err(failure::unasked_switch());
        }
        let is_interim = response.status.is_informational() && !is_switch;
        if !is_interim && ctx.answered(response.status, session) { Err(failure::resend()) } else { Ok(()) }
    }

    /// 5. What the client gets to see of the origin's response.
    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        if let Some(hsts) = ctx.hsts() {
            response.insert_header(STRICT_TRANSPORT_SECURITY, hsts.clone())?;
        }
        if let Some(rate) = &ctx.rate {
            answer::insert_rate(response, rate)?;
        }
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(connection)) = (response.status, &ctx.connection) {
            connection.becomes_tunnel();
            // It may last for hours, and the connection counts as one.
            ctx.permit = None;
        }
        if session.req_header().version == Version::HTTP_10 {
            // It knows no chunks (RFC 9112 §6.1): the end of the connection ends the body.
            response.remove_header(&TRANSFER_ENCODING);
        }
        if !response.status.is_informational() {
            // The two talk with each other.
            ctx.watch_no_longer();
        }
        if let Some(upstream) = ctx.upstream() {
            forward::clean_response(response, upstream.origin())?;
        }
        Ok(())
    }

    /// Not for longer than the origin may take.
    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _is_end: bool,
        ctx: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        ctx.time_left().map(|_| None)
    }

    /// The origin cannot be reached. Nothing has been sent, so another address may be tried.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut RequestContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(ctx.connect_failed(&error));
        error
    }

    /// The connection to the origin failed under way.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut RequestContext,
        was_kept: bool,
    ) -> Box<Error> {
        if failure::is_resend(&error) {
            return error;
        }
        let mut error = error.more_context(format!("origin {}", peer.address()));
        error.set_retry(ctx.exchange_failed(&error, session, was_kept));
        error
    }

    /// 6. The answer when there is none of the origin.
    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut RequestContext,
    ) -> FailToProxy {
        if ctx.error.is_none() {
            ctx.error = Some(failure::label(error));
        }
        let error_code = match failure::answer(error) {
            Some(answer) if session.response_written().is_none() => {
                session.set_keepalive(None);
                match ctx.snapshot.answers.send(session, answer, &ctx.notes()).await {
                    Ok(()) => ctx.snapshot.answers.status(answer).as_u16(),
                    Err(_) => 0,
                }
            }
            _ => 0,
        };
        if !session.is_http2() {
            // Sends what is gathered of an answer that was cut off, so that the client gets what the log
            // says it got.
            session.shutdown().await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// 7. Count and log.
    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut RequestContext) {
        if let (Some(error), None) = (error, ctx.error) {
            ctx.error = Some(failure::label(error));
        }
        if let Some(slow) = error.and_then(failure::slowness) {
            self.refuse(&mut ctx.limited, Refusal::by(slow));
        }
        let sent = Sent {
            status: session.response_written().map(|response| response.status.as_u16()),
            request_bytes: session.body_bytes_read(),
            response_bytes: session.body_bytes_sent(),
        };
        self.shared.record(session.req_header(), sent, ctx);
        ctx.watched = None;
    }

    /// The access log and the metrics tell of every failure; Pingora's own lines quote requests.
    fn suppress_error_log(&self, _session: &Session, _ctx: &RequestContext, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &RequestContext,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    fn request_summary(&self, _session: &Session, _ctx: &RequestContext) -> String {
        String::new()
    }
}
