//! What the gateway holds and uses, over time.

use std::thread;
use std::time::{Duration, Instant};

use super::gateway::{Gateway, descriptors};

/// One look at the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the run began.
    pub at: Duration,
    pub phase: &'static str,
    pub resident_kib: u64,
    pub descriptors: usize,
    pub cpu: Duration,
}

/// All looks so far.
#[derive(Debug)]
pub struct Watch {
    start: Instant,
    pub samples: Vec<Sample>,
}

impl Watch {
    pub fn new() -> Self {
        Self { start: Instant::now(), samples: Vec::new() }
    }

    /// Looks so often until the phase is over, and at its end.
    pub fn during(&mut self, phase: &'static str, gateway: &Gateway, duration: Duration, times: u32) {
        let start = Instant::now();
        for time in 1..=times {
            thread::sleep((duration * time / times).saturating_sub(start.elapsed()));
            self.look(phase, gateway);
        }
    }

    pub fn look(&mut self, phase: &'static str, gateway: &Gateway) {
        self.samples.push(Sample {
            at: self.start.elapsed(),
            phase,
            resident_kib: gateway.resident_kib(),
            descriptors: descriptors(gateway.process()),
            cpu: gateway.cpu(),
        });
    }

    /// The last look of a phase.
    pub fn end_of(&self, phase: &str) -> Option<&Sample> {
        self.samples.iter().rev().find(|sample| sample.phase == phase)
    }

    /// The share of a core that the gateway used in a phase.
    pub fn load(&self, phase: &str) -> f64 {
        let last = self.samples.iter().rposition(|sample| sample.phase == phase);
        let first = self.samples.iter().position(|sample| sample.phase == phase);
        let (Some(before), Some(last)) = (first.and_then(|first| first.checked_sub(1)), last) else {
            return 0.0;
        };
        let (before, last) = (&self.samples[before], &self.samples[last]);
        (last.cpu - before.cpu).as_secs_f64() / (last.at - before.at).as_secs_f64()
    }
}
