//! What honest clients have seen.

use std::time::Duration;

/// What belongs to one phase of a run.
#[derive(Clone, Debug, Default)]
pub struct Phase {
    pub latencies: Vec<Duration>,
    /// By how much requests were sent late: that is this program's doing, not the gateway's.
    pub lateness: Vec<Duration>,
    /// What became of requests that were not answered as they should.
    pub lost: Vec<String>,
    /// Requests asked again, as HTTP/2 has it, since the connection was going away.
    pub again: usize,
}

/// All of it, by phase.
#[derive(Clone, Debug, Default)]
pub struct Seen(pub Vec<Phase>);

impl Seen {
    pub fn phase(&mut self, phase: usize) -> &mut Phase {
        if self.0.len() <= phase {
            self.0.resize_with(phase + 1, Phase::default);
        }
        &mut self.0[phase]
    }

    pub fn lost(&self) -> impl Iterator<Item = &String> {
        self.0.iter().flat_map(|phase| &phase.lost)
    }

    /// The latency that so many of a hundred requests do not exceed.
    pub fn latency(&self, phase: usize, percent: f64) -> Duration {
        percentile(self.0.get(phase).map_or(&[], |phase| &phase.latencies), percent)
    }

    /// The median of that over several phases: what happens on the machine in one of them does not
    /// decide.
    pub fn median_latency(&self, phases: &[usize], percent: f64) -> Duration {
        let of_each: Vec<_> = phases.iter().map(|phase| self.latency(*phase, percent)).collect();
        percentile(&of_each, 50.0)
    }

    /// Several phases as one.
    pub fn together(&self, phases: &[usize]) -> Phase {
        let mut all = Phase::default();
        for phase in phases.iter().filter_map(|phase| self.0.get(*phase)) {
            all.latencies.extend(&phase.latencies);
            all.lateness.extend(&phase.lateness);
            all.lost.extend(phase.lost.iter().cloned());
            all.again += phase.again;
        }
        all
    }
}

/// What so many of a hundred do not exceed; zero where there are none.
pub fn percentile(durations: &[Duration], percent: f64) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let index = (sorted.len().saturating_sub(1) as f64 * percent / 100.0).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}
