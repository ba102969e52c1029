//! Memory, descriptors and CPU of the gateway over time.

use std::thread;
use std::time::{Duration, Instant};

use crate::rig::process::Process;

#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the start of the run.
    pub at: Duration,
    pub phase: &'static str,
    pub memory_kib: u64,
    pub descriptors: usize,
    pub cpu: Duration,
}

#[derive(Debug)]
pub struct Watch {
    start: Instant,
    pub samples: Vec<Sample>,
}

impl Watch {
    pub fn new() -> Self {
        Self { start: Instant::now(), samples: Vec::new() }
    }

    /// Takes so many samples of a phase, the last one at its end.
    pub fn during(&mut self, phase: &'static str, gateway: &Process, duration: Duration, times: u32) {
        let start = Instant::now();
        for time in 1..=times {
            thread::sleep((duration * time / times).saturating_sub(start.elapsed()));
            self.samples.push(Sample {
                at: self.start.elapsed(),
                phase,
                memory_kib: gateway.memory_kib(),
                descriptors: gateway.descriptors(),
                cpu: gateway.cpu(),
            });
        }
    }

    /// The last sample of a phase.
    pub fn end_of(&self, phase: &str) -> Option<&Sample> {
        self.samples.iter().rev().find(|sample| sample.phase == phase)
    }

    /// The share of a core that the gateway used in a phase.
    pub fn load(&self, phase: &str) -> f64 {
        let last = self.samples.iter().rposition(|sample| sample.phase == phase);
        let first = self.samples.iter().position(|sample| sample.phase == phase);
        let (Some(before), Some(last)) = (first.and_then(|first| first.checked_sub(1)), last) else {
            return f64::NAN;
        };
        let (before, last) = (&self.samples[before], &self.samples[last]);
        (last.cpu - before.cpu).as_secs_f64() / (last.at - before.at).as_secs_f64()
    }
}
