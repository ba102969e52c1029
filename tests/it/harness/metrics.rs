//! A reader of Prometheus' text format.

/// One answer of `/metrics`.
pub struct Metrics {
    pub text: String,
}

/// One series and its value.
#[derive(Debug)]
pub struct Sample<'m> {
    pub name: &'m str,
    pub labels: Vec<(&'m str, &'m str)>,
    pub value: f64,
}

impl Metrics {
    /// The sum of all samples that have this name and at least these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples()
            .filter(|sample| sample.name == name)
            .filter(|sample| labels.iter().all(|label| sample.labels.contains(label)))
            .map(|sample| sample.value)
            .sum()
    }

    pub fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        self.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
            let labels = labels.map(|label| {
                let (name, value) = label.split_once("=\"").expect("a label has a value");
                (name, value.trim_end_matches('"'))
            });
            let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
            Sample { name, labels: labels.collect(), value }
        })
    }
}
