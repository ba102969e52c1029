//! Exchange: the third state of a request, while its origin is asked. Decides which address is asked,
//! what a failure means, and whether the request is sent again.

use std::time::Duration;

use http::StatusCode;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, Result};

use super::admit::{Admitted, Refused};
use super::arrival::Arrival;
use super::body::{BodyFault, HeldBody};
use super::failure;
use super::forward::Fact;
use super::judgement::Judgement;
use crate::admission::{RateFields, Refusal};
use crate::approov::Device;
use crate::clock;
use crate::limits::{Cause, Permit};
use crate::origins::{RetryReason, UpstreamErrorKind};
use crate::policy::Route;
use crate::telemetry::Metrics;
use crate::upstream::{
    ClientIdentity, Endpoint, ExchangeFailure, Lease, MAX_ATTEMPTS, OriginConnection, Unavailable, Upstream,
};

/// Pingora's timers count whole milliseconds, and can fire up to one millisecond early.
const TIMER_ERROR: Duration = Duration::from_millis(1);

/// What is known about a request that is forwarded.
pub(super) struct Exchange {
    pub arrival: Arrival,
    /// The position of the route.
    pub route: usize,
    pub judgement: Judgement,
    /// The fields that tell the client about the rate limits.
    pub rate: Option<Box<RateFields>>,
    /// The limit that the request exceeds.
    pub limit: Option<Refusal>,
    /// Seconds after which the client may try again, if the origin cannot be asked now.
    pub retry_after: Option<u64>,
    /// Whether the request is a WebSocket handshake. A WebSocket may be silent for long.
    pub is_tunnel: bool,
    /// Counts the request as in flight; `None` once it has become a tunnel.
    permit: Option<Permit>,
    /// The fields that tell the origin what verification found out.
    pub facts: Vec<Fact>,
    /// Counts the body as held back, if its digest was verified.
    pub held_body: Option<HeldBody>,
    /// What the request holds of the origin.
    lease: Lease,
    /// How many times an address of the origin was chosen.
    attempts: usize,
    /// The bytes of the request body that have arrived.
    body_bytes: u64,
}

/// How far an exchange has come, as the session knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Whether the method is idempotent.
    pub is_idempotent: bool,
    /// Whether the client has got a part of a response.
    pub is_answered: bool,
    /// Whether the whole request body that has arrived is kept.
    pub is_repeatable: bool,
    /// Whether the whole request body has arrived.
    pub is_body_done: bool,
}

/// How the exchange with the origin broke.
#[derive(Clone, Copy, Debug)]
pub(super) struct Break {
    pub kind: UpstreamErrorKind,
    /// Whether the origin says that it has not begun with the request (RFC 9113 §8.7).
    pub is_untouched: bool,
    /// Whether a kept connection was closed, perhaps before the request arrived.
    pub was_kept_closed: bool,
}

impl Exchange {
    /// An admitted request.
    pub fn new(arrival: Arrival, admitted: Admitted) -> Self {
        let Admitted { route, judgement, observed, rate, permit, body: _, facts } = admitted;
        Self {
            arrival,
            route,
            judgement,
            rate,
            limit: observed,
            retry_after: None,
            is_tunnel: false,
            permit: Some(permit),
            facts,
            held_body: None,
            lease: Lease::default(),
            attempts: 0,
            body_bytes: 0,
        }
    }

    /// Turns the exchange into a refusal, because the body has the fault `fault`.
    pub fn refuse_body(mut self, fault: BodyFault, metrics: &Metrics) -> (Arrival, Refused) {
        let judgement = std::mem::replace(&mut self.judgement, Judgement::denied());
        let refused = Refused::by_body(self.route, judgement, self.limit.take(), fault, metrics);
        (self.arrival.clone(), refused)
    }

    /// The route of the request.
    pub fn route(&self) -> &Route {
        &self.arrival.snapshot.routes.routes()[self.route]
    }

    /// The origin of the route.
    pub fn upstream(&self) -> &Upstream {
        &self.arrival.snapshot.upstreams[self.route().origin]
    }

    /// The origin of the route, what the request holds of it, and the device.
    fn origin(&mut self) -> (&Upstream, &mut Lease, &Device) {
        let snapshot = &self.arrival.snapshot;
        let origin = snapshot.routes.routes()[self.route].origin;
        (&snapshot.upstreams[origin], &mut self.lease, &self.judgement.device)
    }

    /// Whether the origin was asked, or could not be.
    pub fn has_asked(&self) -> bool {
        self.attempts > 0 || self.retry_after.is_some()
    }

    /// How many times the request was sent again.
    pub fn resends(&self) -> usize {
        self.attempts.saturating_sub(1)
    }

    /// The bytes of the request body that have arrived.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Chooses the address for the next attempt. The first call waits if the origin has as many requests as
    /// it may.
    ///
    /// # Errors
    /// If no address of the origin can be asked, or no time is left.
    pub async fn choose_address(&mut self) -> Result<()> {
        let address = Some(self.arrival.client.address);
        let (upstream, lease, device) = self.origin();
        let client = ClientIdentity { device: device.id.as_deref(), address };
        let found = match upstream.enter(lease).await {
            Ok(()) => upstream.choose(lease, client),
            Err(why) => Err(why),
        };
        if let Err(why) = found {
            upstream.count(why.kind());
            self.retry_after = retry_after(why);
            return Err(failure::unavailable(why));
        }
        self.attempts += 1;
        self.time_left().inspect_err(|error| self.upstream().count(failure::kind(error))).map(drop)
    }

    /// The address of the present attempt.
    ///
    /// # Errors
    /// If none was chosen.
    pub fn endpoint(&self) -> Result<&Endpoint> {
        self.lease.endpoint().ok_or_else(failure::wrong_state)
    }

    /// A new connection to the address of the present attempt.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn connect(&self) -> Result<OriginConnection> {
        let limit = self.upstream().origin().timeouts.connect;
        let limit = self.time_left()?.map_or(limit, |left| left.min(limit));
        self.upstream().connect(self.endpoint()?, limit).await.map_err(Error::into_up)
    }

    /// Pingora's peer for the address of the present attempt, with the time limits of this request.
    ///
    /// # Errors
    /// If no address was chosen, or no time is left.
    pub fn peer(&self, is_body_empty: bool) -> Result<Box<HttpPeer>> {
        let mut peer = self.endpoint()?.to_peer();
        if self.is_tunnel {
            self.upstream().make_tunnel(&mut peer);
            return Ok(peer);
        }
        if is_body_empty {
            // The socket takes a head at once, so the write needs no timer.
            peer.options.write_timeout = None;
        }
        if let Some(left) = self.time_left()? {
            for limit in [
                &mut peer.options.read_timeout,
                &mut peer.options.connection_timeout,
                &mut peer.options.total_connection_timeout,
            ] {
                *limit = limit.map(|limit| limit.min(left));
            }
        }
        Ok(peer)
    }

    /// Explains the failure of the present attempt in words.
    pub fn explain(&self, error: &Error) -> Box<str> {
        let address = self.lease.endpoint().map(Endpoint::to_string);
        let is_out_of_time = match self.time_left() {
            Ok(left) => left.is_some_and(|left| left < TIMER_ERROR),
            Err(_) => true,
        };
        self.upstream().explain(error, address.as_deref(), is_out_of_time).into()
    }

    /// A part of the request body has arrived.
    ///
    /// # Errors
    /// [`Cause::BodySize`] if the body is longer than allowed.
    pub fn take_body(&mut self, length: usize) -> std::result::Result<(), Cause> {
        self.body_bytes += length as u64;
        let most = self.arrival.snapshot.limits.body_bytes(self.route);
        if self.is_tunnel || self.body_bytes <= most { Ok(()) } else { Err(Cause::BodySize) }
    }

    /// The connection could not be made, and nothing was sent. Returns whether to try another address.
    pub fn connect_failed(&mut self, kind: UpstreamErrorKind) -> bool {
        let may_go_on = self.attempts < MAX_ATTEMPTS && self.time_left().is_ok();
        let (upstream, lease, _) = self.origin();
        upstream.count(kind);
        may_go_on && upstream.connect_failed(lease)
    }

    /// The exchange broke. Returns whether to send the request again.
    ///
    /// A request is sent again, whatever its method, if HTTP/2 says that the origin has not begun with it
    /// (RFC 9113 §8.7). An idempotent request (RFC 9110 §9.2.2) is also sent again if a kept connection
    /// turned out closed, or if the configuration asks for it.
    pub fn broke(&mut self, how: Break, progress: Progress) -> bool {
        let Break { kind, is_untouched, was_kept_closed } = how;
        let may_go_on = self.may_repeat(progress);
        // A read timeout is the origin's fault only after the whole request body has been sent. Before
        // that, the origin is waiting for the client.
        let is_at_fault = kind != UpstreamErrorKind::ReadTimeout || progress.is_body_done;
        let (upstream, lease, _) = self.origin();
        upstream.count(kind);
        if may_go_on && (is_untouched || was_kept_closed && progress.is_idempotent) {
            upstream.resend_untouched(lease);
            return true;
        }
        if is_at_fault && !progress.is_answered {
            let is_silence = kind == UpstreamErrorKind::ReadTimeout;
            upstream
                .failed(lease, if is_silence { ExchangeFailure::Timeout } else { ExchangeFailure::Error });
        }
        let reason = match kind {
            UpstreamErrorKind::Closed | UpstreamErrorKind::InvalidResponse => RetryReason::Error,
            UpstreamErrorKind::ReadTimeout => RetryReason::Timeout,
            _ => return false,
        };
        may_go_on && progress.is_idempotent && upstream.may_resend(lease, reason)
    }

    /// The head of a final response has arrived. Returns whether to send the request again in place of
    /// passing the response on.
    pub fn answered(&mut self, status: StatusCode, progress: Progress) -> bool {
        let may_go_on = self.may_repeat(progress);
        let (upstream, lease, _) = self.origin();
        upstream.answered(lease, status);
        progress.is_idempotent
            && may_go_on
            && upstream.resends_after(status)
            && upstream.may_resend(lease, RetryReason::Status)
    }

    /// The connection has become a tunnel, which counts as a connection and no longer as a request.
    pub fn become_tunnel(&mut self) {
        self.permit = None;
    }

    fn may_repeat(&self, progress: Progress) -> bool {
        self.attempts < MAX_ATTEMPTS
            && !progress.is_answered
            && progress.is_repeatable
            && self.time_left().is_ok()
    }

    /// The time that is left of the origin's total time; `None` if the origin has no total time.
    ///
    /// # Errors
    /// If no time is left.
    pub fn time_left(&self) -> Result<Option<Duration>> {
        let total = self.upstream().origin().timeouts.total;
        let (Some(total), false) = (total, self.is_tunnel) else { return Ok(None) };
        match total.checked_sub(clock::since(self.arrival.started)) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(failure::out_of_time()),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let lease = std::mem::take(&mut self.lease);
        self.upstream().release(lease);
    }
}

/// The value of `Retry-After` (RFC 9110 §10.2.3), in seconds.
fn retry_after(why: Unavailable) -> Option<u64> {
    match why {
        Unavailable::NoAddress => None,
        Unavailable::AllDown(time) => Some(time.as_secs() + u64::from(time.subsec_nanos() > 0)),
        Unavailable::QueueFull | Unavailable::QueueTimeout => Some(1),
    }
}
