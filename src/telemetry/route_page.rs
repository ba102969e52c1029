//! The series of the routes on the page of metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::distribution::DURATION_BUCKETS;
use super::route_metrics::{Common, RouteMetrics, TUNNEL_BUCKETS, responses};
use super::routes::Routes;
use super::text_format::{Family, Histograms};
use super::turns::Turns;

impl Routes {
    /// Adds all families with a label for the route to the page.
    pub fn write(&self, page: &mut String) {
        let known = self.known.lock();
        let mut turns = Turns::default();
        let common = known.values().map(|known| {
            turns.step();
            &known.metrics.common
        });
        let mut common: Vec<&Arc<Common>> = common.collect();
        // The policies of a route are neighbours.
        common.dedup_by(|one, other| Arc::ptr_eq(one, other));
        write_requests(page, known.values().map(|known| &*known.metrics));
        write_responses(page, &common);
        write_durations(page, &common);
        write_tunnel_durations(page, &common);
        write_signatures(page, &common);
    }
}

fn write_requests<'r>(page: &mut String, routes: impl Iterator<Item = &'r RouteMetrics>) {
    let help = "Requests answered, by route, policy, verdict and reason.";
    let mut family = Family::counters(page, "requests_total", help);
    for metrics in routes {
        let (policy, route) = (metrics.policy.label(), metrics.common.label());
        for (verdict, reason, count) in metrics.requests() {
            let (reason, verdict) = (reason.label(), verdict.label());
            #[rustfmt::skip]
            let labels = [
                "{policy=\"", policy, "\",reason=\"", reason, "\",", route, ",verdict=\"", verdict, "\"}",
            ];
            family.count(&labels, count);
        }
    }
}

fn write_responses(page: &mut String, routes: &[&Arc<Common>]) {
    let help = "Responses, by route, status class and sender.";
    let mut family = Family::counters(page, "responses_total", help);
    let labels = responses().map(|(class, source)| {
        format!(",source=\"{}\",status_class=\"{}\"}}", source.label(), class.label())
    });
    let labels: Vec<String> = labels.collect();
    for route in routes {
        let counts = route.answers().into_iter().flat_map(|answers| &answers.responses);
        for (labels, count) in labels.iter().zip(counts) {
            family.count(&["{", route.label(), labels], count.load(Ordering::Relaxed));
        }
    }
}

fn write_durations(page: &mut String, routes: &[&Arc<Common>]) {
    let help = "Time from the request's header to the response's end.";
    let mut family = Histograms::new(page, "request_duration_seconds", help, &DURATION_BUCKETS);
    for route in routes {
        if let Some(answers) = route.answers() {
            family.series(route.label(), &answers.durations);
        }
    }
}

fn write_tunnel_durations(page: &mut String, routes: &[&Arc<Common>]) {
    let help = "Time from a tunnel's request to its end.";
    let mut family = Histograms::new(page, "tunnel_duration_seconds", help, &TUNNEL_BUCKETS);
    for route in routes {
        if let Some(durations) = route.tunnel_durations() {
            family.series(route.label(), durations);
        }
    }
}

fn write_signatures(page: &mut String, routes: &[&Arc<Common>]) {
    let help = "Requests on routes that look at message signatures, by label and result.";
    let mut family = Family::counters(page, "message_signatures_total", help);
    for route in routes {
        for (label, result, count) in route.signatures() {
            let labels = ["{label=\"", label, "\",result=\"", result, "\",", route.label(), "}"];
            family.count(&labels, count);
        }
    }
}
