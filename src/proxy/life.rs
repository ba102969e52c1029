//! The life of a request that both exchanges drive. Pingora has one context type for all of its phases.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http::StatusCode;
use parking_lot::Mutex;
use pingora_core::Result;
use pingora_http::RequestHeader;

use super::admit::Refused;
use super::answer::Notes;
use super::arrival::Arrival;
use super::exchange::Exchange;
use super::failure::{self, ClientFault, Failure};
use super::record::{Finished, HeadFacts, KeptHead, Transfer};
use super::shared::Shared;
use super::snapshot::Snapshot;
use crate::admission::Refusal;
use crate::clock;
use crate::downstream::BodyWatch;
use crate::limits::{Cause, Outcome};
use crate::origins::UpstreamErrorKind;
use crate::telemetry::{OpenTunnel, Source, TracedAttempt};
use crate::upstream::AnswerProgress;

/// The context of one request.
pub struct RequestContext {
    pub(super) life: Life,
    /// The first failure.
    pub(super) failure: Option<Failure>,
    pub(super) asked: Asked,
    /// Set for an HTTP/2 request with a body, whose task may be cancelled.
    pub(super) watched: Option<Box<Watched>>,
    _in_flight: Unfinished,
}

/// The attempts to ask the origin, for the record.
#[derive(Default)]
pub(super) struct Asked {
    /// The address that was asked last; `None` if it is a unix socket.
    pub peer: Option<SocketAddr>,
    /// Why the last failed attempt failed, in words.
    pub explanation: Option<Box<str>>,
    /// When the last attempt began to send the request.
    pub sent_at: Option<Instant>,
    /// The attempts, if the request is traced.
    pub attempts: Vec<TracedAttempt>,
    /// What the connection to the origin learns of its answer; set once it is connected.
    pub progress: Option<AnswerProgress>,
    /// Whether the response of the origin was passed on.
    pub is_answered: bool,
    /// Set once the request has become a tunnel.
    pub tunnel: Option<OpenTunnel>,
}

/// The state of a request. [`Arrival`] and [`super::admit::Admitted`] are over before Pingora's next
/// phase begins, so they are no states here.
pub(super) enum Life {
    /// Pingora has read the head.
    Begun(Arc<Snapshot>, Instant),
    /// The request is not forwarded.
    Refused(Arrival, Refused),
    /// The request is being forwarded, or has been.
    Exchange(Exchange),
    /// The request has ended and is recorded.
    Done,
}

impl Asked {
    /// The origin has answered the present attempt. Unless the request is sent again, the attempt lasts
    /// until the end of the request.
    pub fn answered(&mut self, status: StatusCode, is_resent: bool) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.status = Some(status.as_u16());
            attempt.ended = is_resent.then(clock::now);
        }
    }

    /// The present attempt has failed.
    pub fn attempt_failed(&mut self, kind: UpstreamErrorKind) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.error = Some(kind.label());
            attempt.ended = Some(clock::now());
        }
    }
}

impl RequestContext {
    /// The context of a new request, which is counted in `in_flight`.
    pub(super) fn new(snapshot: Arc<Snapshot>, arrived: Instant, in_flight: Arc<AtomicUsize>) -> Self {
        Self {
            life: Life::Begun(snapshot, arrived),
            failure: None,
            asked: Asked::default(),
            watched: None,
            _in_flight: Unfinished::new(in_flight),
        }
    }

    /// Takes what the request begins with; `None` if it has begun before.
    pub(super) fn begin(&mut self) -> Option<(Arc<Snapshot>, Instant)> {
        match std::mem::replace(&mut self.life, Life::Done) {
            Life::Begun(snapshot, started) => Some((snapshot, started)),
            Life::Refused(..) | Life::Exchange(_) | Life::Done => None,
        }
    }

    /// The exchange with the origin.
    ///
    /// # Errors
    /// If the request is not forwarded.
    pub(super) fn exchange(&mut self) -> Result<&mut Exchange> {
        match &mut self.life {
            Life::Exchange(exchange) => Ok(exchange),
            Life::Begun(..) | Life::Refused(..) | Life::Done => Err(failure::wrong_state()),
        }
    }

    /// A part of the request body has arrived. Records it for the watch that cancels slow requests.
    pub(super) fn watch_body(&self, length: usize, is_end: bool) {
        if let Some(watched) = &self.watched {
            watched.watch.record(length, is_end);
        }
    }

    /// Ends the watch: from now on a slow body does not cancel the request.
    pub(super) fn end_watch(&self) {
        if let Some(watched) = &self.watched {
            watched.watch.end();
        }
    }
}

impl Life {
    /// The configuration of the request.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        match self {
            Life::Begun(snapshot, _) => Some(snapshot),
            Life::Refused(arrival, _) => Some(&arrival.snapshot),
            Life::Exchange(exchange) => Some(&exchange.arrival.snapshot),
            Life::Done => None,
        }
    }

    /// What an answer of the gateway's own says beyond its status.
    pub fn notes(&self) -> Notes<'_> {
        match self {
            Life::Begun(..) | Life::Done => Notes::default(),
            Life::Refused(arrival, refused) => Notes {
                request_id: arrival.correlation.request_id.as_ref(),
                response_code: refused.response_code().filter(|_| arrival.snapshot.tells_response_code),
                ..Notes::new(arrival.hsts(), refused.limit.as_ref(), None)
            },
            Life::Exchange(exchange) => Notes {
                request_id: exchange.arrival.correlation.request_id.as_ref(),
                ..Notes::new(exchange.arrival.hsts(), exchange.limit.as_ref(), exchange.retry_after)
            },
        }
    }

    /// The request exceeds a limit.
    pub fn exceed(&mut self, refusal: Refusal) {
        match self {
            Life::Begun(..) | Life::Done => {}
            Life::Refused(_, refused) => refused.limit = Some(refusal),
            Life::Exchange(exchange) => exchange.limit = Some(refusal),
        }
    }

    /// The bytes of the request body that have arrived.
    pub fn body_bytes(&self) -> u64 {
        match self {
            Life::Exchange(exchange) => exchange.body_bytes(),
            Life::Begun(..) | Life::Refused(..) | Life::Done => 0,
        }
    }

    /// The facts about the request for its record. `None` if the request has no connection yet, or is
    /// recorded already.
    pub fn finished<'r>(
        &'r self,
        head: HeadFacts<'r>,
        transfer: Transfer,
        failure: Option<Failure>,
        asked: &'r Asked,
    ) -> Option<Finished<'r>> {
        let is_of_origin = matches!(failure, Some(Failure::Origin(_)));
        let (arrival, route, judgement, limit, origin, resends) = match self {
            Life::Begun(..) | Life::Done => return None,
            Life::Refused(arrival, refused) => {
                (arrival, refused.route, &refused.judgement, refused.limit.as_ref(), None, 0)
            }
            Life::Exchange(exchange) => {
                let origin = exchange.has_asked().then(|| &*exchange.upstream().origin().name);
                let route = Some(exchange.route);
                let limit = exchange.limit.as_ref();
                (&exchange.arrival, route, &exchange.judgement, limit, origin, exchange.resends())
            }
        };
        Some(Finished {
            head,
            connection: &arrival.connection,
            client: (arrival.client.address, arrival.client.port),
            correlation: &arrival.correlation,
            route,
            judgement,
            limit,
            transfer,
            started: arrival.started,
            duration: clock::since(arrival.started),
            error: failure.map(Failure::label),
            error_message: asked.explanation.as_deref().filter(|_| is_of_origin),
            peer: asked.peer,
            source: if asked.is_answered { Source::Origin } else { Source::Gateway },
            origin,
            resends,
            scheme: arrival.client.scheme(),
            attempts: &asked.attempts,
        })
    }
}

impl Shared {
    /// Counts and logs a request that Pingora has ended.
    pub(super) fn record_life(
        &self,
        life: &Life,
        head: HeadFacts<'_>,
        transfer: Transfer,
        failure: Option<Failure>,
        asked: &Asked,
    ) {
        let finished = life.finished(head, transfer, failure, asked);
        if let (Some(snapshot), Some(finished)) = (life.snapshot(), finished) {
            self.record(snapshot, &finished);
        }
    }

    /// Counts and logs a request whose task was cancelled because its body was too slow.
    pub(super) fn record_cancelled(&self, cancelled: &Cancelled) {
        let Some((mut life, head)) = cancelled.take() else { return };
        self.metrics.limited(Cause::BodyTime, Outcome::Refused);
        life.exceed(Refusal::by(Cause::BodyTime));
        let request_bytes = usize::try_from(life.body_bytes()).unwrap_or(usize::MAX);
        let transfer = Transfer { request_bytes, ..Transfer::default() };
        let failure = Some(Failure::Client(ClientFault::SlowRequest));
        self.record_life(&life, head.facts(), transfer, failure, &Asked::default());
    }
}

/// The watch over a request whose task may be cancelled.
pub(super) struct Watched {
    pub watch: Arc<BodyWatch>,
    /// Takes the life of the request if the task is cancelled.
    pub cancelled: Arc<Cancelled>,
    /// The part of the head that is recorded.
    pub head: KeptHead,
}

/// The way by which the watch over a request reaches its context: as an extension of the head.
#[derive(Clone)]
pub(super) struct WatchExtension {
    pub watch: Arc<BodyWatch>,
    pub cancelled: Arc<Cancelled>,
}

impl Watched {
    /// The watch over a request with this head, if the request is watched.
    pub fn take(head: &mut RequestHeader) -> Option<Box<Self>> {
        let WatchExtension { watch, cancelled } = head.extensions_mut().remove()?;
        Some(Box::new(Self { watch, cancelled, head: KeptHead::new(head) }))
    }
}

/// The place where the life of a cancelled request is left, so that the task that has cancelled the
/// request can record it.
#[derive(Default)]
pub(super) struct Cancelled(Mutex<Option<(Life, KeptHead)>>);

impl Cancelled {
    /// The life of the request, if it ended without being recorded.
    pub fn take(&self) -> Option<(Life, KeptHead)> {
        self.0.lock().take()
    }
}

impl Drop for RequestContext {
    fn drop(&mut self) {
        let life = std::mem::replace(&mut self.life, Life::Done);
        if let (Some(watched), Life::Refused(..) | Life::Exchange(_)) = (self.watched.take(), &life) {
            let Watched { cancelled, head, .. } = *watched;
            *cancelled.0.lock() = Some((life, head));
        }
    }
}

/// Counts a request as unfinished for as long as it lives.
struct Unfinished(Arc<AtomicUsize>);

impl Unfinished {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}
