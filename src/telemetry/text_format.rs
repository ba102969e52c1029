//! Version 0.0.4 of Prometheus' text format.
//!
//! The crate `prometheus` first builds a message with texts of its own for each series. That is too slow for
//! the series of ten thousand routes, so they are written straight into the page.

use super::durations::Durations;
use super::turns::Turns;

/// The prefix of the names of all families but the process's own.
pub(super) const NAMESPACE: &str = "approov_gateway";

/// The series of one metric family, which follow each other on the page.
pub(super) struct Family<'p> {
    page: &'p mut String,
    turns: Turns,
    name: String,
    /// `None` after the first series: a family without series does not show.
    header: Option<String>,
}

impl<'p> Family<'p> {
    /// A family of counters.
    pub fn counters(page: &'p mut String, name: &str, help: &str) -> Self {
        Self::new(page, name, "counter", help)
    }

    fn new(page: &'p mut String, name: &str, kind: &str, help: &str) -> Self {
        let name = format!("{NAMESPACE}_{name}");
        let header = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Self { page, turns: Turns::default(), name, header: Some(header) }
    }

    /// Writes a counter. The pieces together are its labels in braces.
    pub fn count(&mut self, pieces: &[&str], value: u64) {
        self.sample(pieces, itoa::Buffer::new().format(value));
    }

    fn sample(&mut self, pieces: &[&str], value: &str) {
        if let Some(header) = self.header.take() {
            self.page.push_str(&header);
        }
        self.page.push_str(&self.name);
        pieces.iter().for_each(|piece| self.page.push_str(piece));
        self.page.push(' ');
        self.page.push_str(value);
        self.page.push('\n');
        self.turns.step();
    }
}

/// A family of histograms with the same bounds.
pub(super) struct Histograms<'p> {
    family: Family<'p>,
    /// The label of each bucket and the closing brace.
    buckets: Vec<String>,
}

impl<'p> Histograms<'p> {
    /// A family of histograms with these bounds in seconds.
    pub fn new(page: &'p mut String, name: &str, help: &str, bounds: &[f64]) -> Self {
        let finite = bounds.iter().map(|bound| format!("le=\"{bound}\"}}"));
        let buckets = finite.chain(["le=\"+Inf\"}".to_owned()]).collect();
        Self { family: Family::new(page, name, "histogram", help), buckets }
    }

    /// Writes the histogram with this label, or without any if `label` is empty.
    pub fn series(&mut self, label: &str, durations: &Durations) {
        let (comma, open, close) = if label.is_empty() { ("", "", "") } else { (",", "{", "}") };
        let mut count = 0;
        for (bucket, within) in self.buckets.iter().zip(durations.counts()) {
            count += within;
            self.family.count(&["_bucket{", label, comma, bucket], count);
        }
        self.family.sample(&["_sum", open, label, close], &durations.sum().to_string());
        self.family.count(&["_count", open, label, close], count);
    }
}

/// A label with any text as its value.
pub(super) fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", value.replace('\\', r"\\").replace('\n', r"\n").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_histogram_has_cumulative_buckets_a_sum_and_a_count() {
        let durations = Durations::new(&[0.000_25, 10.0]);
        durations.record(Duration::from_secs(5));
        durations.record(Duration::from_secs(90));
        let mut page = String::new();
        let mut family = Histograms::new(&mut page, "h_seconds", "Help.", &[0.000_25, 10.0]);
        family.series("", &durations);
        family.series(&label("route", "/"), &durations);
        assert_eq!(
            page,
            "# HELP approov_gateway_h_seconds Help.\n\
             # TYPE approov_gateway_h_seconds histogram\n\
             approov_gateway_h_seconds_bucket{le=\"0.00025\"} 0\n\
             approov_gateway_h_seconds_bucket{le=\"10\"} 1\n\
             approov_gateway_h_seconds_bucket{le=\"+Inf\"} 2\n\
             approov_gateway_h_seconds_sum 95\n\
             approov_gateway_h_seconds_count 2\n\
             approov_gateway_h_seconds_bucket{route=\"/\",le=\"0.00025\"} 0\n\
             approov_gateway_h_seconds_bucket{route=\"/\",le=\"10\"} 1\n\
             approov_gateway_h_seconds_bucket{route=\"/\",le=\"+Inf\"} 2\n\
             approov_gateway_h_seconds_sum{route=\"/\"} 95\n\
             approov_gateway_h_seconds_count{route=\"/\"} 2\n"
        );
    }

    #[test]
    fn a_family_without_series_does_not_show() {
        let mut page = String::new();
        Family::counters(&mut page, "c_total", "Help.");
        assert_eq!(page, "");
    }

    #[test]
    fn values_of_labels_are_escaped() {
        assert_eq!(label("route", "a\"b\\c\nd"), r#"route="a\"b\\c\nd""#);
    }
}
