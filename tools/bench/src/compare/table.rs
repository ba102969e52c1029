//! Figures, and the table that every mode prints.

use serde_json::{Map, Value, json};

use super::modes::Mode;
use super::peers::{Peer, REFERENCE};
use crate::rig::figures::{mebibytes, median, time};

#[derive(Clone, Copy)]
pub struct Figure {
    pub name: &'static str,
    show: fn(f64) -> String,
    over: fn(Vec<f64>) -> f64,
    has_ratio: bool,
}

impl Figure {
    pub const fn new(name: &'static str, show: fn(f64) -> String) -> Self {
        Self { name, show, over: median, has_ratio: false }
    }

    pub const fn sum(name: &'static str) -> Self {
        Self { over: |values| values.iter().sum(), ..Self::new(name, count) }
    }

    pub const fn most(name: &'static str, show: fn(f64) -> String) -> Self {
        Self { over: |values| values.into_iter().fold(0.0, f64::max), ..Self::new(name, show) }
    }

    /// Also shows the ratio to the reference, round by round.
    pub const fn with_ratio(self) -> Self {
        Self { has_ratio: true, ..self }
    }
}

pub const RATE: Figure = Figure::new("requests/s", count).with_ratio();
pub const CPU: Figure = Figure::new("CPU/request", micros).with_ratio();
/// Well below 100 % the load or the origin was the limit, and not the peer.
pub const BUSY: Figure = Figure::new("busy", |percent| format!("{percent:.0} %"));
pub const P50: Figure = Figure::new("p50", time);
pub const P99: Figure = Figure::new("p99", time);
pub const P999: Figure = Figure::new("p99.9", time);
/// At the end of a round, under load.
pub const MEMORY: Figure = Figure::new("memory", memory);
/// Above idle, for each request in flight, connections included.
pub const EACH_REQUEST: Figure = Figure::new("each request", kibibytes);
/// Above the memory after load, for each connection that is held.
pub const EACH_CONNECTION: Figure = Figure::new("each conn.", kibibytes);

pub fn count(value: f64) -> String {
    format!("{value:.0}")
}

pub fn memory(kib: f64) -> String {
    mebibytes(kib as u64)
}

pub fn kibibytes(kib: f64) -> String {
    format!("{kib:.1} KiB")
}

pub fn micros(value: f64) -> String {
    format!("{value:.1} µs")
}

pub type Sample = Vec<(Figure, f64)>;

pub struct Row {
    pub peer: Peer,
    pub samples: Vec<Sample>,
    /// What a reader has to know beyond the figures.
    pub remarks: Vec<String>,
}

impl Row {
    fn values(&self, figure: Figure) -> impl Iterator<Item = f64> {
        let of =
            move |sample: &Sample| sample.iter().find(|(of, _)| of.name == figure.name).map(|(_, of)| *of);
        self.samples.iter().filter_map(of)
    }

    /// The figure over all rounds; NaN if it was not measured.
    pub fn value(&self, figure: Figure) -> f64 {
        let values: Vec<f64> = self.values(figure).collect();
        if values.is_empty() { f64::NAN } else { (figure.over)(values) }
    }

    /// The median of the ratios to the same rounds of another peer.
    pub fn ratio(&self, to: &Row, figure: Figure) -> f64 {
        median(self.values(figure).zip(to.values(figure)).map(|(this, that)| this / that))
    }
}

pub struct Table {
    pub mode: &'static Mode,
    pub rows: Vec<Row>,
    /// What holds for all rows.
    pub remark: String,
}

impl Table {
    pub fn row(&self, peer: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer.name == peer)
    }

    /// The row that ratios refer to: HAProxy, or the first row without it.
    pub fn reference(&self) -> Option<&Row> {
        self.row(REFERENCE).or_else(|| self.rows.first()).filter(|row| !row.samples.is_empty())
    }

    pub fn print(&self) {
        println!("\n{}: {}", self.mode.name, self.mode.title);
        let Some(reference) = self.reference() else { return };
        let figures: Vec<Figure> = reference.samples[0].iter().map(|(figure, _)| *figure).collect();
        let line = |name: &str, cell: &dyn Fn(Figure) -> String, ratio: &dyn Fn(Figure) -> String| {
            let ratio = |figure: Figure| if figure.has_ratio { ratio(figure) } else { String::new() };
            let cells = figures.iter().map(|figure| format!(" {:>12}{}", cell(*figure), ratio(*figure)));
            println!("{name:22}{}", cells.collect::<String>());
        };
        line("", &|figure| figure.name.into(), &|_| format!(" {:>6}", "ratio"));
        for row in self.rows.iter().filter(|row| !row.samples.is_empty()) {
            let ratio = |figure| format!(" {:>6.2}", row.ratio(reference, figure));
            line(&row.peer.name, &|figure| (figure.show)(row.value(figure)), &ratio);
        }
        for row in &self.rows {
            row.remarks.iter().for_each(|remark| println!("{}: {remark}", row.peer.name));
        }
        let (rounds, name) = (reference.samples.len(), &reference.peer.name);
        println!("{rounds} rounds, ratios to {name}, round by round{}", self.remark);
    }

    pub fn json(&self) -> Value {
        let sample = |sample: &Sample| {
            Value::from_iter(sample.iter().map(|(figure, value)| (figure.name, json!(value))))
        };
        let rows = self.rows.iter().map(|row| {
            let samples: Vec<Value> = row.samples.iter().map(sample).collect();
            (row.peer.name.clone(), json!({ "rounds": samples, "remarks": row.remarks }))
        });
        json!({ "mode": self.mode.name, "peers": Map::from_iter(rows) })
    }
}
