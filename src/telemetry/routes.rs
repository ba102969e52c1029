//! The routes that are counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::history::Totals;
use super::route_metrics::{Common, RouteMetrics};
use super::turns::Turns;
use crate::policy::Policy;

/// How long the series of a removed route are kept, so that Prometheus reads the last values and a route
/// that comes back continues to count. Without a limit, every reload that renames routes would add series.
pub(super) const KEPT: Duration = Duration::from_secs(15 * 60);

/// The counters of all routes. A route that stays after a reload continues to count.
pub(super) struct Routes {
    pub known: Mutex<BTreeMap<(Box<str>, Policy), Known>>,
    /// The counts of routes whose series were removed.
    pub forgotten: Mutex<Totals>,
}

pub(super) struct Known {
    pub metrics: Arc<RouteMetrics>,
    /// The time since which no configuration in use has the route.
    pub unused_since: Option<Instant>,
}

impl Routes {
    /// No routes yet.
    pub fn new() -> Self {
        Self { known: Mutex::default(), forgotten: Mutex::new(Totals::none()) }
    }

    /// The counters of the route with this name and policy.
    pub fn find(&self, name: &str, policy: Policy) -> Arc<RouteMetrics> {
        let mut known = self.known.lock();
        let of = |policy| known.get(&(name.into(), policy));
        if let Some(known) = of(policy) {
            return known.metrics.clone();
        }
        let common = Policy::ALL.into_iter().find_map(of).map(|known| known.metrics.common.clone());
        let common = common.unwrap_or_else(|| Arc::new(Common::new(name)));
        let metrics = Arc::new(RouteMetrics::new(name, policy, common));
        known.insert((name.into(), policy), Known { metrics: metrics.clone(), unused_since: None });
        metrics
    }

    /// Removes the series of routes that have been unused for [`KEPT`].
    pub fn forget_unused(&self, now: Instant) {
        let mut known = self.known.lock();
        let mut forgotten = self.forgotten.lock();
        let mut turns = Turns::default();
        known.retain(|_, known| {
            turns.step();
            // A snapshot that counts here holds a reference. The lock prevents new ones.
            if Arc::strong_count(&known.metrics) > 1 {
                known.unused_since = None;
                return true;
            }
            let is_kept = now.duration_since(*known.unused_since.get_or_insert(now)) < KEPT;
            if !is_kept {
                forgotten.add_requests(&known.metrics);
                // Without another policy of the route, nothing else refers to what they have in common.
                if Arc::strong_count(&known.metrics.common) == 1 {
                    forgotten.add_common(&known.metrics.common);
                }
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approov::Rejection;
    use crate::policy::Verdict;
    use crate::telemetry::reason::Reason;
    use crate::telemetry::response::{Source, StatusClass};
    use crate::telemetry::route_metrics::CountedRequest;

    fn counted(verdict: Verdict, reason: Reason) -> CountedRequest {
        let response = Some((StatusClass::Success, Source::Origin));
        CountedRequest { verdict, reason, response, duration: Duration::ZERO, is_tunnel: false }
    }

    #[test]
    fn every_series_is_there_with_0_before_the_first_request() {
        let routes = Routes::new();
        let route = routes.find("/v1/", Policy::Protect);
        route.prepare();
        let text = text(&routes);
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
        let routes = Routes::new();
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
    fn a_tunnel_is_counted_apart_from_requests() {
        let routes = Routes::new();
        let route = routes.find("/", Policy::Open);
        let tunnel = CountedRequest { is_tunnel: true, ..counted(Verdict::Open, Reason::Ok) };
        route.record(CountedRequest { duration: Duration::from_secs(90), ..tunnel });
        let text = text(&routes);
        assert!(text.contains("tunnel_duration_seconds_sum{route=\"/\"} 90\n"), "{text}");
        assert!(text.contains("request_duration_seconds_count{route=\"/\"} 0\n"), "{text}");
    }

    fn text(routes: &Routes) -> String {
        let mut page = String::new();
        routes.write(&mut page);
        page
    }

    #[test]
    fn each_verdict_and_reason_has_a_counter_of_its_own() {
        let routes = Routes::new();
        let route = routes.find("/v1/", Policy::Protect);
        assert_eq!(text(&routes), "", "nothing before the first request");
        route.record(counted(Verdict::Accepted, Reason::Ok));
        for rejection in Rejection::ALL {
            for _ in 0..=rejection as usize {
                route.record(counted(Verdict::Rejected, Reason::Rejected(rejection)));
            }
        }
        let text = text(&routes);
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
        let routes = Routes::new();
        let start = Instant::now();
        let record = |name, policy, verdict| {
            let route = routes.find(name, policy);
            route.record(counted(verdict, Reason::Ok));
            route
        };
        let kept = record("/kept", Policy::Open, Verdict::Open);
        drop(record("/gone", Policy::Protect, Verdict::Accepted));
        drop(record("/kept", Policy::Protect, Verdict::Accepted));
        let lines = text(&routes).lines().count();
        routes.forget_unused(start);
        routes.forget_unused(start + KEPT / 2);
        assert_eq!(text(&routes).lines().count(), lines);
        // It comes back in time, and goes on counting.
        drop(record("/gone", Policy::Protect, Verdict::Accepted));
        let back = routes.find("/gone", Policy::Protect);
        routes.forget_unused(start + KEPT);
        assert!(text(&routes).contains("route=\"/gone\",verdict=\"accepted\"} 2\n"));
        drop(back);
        routes.forget_unused(start + KEPT);
        routes.forget_unused(start + 2 * KEPT);
        let text = text(&routes);
        assert!(!text.contains("/gone"), "{text}");
        assert!(!text.contains("accepted"), "{text}");
        assert!(text.contains("request_duration_seconds_count{route=\"/kept\"} 2\n"), "{text}");
        kept.record(counted(Verdict::Open, Reason::Ok));
        assert_eq!(routes.known.lock().len(), 1);
    }
}
