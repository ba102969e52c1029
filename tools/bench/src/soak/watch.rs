//! The gateway over time: memory, descriptors, CPU, and the requests of honest clients.

use std::thread;
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::rig::process::Process;

/// A slice of a run is at least this long.
const SLICE: Duration = Duration::from_millis(2500);

/// The most slices of one part, so that the table stays readable.
const SLICES: u128 = 12;

/// One slice of a run.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The end of the slice, since the start of the run.
    pub at: Duration,
    pub part: &'static str,
    /// The phase of the honest clients.
    pub phase: usize,
    pub memory_kib: u64,
    pub descriptors: usize,
    /// The share of a core that the gateway used.
    pub busy: f64,
}

pub struct Watch {
    start: Instant,
    pub slices: Vec<Slice>,
}

impl Watch {
    pub fn new() -> Self {
        Self { start: Instant::now(), slices: Vec::new() }
    }

    /// Watches one part of the run. Afterwards the honest clients are in the phase 0, which is not
    /// measured.
    pub fn during(&mut self, part: &'static str, gateway: &Process, honest: &Load, duration: Duration) {
        let count = (duration.as_millis() / SLICE.as_millis()).clamp(1, SLICES) as u32;
        for _ in 0..count {
            let phase = self.slices.len() + 1;
            honest.enter(phase);
            let (start, cpu) = (Instant::now(), gateway.cpu());
            thread::sleep(duration / count);
            let used = gateway.cpu().saturating_sub(cpu).as_secs_f64();
            self.slices.push(Slice {
                at: self.start.elapsed(),
                part,
                phase,
                memory_kib: gateway.memory_kib(),
                descriptors: gateway.descriptors(),
                busy: used / start.elapsed().as_secs_f64(),
            });
        }
        honest.enter(0);
    }

    pub fn of(&self, part: &str) -> impl DoubleEndedIterator<Item = &Slice> {
        self.slices.iter().filter(move |slice| slice.part == part)
    }

    /// The phases of honest clients in a part.
    pub fn phases(&self, part: &str) -> Vec<usize> {
        self.of(part).map(|slice| slice.phase).collect()
    }

    /// The mean share of a core that the gateway used in a part.
    pub fn busy(&self, part: &str) -> f64 {
        self.of(part).map(|slice| slice.busy).sum::<f64>() / self.of(part).count() as f64
    }
}
