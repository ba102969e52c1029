//! A request's dealings with its origin: which address, what a failure means, whether to try again.

use std::time::Duration;

use http::StatusCode;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result, RetryType};
use pingora_proxy::Session;

use super::{RequestContext, failure};
use crate::origins::{RetryReason, UpstreamErrorKind};
use crate::upstream::{Failure, MAX_ATTEMPTS, Requester, Unavailable, Upstream};

impl RequestContext {
    /// The peer to connect to, with the limits of this request; the first time after a wait, where
    /// the origin has enough to do.
    pub(super) async fn choose_peer(&mut self, is_body_empty: bool) -> Result<Box<HttpPeer>> {
        let client = self.client.as_ref().map(|client| client.address);
        let (upstream, lease, device) = self.origin().ok_or_else(failure::no_route)?;
        let requester = Requester { device: device.id.as_deref(), address: client };
        let found = match upstream.enter(lease).await {
            Ok(()) => upstream.peer(lease, requester),
            Err(why) => Err(why),
        };
        let mut peer = match found {
            Ok(peer) => peer,
            Err(why) => {
                upstream.count(why.kind());
                self.retry_after = retry_after(why);
                return Err(failure::unavailable(why));
            }
        };
        self.attempts += 1;
        if self.is_tunnel {
            self.upstream().ok_or_else(failure::no_route)?.make_tunnel(&mut peer);
            return Ok(peer);
        }
        if is_body_empty {
            // A header alone never waits to be taken; a timer costs as much as it saves.
            peer.options.write_timeout = None;
        }
        let left = self.time_left().inspect_err(|error| {
            if let Some(upstream) = self.upstream() {
                upstream.count(failure::kind(error));
            }
        });
        if let Some(left) = left? {
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

    /// No connection could be made, and nothing was sent. Whether to try another address.
    pub(super) fn connect_failed(&mut self, error: &Error) -> bool {
        let may_go_on = self.attempts < MAX_ATTEMPTS && self.time_left().is_ok();
        let Some((upstream, lease, _)) = self.origin() else { return false };
        upstream.count(failure::kind(error));
        may_go_on && upstream.connect_failed(lease)
    }

    /// The exchange failed. Whether to send the request again.
    ///
    /// One that the origin has not begun with may go again whatever its method: HTTP/2 says so
    /// (RFC 9113 §8.7), and so does a kept connection that was closed before an idempotent one was
    /// answered. Anything else is sent again only where that is asked for, and only if idempotent
    /// (RFC 9110 §9.2.2).
    pub(super) fn exchange_failed(&mut self, error: &Error, session: &mut Session, was_kept: bool) -> bool {
        if !failure::is_upstream(error) {
            return false;
        }
        let was_not_sent = was_kept && failure::was_not_sent(error);
        let is_untouched = was_not_sent || matches!(error.retry, RetryType::Decided(true));
        let ends_kept =
            matches!(error.retry, RetryType::ReusedOnly) || *error.etype() == ErrorType::WriteError;
        let was_closed = was_kept && ends_kept;
        let is_idempotent = session.req_header().method.is_idempotent();
        let may_go_on = self.may_repeat(session);
        let kind = failure::kind(error);
        // Who is silent where the client is to go on first is the client.
        let is_at_fault = kind != UpstreamErrorKind::ReadTimeout || session.as_mut().is_body_done();
        let Some((upstream, lease, _)) = self.origin() else { return false };
        upstream.count(kind);
        if may_go_on && (is_untouched || was_closed && is_idempotent) {
            upstream.resend_untouched(lease);
            return true;
        }
        if is_at_fault && session.response_written().is_none() {
            let is_silence = kind == UpstreamErrorKind::ReadTimeout;
            upstream.failed(lease, if is_silence { Failure::Timeout } else { Failure::Error });
        }
        let reason = match kind {
            UpstreamErrorKind::Closed | UpstreamErrorKind::InvalidResponse => RetryReason::Error,
            UpstreamErrorKind::ReadTimeout => RetryReason::Timeout,
            _ => return false,
        };
        may_go_on && is_idempotent && upstream.may_resend(lease, reason)
    }

    /// The header of an answer has come. Whether to send the request again in place of passing
    /// the answer on.
    pub(super) fn answered(&mut self, status: StatusCode, session: &Session) -> bool {
        let is_idempotent = session.req_header().method.is_idempotent();
        let Some((upstream, lease, _)) = self.origin() else { return false };
        upstream.answered(lease, status);
        if !is_idempotent || !upstream.resends_after(status) || !self.may_repeat(session) {
            return false;
        }
        let Some((upstream, lease, _)) = self.origin() else { return false };
        upstream.may_resend(lease, RetryReason::Status)
    }

    /// The whole request is kept, nothing of an answer has been passed on, and there is time.
    fn may_repeat(&self, session: &Session) -> bool {
        self.attempts < MAX_ATTEMPTS
            && session.response_written().is_none()
            && !session.as_ref().retry_buffer_truncated()
            && self.time_left().is_ok()
    }

    /// What is left of the origin's total time, where it has one.
    ///
    /// # Errors
    /// When nothing is left.
    pub(super) fn time_left(&self) -> Result<Option<Duration>> {
        let total = self.upstream().and_then(|upstream| upstream.origin().timeouts.total);
        let (Some(total), false) = (total, self.is_tunnel) else { return Ok(None) };
        match total.checked_sub(self.started.elapsed()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(Error::new_up(ErrorType::ReadTimedout)),
        }
    }

    /// The origin of the request's route.
    pub(super) fn upstream(&self) -> Option<&Upstream> {
        self.route().map(|route| &*self.snapshot.upstreams[route.origin])
    }
}

/// For `Retry-After` (RFC 9110 §10.2.3), in seconds.
fn retry_after(why: Unavailable) -> Option<u64> {
    match why {
        Unavailable::NoAddress => None,
        Unavailable::AllDown(time) => Some(time.as_secs() + u64::from(time.subsec_nanos() > 0)),
        Unavailable::QueueFull | Unavailable::QueueTimeout => Some(1),
    }
}
