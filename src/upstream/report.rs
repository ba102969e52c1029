//! What can be seen of an origin from outside.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Upstream;
use super::checks::failed_to_resolve;
use super::endpoints::Endpoint;
use super::known_failures::KnownFailure;
use crate::clock;
use crate::telemetry::{AddressReport, AddressState, LastFailure, OriginState};

impl OriginState for Upstream {
    fn name(&self) -> &str {
        &self.origin.name
    }

    fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    fn queued(&self) -> usize {
        self.admission.as_ref().map_or(0, |admission| admission.waiting())
    }

    fn addresses(&self) -> (usize, usize) {
        let (now, endpoints) = (self.now(), self.endpoints.load());
        let healthy = endpoints.list().iter().filter(|endpoint| endpoint.health.is_usable(now));
        (endpoints.list().len(), healthy.count())
    }

    fn report(&self) -> Vec<AddressReport> {
        let (now, endpoints, answers) = (self.now(), self.endpoints.load(), self.metrics.answers());
        if endpoints.list().is_empty() {
            let message = self.explanation(&failed_to_resolve(), &self.origin.host);
            let last_failure = LastFailure { message, ago: clock::since(self.started) };
            return vec![AddressReport {
                address: self.origin.host.to_string(),
                state: AddressState::Down,
                in_flight: None,
                last_failure: Some(last_failure),
            }];
        }
        let is_counted = self.is_watched || endpoints.list().len() > 1;
        let report = |endpoint: &Arc<Endpoint>| {
            let address = endpoint.address.to_string();
            let failure = self.known_failures.last(&address);
            let is_failing = |failure: &KnownFailure| !failure.is_over && failure.answers == answers;
            let state = match &failure {
                _ if !endpoint.health.is_usable(now) => AddressState::Down,
                _ if endpoint.health.is_ejected() => AddressState::Failing,
                Some(failure) if is_failing(failure) => AddressState::Failing,
                _ => AddressState::Up,
            };
            AddressReport {
                address,
                state,
                in_flight: is_counted.then(|| endpoint.load.load(Relaxed)),
                last_failure: failure
                    .map(|failure| LastFailure { message: failure.message, ago: clock::since(failure.at) }),
            }
        };
        endpoints.list().iter().map(report).collect()
    }
}
