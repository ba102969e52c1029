//! The counters of a route. Most of a large number of routes never get a request, so the counters of a route
//! are created by its first one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::distribution::DURATION_BUCKETS;
use super::durations::{Durations, counters};
use super::reason::{OUTCOMES, Reason, outcomes, position};
use super::response::{Source, StatusClass};
use super::route_counts::Past;
use super::text_format;
use crate::approov::message_signing::{Label, SignatureResult};
use crate::policy::{Policy, Verdict};

/// Bucket bounds in seconds, from a short conversation to a working day.
pub(super) const TUNNEL_BUCKETS: [f64; 8] = [1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 28_800.0];

/// The counters of one route under one policy.
pub struct RouteMetrics {
    pub(super) name: Box<str>,
    pub(super) policy: Policy,
    /// What the other policies of the route count too.
    pub(super) common: Arc<Common>,
    /// One counter for each outcome.
    requests: OnceLock<Box<[AtomicU64]>>,
    /// Whether outcomes that can occur are shown at 0.
    is_prepared: AtomicBool,
    /// Earlier counts, for the status page.
    pub(super) past: Mutex<Past>,
}

/// What the policies of one route name count together: these series have no label for the policy.
pub(super) struct Common {
    /// The label for the route.
    label: String,
    answers: OnceLock<CountedAnswers>,
    /// Created by the first tunnel.
    tunnel_durations: OnceLock<Durations>,
    /// One counter for each pair of label and result, created if a route looks at message signatures.
    signatures: OnceLock<Box<[AtomicU64]>>,
}

/// The answers to requests.
pub(super) struct CountedAnswers {
    pub durations: Durations,
    /// One counter for each status class and sender.
    pub responses: Box<[AtomicU64]>,
}

/// A finished request, as metrics count it.
#[derive(Clone, Copy, Debug)]
pub struct CountedRequest {
    /// Whether the request was accepted, and if not, why.
    pub verdict: Verdict,
    /// Why the request has this verdict.
    pub reason: Reason,
    /// The response. `None` if the client got none.
    pub response: Option<(StatusClass, Source)>,
    /// From the arrival of the head to the end of the response.
    pub duration: Duration,
    /// Whether the request became a tunnel.
    pub is_tunnel: bool,
}

impl RouteMetrics {
    pub(super) fn new(name: &str, policy: Policy, common: Arc<Common>) -> Self {
        Self {
            name: name.into(),
            policy,
            common,
            requests: OnceLock::new(),
            is_prepared: AtomicBool::new(false),
            past: Mutex::default(),
        }
    }

    /// Counts a finished request.
    pub fn record(&self, request: CountedRequest) {
        let CountedRequest { verdict, reason, response, duration, is_tunnel } = request;
        let answers = self.common.begin();
        if let Some((class, source)) = response {
            increase(&answers.responses[class as usize * Source::ALL.len() + source as usize]);
        }
        if is_tunnel {
            let durations = || Durations::new(&TUNNEL_BUCKETS);
            self.common.tunnel_durations.get_or_init(durations).record(duration);
        } else {
            answers.durations.record(duration);
        }
        // Last: a page that counts the request here has it in the other series too.
        increase(&self.counters()[position(verdict, reason)]);
    }

    /// Shows every series that requests under this policy can have, so that an alert sees the first request
    /// as a change from 0.
    pub fn prepare(&self) {
        self.counters();
        self.common.begin();
        self.is_prepared.store(true, Ordering::Relaxed);
    }

    /// Shows every series of message signatures, so that they start at 0.
    pub fn expect_signatures(&self) {
        self.common.signature_counters();
    }

    /// Counts the result of a message signature. `label` is `None` if the token names no key.
    pub fn record_signature(&self, label: Option<Label>, result: SignatureResult) {
        let label = label.map_or(Label::ALL.len(), |label| label as usize);
        let position = label * SignatureResult::ALL.len() + result as usize;
        increase(&self.common.signature_counters()[position]);
    }

    /// The outcomes that have a series: those that were counted, and those that are shown at 0.
    pub(super) fn requests(&self) -> impl Iterator<Item = (Verdict, Reason, u64)> {
        let is_prepared = self.is_prepared.load(Ordering::Relaxed);
        let counts = self.all_requests().map(|(_, verdict, reason, count)| (verdict, reason, count));
        counts.filter(move |(verdict, reason, count)| {
            *count > 0 || (is_prepared && can_occur(self.policy, *verdict, *reason))
        })
    }

    /// Position, verdict, reason and count of every outcome; none before the first request.
    pub(super) fn all_requests(&self) -> impl Iterator<Item = (usize, Verdict, Reason, u64)> {
        let counters = self.requests.get().into_iter().flatten();
        let counts = counters.map(|count| count.load(Ordering::Relaxed));
        let outcomes = outcomes().zip(counts).enumerate();
        outcomes.map(|(position, ((verdict, reason), count))| (position, verdict, reason, count))
    }

    /// Whether the route has had a request, or is prepared for one.
    pub(super) fn has_counters(&self) -> bool {
        self.requests.get().is_some()
    }

    fn counters(&self) -> &[AtomicU64] {
        self.requests.get_or_init(|| counters(OUTCOMES))
    }
}

impl Common {
    pub fn new(route: &str) -> Self {
        Self {
            label: text_format::label("route", route),
            answers: OnceLock::new(),
            tunnel_durations: OnceLock::new(),
            signatures: OnceLock::new(),
        }
    }

    /// The label for the route, as it is shown.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// `None` before the first request.
    pub fn answers(&self) -> Option<&CountedAnswers> {
        self.answers.get()
    }

    /// `None` before the first tunnel.
    pub fn tunnel_durations(&self) -> Option<&Durations> {
        self.tunnel_durations.get()
    }

    /// Label, result and count of message signatures; none if no route looks at them.
    pub fn signatures(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let labels = Label::ALL.into_iter().map(Some).chain([None]);
        let pairs = labels.flat_map(|label| SignatureResult::ALL.map(|result| (label, result)));
        let counts = pairs.zip(self.signatures.get().into_iter().flatten());
        // A token that names a key has every result but this one, and any other token has only this one.
        let counts =
            counts.filter(|((label, result), _)| label.is_none() == (*result == SignatureResult::NoKey));
        counts.map(|((label, result), count)| {
            (label.map_or(NO_LABEL, Label::label), result.label(), count.load(Ordering::Relaxed))
        })
    }

    fn begin(&self) -> &CountedAnswers {
        self.answers.get_or_init(|| CountedAnswers {
            durations: Durations::new(&DURATION_BUCKETS),
            responses: counters(responses().count()),
        })
    }

    fn signature_counters(&self) -> &[AtomicU64] {
        self.signatures.get_or_init(|| counters((Label::ALL.len() + 1) * SignatureResult::ALL.len()))
    }
}

/// The signature label of a token that names no key.
const NO_LABEL: &str = "none";

/// Every pair of status class and sender, in the order of the counters.
pub(super) fn responses() -> impl Iterator<Item = (StatusClass, Source)> {
    StatusClass::ALL.into_iter().flat_map(|class| Source::ALL.map(|source| (class, source)))
}

/// Whether a request under this policy can have this outcome.
fn can_occur(policy: Policy, verdict: Verdict, reason: Reason) -> bool {
    match (verdict, reason) {
        (Verdict::Accepted, Reason::Ok) => policy == Policy::Protect,
        (Verdict::Rejected, Reason::Rejected(_)) => policy == Policy::Protect,
        (Verdict::Observed, Reason::Ok | Reason::Rejected(_)) => policy == Policy::Observe,
        (Verdict::Open, Reason::Ok) => policy == Policy::Open,
        (Verdict::Denied, Reason::PolicyDeny) => policy == Policy::Deny,
        (Verdict::Denied, Reason::Limit) => true,
        _ => false,
    }
}

fn increase(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
