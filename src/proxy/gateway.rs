//! The hooks that Pingora calls in the phases of a request. Each hook translates between Pingora and
//! the states of a request; the decisions are made elsewhere.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{EXPECT, UPGRADE};
use http::{StatusCode, Version};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_core::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use super::admit::{Refused, admit, find_route};
use super::arrival::Arrival;
use super::body::{self, BodyDemand, BodyFault, HeldBody};
use super::exchange::{Exchange, Progress};
use super::failure;
use super::head::RequestHead;
use super::life::{Life, RequestContext, Watched};
use super::record::{HeadFacts, Transfer};
use super::shared::Shared;
use super::validity::{self, Upgrade};
use crate::clock;
use crate::downstream::Connection;
use crate::policy::Verdict;
use crate::upstream::{NextRequest, TUNNEL_IDLE};

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

    /// The state in which a request arrives.
    fn arrive(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Arrival> {
        let (snapshot, started) = ctx.begin().ok_or_else(failure::wrong_state)?;
        let time = snapshot.limits.protocol.time;
        session.set_read_timeout(Some(time.body));
        session.set_write_timeout(Some(time.write));
        let connection = session.digest().and_then(Connection::of).ok_or_else(failure::wrong_state)?;
        let arrival = Arrival::new(snapshot, started, connection.clone(), session.req_header());
        ctx.watched = Watched::take(session.req_header_mut());
        Ok(arrival)
    }

    /// Verifies the body of an admitted request, if the body must be verified before the origin gets
    /// any of it.
    async fn verify_body(
        &self,
        session: &mut Session,
        ctx: &RequestContext,
        demand: BodyDemand,
        limit: usize,
    ) -> Result<Result<Option<HeldBody>, BodyFault>> {
        let watch = |length, is_end| ctx.watch_body(length, is_end);
        body::verify(session, demand, limit, &self.shared.held_bodies, watch).await
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::new(self.shared.snapshot.load_full(), clock::now(), self.in_flight.clone())
    }

    /// No modules: Pingora's default module, compression, costs time on every request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    /// 1. Routes and verifies the request. A refused request is answered here.
    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        let arrival = self.arrive(session, ctx)?;
        let found = find_route(&arrival, session.req_header());
        match admit(&arrival, session.req_header(), found, &self.shared.metrics) {
            Ok(admitted) => {
                let (demand, limit) = (admitted.body, arrival.snapshot.signing.digest_buffer());
                let is_accepted = admitted.judgement.verdict == Verdict::Accepted;
                // The request counts as admitted before its body is read, so that a failure of the body is
                // recorded with its route and verdict.
                ctx.life = Life::Exchange(Exchange::new(arrival, admitted));
                match self.verify_body(session, ctx, demand, limit).await? {
                    Ok(held) => ctx.keep_held_body(held)?,
                    Err(fault) => {
                        let (arrival, refused) = ctx.refuse_body(fault, &self.shared.metrics)?;
                        return refuse(session, ctx, arrival, refused).await;
                    }
                }
                if is_accepted && session.req_header().is_grpc() {
                    // The messages of a call may have pauses between them.
                    ctx.end_watch();
                }
                ctx.exchange()?.is_tunnel = prepare_session(session);
                Ok(false)
            }
            Err(refused) => refuse(session, ctx, arrival, refused).await,
        }
    }

    /// 2. Chooses the origin's address. Pingora calls the hook again after a failure to connect.
    async fn upstream_peer(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
        ctx.choose_address(&self.shared.metrics).await?.peer(session.is_body_empty())
    }

    /// The connection learns that a request begins, and which answers it can have.
    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _descriptor: RawFd,
        digest: Option<&Digest>,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        ctx.begins_to_send();
        if let Some(digest) = digest {
            ctx.asked.progress = NextRequest::announce(digest, &session.req_header().method);
        }
        Ok(())
    }

    /// 3. Edits the request for the origin. Pingora has removed hop-by-hop fields already.
    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let exchange = ctx.exchange()?;
        let Arrival { snapshot, client, correlation, .. } = &exchange.arrival;
        let origin = exchange.upstream().origin();
        snapshot.forwarding.apply(request, client, correlation, &exchange.facts, origin)
    }

    /// Limits the size of the request body and the origin's total time.
    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        is_end: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let length = body.as_ref().map_or(0, Bytes::len);
        ctx.watch_body(length, is_end);
        ctx.take_body(&self.shared.metrics, length)
    }

    /// 4. The origin has answered. Another address may have a better response.
    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let is_tunnel = ctx.exchange()?.is_tunnel;
        let is_switch = response.status == StatusCode::SWITCHING_PROTOCOLS;
        let is_asked = || is_tunnel && validity::accepts_handshake(session.req_header(), response);
        if is_switch && !is_asked() {
            return Err(failure::unasked_switch());
        }
        let is_interim = response.status.is_informational() && !is_switch;
        let is_resent = !is_interim && ctx.answered(response.status, progress(session))?;
        if is_resent { Err(failure::resend()) } else { Ok(()) }
    }

    /// 5. Edits the origin's response for the client.
    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        if !response.status.is_informational() {
            // From now on a slow body may be waiting for the response.
            ctx.end_watch();
        }
        let is_switch = response.status == StatusCode::SWITCHING_PROTOCOLS;
        if is_switch {
            ctx.asked.tunnel = Some(self.shared.metrics.open_tunnel());
            let exchange = ctx.exchange()?;
            exchange.arrival.connection.become_tunnel(TUNNEL_IDLE);
            exchange.become_tunnel();
        }
        ctx.edits(response, session.req_header().version)?.apply(response)
    }

    /// Limits the origin's total time, and what waits for a client that reads slowly.
    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _is_end: bool,
        ctx: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        if let Some(progress) = &ctx.asked.progress {
            progress.write();
        }
        ctx.exchange()?.time_left().map(|_| None)
    }

    /// The origin cannot be reached. Nothing has been sent, so another address may be tried.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut RequestContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let is_retried = ctx.connect_failed(&error);
        error.set_retry(is_retried);
        error
    }

    /// The exchange with the origin, or with the client, broke.
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
        let is_retried = ctx.broke(&error, was_kept, progress(session));
        error.set_retry(is_retried);
        error
    }

    /// 6. Answers a request that has no response of the origin.
    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut RequestContext,
    ) -> FailToProxy {
        let error_code = match ctx.fail(error) {
            Some(answer) if !has_final_response(session) => {
                session.set_keepalive(None);
                // The status is for Pingora's own log only; 0 stands for no answer.
                send(session, &ctx.life, answer).await.map_or(0, |status| status.as_u16())
            }
            _ => 0,
        };
        if !session.is_http2() {
            // Sends the gathered bytes of an answer that was cut off, so that the client gets what the
            // log says it got.
            session.shutdown().await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// 7. Records the request.
    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut RequestContext) {
        let transfer = Transfer {
            status: session.response_written().map(|response| response.status.as_u16()),
            request_bytes: session.body_bytes_read(),
            response_bytes: session.body_bytes_sent(),
        };
        ctx.record(&self.shared, HeadFacts::of(session.req_header()), transfer, error);
    }

    /// Pingora's own log lines quote requests. The access log and the metrics tell of every failure.
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

/// Answers a request that is not forwarded.
async fn refuse(
    session: &mut Session,
    ctx: &mut RequestContext,
    arrival: Arrival,
    refused: Refused,
) -> Result<bool> {
    let (answer, ends_connection) = ctx.refuse(arrival, refused);
    if ends_connection {
        session.set_keepalive(None);
    }
    send(session, &ctx.life, answer).await.map_err(Error::into_down)?;
    Ok(true)
}

/// Prepares the session for the exchange with the origin. Returns whether it may become a tunnel.
fn prepare_session(session: &mut Session) -> bool {
    let upgrade = Upgrade::of(session.req_header());
    if upgrade == Upgrade::Ignored {
        session.req_header_mut().remove_header(&UPGRADE);
    }
    let is_tunnel = upgrade == Upgrade::WebSocket;
    if is_tunnel {
        session.set_read_timeout(Some(TUNNEL_IDLE));
        session.set_write_timeout(Some(TUNNEL_IDLE));
    }
    if session.req_header().version == Version::HTTP_10 {
        // HTTP/1.0 has no interim responses (RFC 9110 §15.2), and cannot ask for one (§10.1.1).
        session.set_ignore_info_resp(true);
        session.req_header_mut().remove_header(&EXPECT);
    }
    is_tunnel
}

/// Sends an answer of the gateway's own, in the form of the request's configuration.
async fn send(session: &mut Session, life: &Life, answer: super::answer::Answer) -> Result<StatusCode> {
    let snapshot = life.snapshot().ok_or_else(failure::wrong_state)?;
    snapshot.answers.send(session, answer, &life.notes()).await?;
    Ok(snapshot.answers.status(answer))
}

/// Whether a response other than an interim one (RFC 9110 §15.2) has been passed on.
fn has_final_response(session: &Session) -> bool {
    session.response_written().is_some_and(|response| {
        !response.status.is_informational() || response.status == StatusCode::SWITCHING_PROTOCOLS
    })
}

/// How far the exchange of this session has come.
fn progress(session: &mut Session) -> Progress {
    Progress {
        is_idempotent: session.req_header().method.is_idempotent(),
        is_answered: session.response_written().is_some(),
        is_repeatable: !session.as_ref().retry_buffer_truncated(),
        is_body_done: session.as_mut().is_body_done(),
    }
}
