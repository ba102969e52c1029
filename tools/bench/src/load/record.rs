//! The answers that clients got, and how long they took.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rig::figures::percentile;

#[derive(Clone, Debug, Default)]
pub struct Phase {
    /// Latencies of the requests with the expected answer.
    pub latencies: Vec<Duration>,
    /// Delays between the due time of a request and its handing out, caused by this program and not by
    /// the server.
    pub lateness: Vec<Duration>,
    /// What came in place of the expected answer, and how often.
    pub failures: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub phases: Vec<Phase>,
    pub elapsed: Duration,
    pub asked: u64,
    /// Requests that were still without an answer when patience ended.
    pub unanswered: u64,
}

impl Seen {
    pub fn together(&self, phases: &[usize]) -> Phase {
        let mut all = Phase::default();
        for phase in phases.iter().filter_map(|phase| self.phases.get(*phase)) {
            all.latencies.extend(&phase.latencies);
            all.lateness.extend(&phase.lateness);
            for (failure, count) in &phase.failures {
                *all.failures.entry(failure.clone()).or_default() += count;
            }
        }
        all
    }

    pub fn whole(&self) -> Phase {
        self.together(&(0..self.phases.len()).collect::<Vec<_>>())
    }

    /// Requests without the expected answer.
    pub fn lost(&self) -> u64 {
        self.unanswered + self.phases.iter().map(Phase::lost).sum::<u64>()
    }
}

impl Phase {
    /// Requests without the expected answer.
    pub fn lost(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Requests with and without the expected answer.
    pub fn requests(&self) -> u64 {
        self.latencies.len() as u64 + self.lost()
    }

    pub fn latency(&self, percent: f64) -> Duration {
        percentile(&self.latencies, percent)
    }
}
