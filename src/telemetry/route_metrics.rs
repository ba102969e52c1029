//! The metric series of the routes. A series exists from the first request of its route until some time
//! after a reload has removed the route.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::{Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::distribution::DURATION_BUCKETS;
use super::history::Totals;
use super::response::{Source, StatusClass};
use super::route_counts::Past;
use crate::approov::Rejection;
use crate::approov::message_signing::{Label, SignatureResult};
use crate::policy::{Policy, Verdict};

/// Bucket bounds in seconds, from a short conversation to a working day.
const TUNNEL_BUCKETS: [f64; 8] = [1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 28_800.0];

/// How long the series of a removed route are kept, so that Prometheus reads the last values and a route
/// that comes back continues to count. Without a limit, every reload that renames routes would add series.
const KEPT: Duration = Duration::from_secs(15 * 60);

const REASONS: usize = Rejection::ALL.len() + 3;

/// Why a request has its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Verification found nothing wrong, or the route does not ask for it.
    Ok,
    /// Verification failed.
    Rejected(Rejection),
    /// The request was refused whatever its token: by policy, because no route matches, or because the
    /// request is malformed.
    PolicyDeny,
    /// The request was refused by a limit or a ban.
    Limit,
}

impl Reason {
    /// Every reason, in the order of [`Reason::position`].
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let rejected = Rejection::ALL.into_iter().map(Reason::Rejected);
        [Reason::Ok, Reason::PolicyDeny, Reason::Limit].into_iter().chain(rejected)
    }

    fn position(self) -> usize {
        match self {
            Reason::Ok => 0,
            Reason::PolicyDeny => 1,
            Reason::Limit => 2,
            Reason::Rejected(rejection) => 3 + rejection as usize,
        }
    }

    /// The value of the label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            Reason::Ok => "ok",
            Reason::Rejected(rejection) => rejection.label(),
            Reason::PolicyDeny => "policy_deny",
            Reason::Limit => "limit",
        }
    }

    /// The value of `approov.reason` in the log. Empty for a request that was refused for another reason
    /// than its token.
    pub fn log_label(self) -> &'static str {
        match self {
            Reason::Ok | Reason::Rejected(_) => self.label(),
            Reason::PolicyDeny | Reason::Limit => "",
        }
    }
}

/// Every verdict with every reason, in the order of the counters.
pub(super) fn outcomes() -> impl Iterator<Item = (Verdict, Reason)> {
    Verdict::ALL.into_iter().flat_map(|verdict| Reason::all().map(move |reason| (verdict, reason)))
}

/// The signature label of a token that names no key.
const NO_LABEL: &str = "none";

/// Every pair of signature label and result that can occur.
fn signature_labels() -> impl Iterator<Item = (&'static str, &'static str)> {
    let pairs = Label::ALL.into_iter().flat_map(|label| {
        let results = SignatureResult::ALL.into_iter().filter(|result| *result != SignatureResult::NoKey);
        results.map(move |result| (label.label(), result.label()))
    });
    pairs.chain([(NO_LABEL, SignatureResult::NoKey.label())])
}

/// The metric families with a label for the route.
#[derive(Clone)]
struct Families {
    requests: IntCounterVec,
    durations: HistogramVec,
    responses: IntCounterVec,
    tunnel_durations: HistogramVec,
    signatures: IntCounterVec,
}

/// The counters of all routes. A route that stays after a reload continues to count.
pub(super) struct Routes {
    families: Families,
    pub(super) known: Mutex<HashMap<(Box<str>, Policy), Known>>,
    /// The counts of routes whose series were removed.
    pub(super) forgotten: Mutex<Totals>,
}

pub(super) struct Known {
    pub metrics: Arc<RouteMetrics>,
    /// The time since which no configuration in use has the route.
    pub unused_since: Option<Instant>,
}

impl Routes {
    /// Registers the families.
    ///
    /// # Errors
    /// If the registry has a family with one of the names.
    pub fn new(registry: &Registry) -> Result<Self, Error> {
        let families = Families {
            requests: IntCounterVec::new(
                Opts::new("requests_total", "Requests answered, by route, policy, verdict and reason."),
                &["route", "policy", "verdict", "reason"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "request_duration_seconds",
                    "Time from the request's header to the response's end.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
                &["route"],
            )?,
            responses: IntCounterVec::new(
                Opts::new("responses_total", "Responses, by route, status class and sender."),
                &["route", "status_class", "source"],
            )?,
            tunnel_durations: HistogramVec::new(
                HistogramOpts::new("tunnel_duration_seconds", "Time from a tunnel's request to its end.")
                    .buckets(TUNNEL_BUCKETS.to_vec()),
                &["route"],
            )?,
            signatures: IntCounterVec::new(
                Opts::new(
                    "message_signatures_total",
                    "Requests on routes that look at message signatures, by label and result.",
                ),
                &["route", "label", "result"],
            )?,
        };
        registry.register(Box::new(families.responses.clone()))?;
        registry.register(Box::new(families.tunnel_durations.clone()))?;
        registry.register(Box::new(families.requests.clone()))?;
        registry.register(Box::new(families.durations.clone()))?;
        registry.register(Box::new(families.signatures.clone()))?;
        Ok(Self { families, known: Mutex::default(), forgotten: Mutex::new(Totals::none()) })
    }

    /// The counters of the route with this name and policy.
    pub fn find(&self, name: &str, policy: Policy) -> Arc<RouteMetrics> {
        let mut known = self.known.lock();
        let entry = known.entry((name.into(), policy)).or_insert_with(|| {
            let families = self.families.clone();
            let (series, past) = (OnceLock::new(), Mutex::default());
            let metrics = RouteMetrics { name: name.into(), policy, families, series, past };
            Known { metrics: Arc::new(metrics), unused_since: None }
        });
        entry.metrics.clone()
    }

    /// Removes the series of routes that have been unused for [`KEPT`].
    pub fn forget_unused(&self, now: Instant) {
        let mut known = self.known.lock();
        let mut gone = Vec::new();
        known.retain(|_, known| {
            // A snapshot that counts here holds a reference. The lock prevents new ones.
            if Arc::strong_count(&known.metrics) > 1 {
                known.unused_since = None;
                return true;
            }
            let is_kept = now.duration_since(*known.unused_since.get_or_insert(now)) < KEPT;
            if !is_kept {
                gone.push(known.metrics.clone());
            }
            is_kept
        });
        let mut forgotten = self.forgotten.lock();
        let mut names = HashSet::new();
        for metrics in gone {
            forgotten.add_requests(&metrics);
            // The other series have no label for the policy. A route with another policy goes on with them.
            let of = |policy| known.get(&(metrics.name.clone(), policy));
            let heir = Policy::ALL.into_iter().find_map(of);
            match (metrics.series.get(), heir) {
                (Some(_), Some(heir)) => drop(heir.metrics.series()),
                (Some(series), None) if names.insert(metrics.name.clone()) => forgotten.add_shared(series),
                _ => {}
            }
            metrics.remove(heir.is_some());
        }
    }
}

/// The counters of one route, looked up once and then incremented without a lookup.
pub struct RouteMetrics {
    pub(super) name: Box<str>,
    pub(super) policy: Policy,
    families: Families,
    /// Created by the first request, because most of a large number of routes never get one.
    pub(super) series: OnceLock<Series>,
    /// Earlier counts, for the status page.
    pub(super) past: Mutex<Past>,
}

pub(super) struct Series {
    /// One counter for each verdict and reason, looked up when it is first used.
    pub requests: Box<[OnceLock<IntCounter>]>,
    pub durations: Histogram,
    /// One counter for each status class and sender.
    pub responses: Box<[IntCounter]>,
    /// Created by the first tunnel.
    tunnel_durations: OnceLock<Histogram>,
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
    /// Counts a finished request.
    pub fn record(&self, request: CountedRequest) {
        let CountedRequest { verdict, reason, response, duration, is_tunnel } = request;
        let series = self.series();
        self.counter(series, verdict, reason).inc();
        if let Some((class, source)) = response {
            series.responses[class as usize * Source::ALL.len() + source as usize].inc();
        }
        if is_tunnel {
            let durations = || self.families.tunnel_durations.with_label_values(&[&*self.name]);
            series.tunnel_durations.get_or_init(durations).observe(duration.as_secs_f64());
        } else {
            series.durations.observe(duration.as_secs_f64());
        }
    }

    /// Creates every series that requests under this policy can have, so that an alert sees the first
    /// request as a change from 0.
    pub fn prepare(&self) {
        let series = self.series();
        let (forwarded, failed) = match self.policy {
            Policy::Protect => (Some(Verdict::Accepted), Some(Verdict::Rejected)),
            Policy::Observe => (Some(Verdict::Observed), Some(Verdict::Observed)),
            Policy::Open => (Some(Verdict::Open), None),
            Policy::Deny => (None, None),
        };
        if let Some(verdict) = forwarded {
            self.counter(series, verdict, Reason::Ok);
        } else {
            self.counter(series, Verdict::Denied, Reason::PolicyDeny);
        }
        if let Some(verdict) = failed {
            for rejection in Rejection::ALL {
                self.counter(series, verdict, Reason::Rejected(rejection));
            }
        }
        self.counter(series, Verdict::Denied, Reason::Limit);
    }

    fn series(&self) -> &Series {
        self.series.get_or_init(|| Series {
            requests: std::iter::repeat_with(OnceLock::new).take(Verdict::ALL.len() * REASONS).collect(),
            durations: self.families.durations.with_label_values(&[&*self.name]),
            responses: responses().map(|labels| self.response(labels)).collect(),
            tunnel_durations: OnceLock::new(),
        })
    }

    fn counter<'s>(&self, series: &'s Series, verdict: Verdict, reason: Reason) -> &'s IntCounter {
        series.requests[verdict as usize * REASONS + reason.position()]
            .get_or_init(|| self.families.requests.with_label_values(&self.labels(verdict, reason)))
    }

    fn response(&self, (class, source): (StatusClass, Source)) -> IntCounter {
        self.families.responses.with_label_values(&[&*self.name, class.label(), source.label()])
    }

    /// Creates every series of message signatures, so that they start at 0.
    pub fn expect_signatures(&self) {
        for (label, result) in signature_labels() {
            self.families.signatures.with_label_values(&[&*self.name, label, result]);
        }
    }

    /// Counts the result of a message signature. `label` is `None` if the token names no key.
    pub fn record_signature(&self, label: Option<Label>, result: SignatureResult) {
        let labels = [&*self.name, label.map_or(NO_LABEL, Label::label), result.label()];
        self.families.signatures.with_label_values(&labels).inc();
    }

    fn labels(&self, verdict: Verdict, reason: Reason) -> [&str; 4] {
        [&self.name, self.policy.label(), verdict.label(), reason.label()]
    }

    /// Removes the series of this route. `keeps_durations` is set if another route with the same name but
    /// another policy still uses the durations.
    fn remove(&self, keeps_durations: bool) {
        if !keeps_durations {
            for (label, result) in signature_labels() {
                // Removing fails if the series was never created.
                let _ = self.families.signatures.remove_label_values(&[&*self.name, label, result]);
            }
        }
        let Some(series) = self.series.get() else { return };
        for (cell, (verdict, reason)) in series.requests.iter().zip(outcomes()) {
            if cell.get().is_some() {
                // The series exists, because nothing else removes it.
                let _ = self.families.requests.remove_label_values(&self.labels(verdict, reason));
            }
        }
        if !keeps_durations {
            let _ = self.families.durations.remove_label_values(&[&*self.name]);
            let _ = self.families.tunnel_durations.remove_label_values(&[&*self.name]);
            for (class, source) in responses() {
                let labels = [&*self.name, class.label(), source.label()];
                let _ = self.families.responses.remove_label_values(&labels);
            }
        }
    }
}

/// Every pair of status class and sender, in the order of the counters.
fn responses() -> impl Iterator<Item = (StatusClass, Source)> {
    StatusClass::ALL.into_iter().flat_map(|class| Source::ALL.map(|source| (class, source)))
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn counted(verdict: Verdict, reason: Reason) -> CountedRequest {
        let response = Some((StatusClass::Success, Source::Origin));
        CountedRequest { verdict, reason, response, duration: Duration::ZERO, is_tunnel: false }
    }

    #[test]
    fn every_series_is_there_with_0_before_the_first_request() {
        let registry = Registry::new();
        let route = Routes::new(&registry).expect("names are unique").find("/v1/", Policy::Protect);
        route.prepare();
        let text = text(&registry);
        for line in [
            "requests_total{policy=\"protect\",reason=\"ok\",route=\"/v1/\",verdict=\"accepted\"} 0\n",
            "requests_total{policy=\"protect\",reason=\"expired\",route=\"/v1/\",verdict=\"rejected\"} 0\n",
            "requests_total{policy=\"protect\",reason=\"limit\",route=\"/v1/\",verdict=\"denied\"} 0\n",
            "responses_total{route=\"/v1/\",source=\"gateway\",status_class=\"5xx\"} 0\n",
            "responses_total{route=\"/v1/\",source=\"origin\",status_class=\"2xx\"} 0\n",
            "request_duration_seconds_count{route=\"/v1/\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn what_the_policies_of_a_route_share_is_summed_up_once() {
        let routes = Routes::new(&Registry::new()).expect("names are unique");
        let error = CountedRequest {
            response: Some((StatusClass::ServerError, Source::Origin)),
            ..counted(Verdict::Observed, Reason::Ok)
        };
        let before = routes.find("/v1/", Policy::Observe);
        before.record(error);
        let after = routes.find("/v1/", Policy::Protect);
        after.prepare();
        after.record(CountedRequest { verdict: Verdict::Accepted, ..error });
        let sums = || (routes.totals().requests, routes.totals().server_errors);
        assert_eq!(sums(), (2, 2));
        drop(before);
        let now = crate::clock::now();
        routes.forget_unused(now);
        routes.forget_unused(now + KEPT);
        assert!(!routes.known.lock().contains_key(&("/v1/".into(), Policy::Observe)));
        assert_eq!(sums(), (2, 2), "the other policy goes on with the counts");
        drop(after);
        routes.forget_unused(now + KEPT);
        routes.forget_unused(now + 2 * KEPT);
        assert!(routes.known.lock().is_empty());
        assert_eq!(sums(), (2, 2));
    }

    #[test]
    fn positions_follow_the_order_of_all_reasons() {
        assert!(Reason::all().map(Reason::position).eq(0..REASONS));
    }

    #[test]
    fn a_tunnel_is_counted_apart_from_requests() {
        let registry = Registry::new();
        let route = Routes::new(&registry).expect("names are unique").find("/", Policy::Open);
        let tunnel = CountedRequest { is_tunnel: true, ..counted(Verdict::Open, Reason::Ok) };
        route.record(CountedRequest { duration: Duration::from_secs(90), ..tunnel });
        let text = text(&registry);
        assert!(text.contains("tunnel_duration_seconds_sum{route=\"/\"} 90\n"), "{text}");
        assert!(text.contains("request_duration_seconds_count{route=\"/\"} 0\n"), "{text}");
    }

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).expect("encodes")
    }

    #[test]
    fn each_verdict_and_reason_has_a_counter_of_its_own() {
        let registry = Registry::new();
        let route = Routes::new(&registry).expect("names are unique").find("/v1/", Policy::Protect);
        assert_eq!(text(&registry), "", "nothing before the first request");
        route.record(counted(Verdict::Accepted, Reason::Ok));
        for rejection in Rejection::ALL {
            for _ in 0..=rejection as usize {
                route.record(counted(Verdict::Rejected, Reason::Rejected(rejection)));
            }
        }
        let text = text(&registry);
        for rejection in Rejection::ALL {
            let line = format!(
                "requests_total{{policy=\"protect\",reason=\"{}\",route=\"/v1/\",verdict=\"rejected\"}} {}\n",
                rejection.label(),
                rejection as usize + 1
            );
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[test]
    fn a_removed_route_is_forgotten_after_a_while_and_one_that_stays_goes_on() {
        let registry = Registry::new();
        let routes = Routes::new(&registry).expect("names are unique");
        let start = Instant::now();
        let record = |name, policy, verdict| {
            let route = routes.find(name, policy);
            route.record(counted(verdict, Reason::Ok));
            route
        };
        let kept = record("/kept", Policy::Open, Verdict::Open);
        drop(record("/gone", Policy::Protect, Verdict::Accepted));
        drop(record("/kept", Policy::Protect, Verdict::Accepted));
        let lines = text(&registry).lines().count();
        routes.forget_unused(start);
        routes.forget_unused(start + KEPT / 2);
        assert_eq!(text(&registry).lines().count(), lines);
        // It comes back in time, and goes on counting.
        drop(record("/gone", Policy::Protect, Verdict::Accepted));
        let back = routes.find("/gone", Policy::Protect);
        routes.forget_unused(start + KEPT);
        assert!(text(&registry).contains("route=\"/gone\",verdict=\"accepted\"} 2\n"));
        drop(back);
        routes.forget_unused(start + KEPT);
        routes.forget_unused(start + 2 * KEPT);
        let text = text(&registry);
        assert!(!text.contains("/gone"), "{text}");
        assert!(!text.contains("accepted"), "{text}");
        assert!(text.contains("request_duration_seconds_count{route=\"/kept\"} 2\n"), "{text}");
        kept.record(counted(Verdict::Open, Reason::Ok));
        assert_eq!(routes.known.lock().len(), 1);
    }
}
