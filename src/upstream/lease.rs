//! The life of a request at an origin: from entering to release.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;

use super::endpoints::Endpoint;
use super::health::{ExchangeFailure, Leave};
use super::{ClientIdentity, Unavailable, Upstream};
use crate::origins::{Retries, RetryReason};

/// What a request holds of an origin. [`Upstream::release`] gives it back.
#[derive(Default)]
pub struct Lease {
    has_entered: bool,
    _slot: Option<OwnedSemaphorePermit>,
    /// The number of the request. Retries keep it: with a new number, an address that fails every request
    /// would be tried first each time.
    turn: Option<usize>,
    /// The address of the present attempt.
    endpoint: Option<Arc<Endpoint>>,
    /// The permission to ask that address; `None` if its health does not matter.
    leave: Option<Leave>,
    /// Addresses that have failed this request.
    tried: Vec<Arc<Endpoint>>,
    /// Number of retries after the request may have reached the origin.
    resent: usize,
}

impl Lease {
    /// The address of the present attempt.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_deref()
    }

    /// The address whose health the present attempt shows, and the permission to ask it.
    fn watched(&self) -> Option<(&Arc<Endpoint>, Leave)> {
        self.endpoint.as_ref().zip(self.leave)
    }

    /// The next attempt avoids the current address if there is another one.
    fn avoid(&mut self) {
        if let Some((endpoint, _)) = self.watched() {
            let endpoint = endpoint.clone();
            self.tried.push(endpoint);
        }
    }
}

impl Upstream {
    /// Enters, after a wait if too many requests are in flight. A second call has no effect.
    ///
    /// # Errors
    /// [`Unavailable`] if the queue is full or the wait is too long.
    pub async fn enter(&self, lease: &mut Lease) -> Result<(), Unavailable> {
        if lease.has_entered {
            return Ok(());
        }
        if let Some(admission) = &self.admission {
            lease._slot = Some(admission.enter().await?);
        }
        lease.has_entered = true;
        self.in_flight.fetch_add(1, Relaxed);
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
        Ok(())
    }

    /// Chooses the address for the next attempt of a request. It avoids addresses that have failed this request,
    /// if there are others.
    ///
    /// # Errors
    /// [`Unavailable`] if no address is known or usable.
    pub fn choose(&self, lease: &mut Lease, client: ClientIdentity<'_>) -> Result<(), Unavailable> {
        self.leave_endpoint(lease);
        let endpoints = self.endpoints.load();
        let list = endpoints.list();
        match list {
            [] => return Err(Unavailable::NoAddress),
            [only] if !self.is_watched => {
                lease.endpoint = Some(only.clone());
                return Ok(());
            }
            _ => {}
        }
        let now = self.now();
        let trial = self.origin.timeouts.connect;
        let turn = *lease.turn.get_or_insert_with(|| self.turn.fetch_add(1, Relaxed));
        for may_repeat in [false, true] {
            // Another request may have claimed the only trial of an address meanwhile; then the next is tried.
            for _ in list {
                let is_usable = |endpoint: &Arc<Endpoint>| {
                    endpoint.health.is_usable(now) && (may_repeat || !is_among(&lease.tried, endpoint))
                };
                let found = endpoints.choose(self.origin.balance, turn, client, is_usable);
                let Some(endpoint) = found else { break };
                if let Some(leave) = endpoint.health.claim(now, trial) {
                    endpoint.load.fetch_add(1, Relaxed);
                    (lease.endpoint, lease.leave) = (Some(endpoint.clone()), Some(leave));
                    return Ok(());
                }
            }
        }
        let check = self.origin.health_check.as_ref().map(|check| check.interval);
        let waits = list.iter().map(|endpoint| endpoint.health.returns_in(now, check));
        Err(Unavailable::AllDown(waits.min().unwrap_or_default().max(Duration::from_secs(1))))
    }

    /// No connection could be made. Returns whether another address is left to try.
    pub fn connect_failed(&self, lease: &mut Lease) -> bool {
        let Some((endpoint, leave)) = lease.watched() else { return false };
        if let Some(time) = endpoint.health.connect_failed(leave, self.now(), &self.origin.ejection) {
            self.ejected(endpoint, time);
        }
        lease.avoid();
        let (now, endpoints) = (self.now(), self.endpoints.load());
        let is_left =
            |endpoint: &&Arc<Endpoint>| endpoint.health.is_usable(now) && !is_among(&lease.tried, endpoint);
        let is_left = endpoints.list().iter().any(|endpoint| is_left(&endpoint));
        if is_left {
            self.metrics.retried(RetryReason::Connect);
        }
        is_left
    }

    /// The exchange failed before there was an answer, or the answer was 5xx.
    pub fn failed(&self, lease: &mut Lease, failure: ExchangeFailure) {
        let Some((endpoint, leave)) = lease.watched() else { return };
        let now = self.now();
        let is_other = |other: &&Arc<Endpoint>| !Arc::ptr_eq(other, endpoint) && other.health.is_usable(now);
        let is_last = !self.endpoints.load().list().iter().any(|other| is_other(&other));
        if let Some(time) = endpoint.health.failed(failure, leave, is_last, now, &self.origin.ejection) {
            self.ejected(endpoint, time);
        }
    }

    /// The head of an answer has arrived.
    pub fn answered(&self, lease: &mut Lease, status: StatusCode) {
        let Some((endpoint, _)) = lease.watched() else { return };
        if status.is_server_error() && self.origin.ejection.errors > 0 {
            self.failed(lease, ExchangeFailure::Error);
        } else {
            endpoint.health.answered();
        }
    }

    /// Whether a request that failed for `reason` is sent again. The caller has checked that this is safe.
    pub fn may_resend(&self, lease: &mut Lease, reason: RetryReason) -> bool {
        let Some(rules) = &self.origin.retries else { return false };
        if !is_asked_for(rules, reason) || lease.resent >= rules.attempts {
            return false;
        }
        if !self.budget.as_ref().is_some_and(|budget| budget.withdraw()) {
            self.metrics.budget_exhausted();
            return false;
        }
        lease.resent += 1;
        lease.avoid();
        self.metrics.retried(reason);
        true
    }

    /// The request is sent again over another connection, because the origin had closed a kept one and has not
    /// seen the request. This is not a failure and costs no budget.
    pub fn resend_untouched(&self, lease: &mut Lease) {
        lease.avoid();
        self.metrics.retried(RetryReason::Closed);
    }

    /// Whether requests are sent again after an answer with this status.
    pub fn resends_after(&self, status: StatusCode) -> bool {
        self.origin.retries.as_ref().is_some_and(|rules| rules.statuses.contains(&status.as_u16()))
    }

    /// Gives back everything that the request holds.
    pub fn release(&self, mut lease: Lease) {
        self.leave_endpoint(&mut lease);
        if lease.has_entered {
            self.in_flight.fetch_sub(1, Relaxed);
        }
    }

    fn leave_endpoint(&self, lease: &mut Lease) {
        if let (Some(endpoint), Some(_)) = (lease.endpoint.take(), lease.leave.take()) {
            endpoint.load.fetch_sub(1, Relaxed);
        }
    }

    fn ejected(&self, endpoint: &Endpoint, time: Duration) {
        self.metrics.ejected();
        let (name, address) = (&self.origin.name, &endpoint.address);
        log::warn!("origin {name}: {address} fails, and gets no requests for {time:?}");
    }
}

fn is_among(tried: &[Arc<Endpoint>], endpoint: &Arc<Endpoint>) -> bool {
    tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint))
}

fn is_asked_for(rules: &Retries, reason: RetryReason) -> bool {
    match reason {
        RetryReason::Error => rules.on_error,
        RetryReason::Timeout => rules.on_timeout,
        RetryReason::Status => true,
        RetryReason::Connect | RetryReason::Closed => false,
    }
}
