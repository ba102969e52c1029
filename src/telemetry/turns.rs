//! Long computations in short turns.

use std::thread;

/// Steps in one turn: some tens of microseconds.
const TURN: usize = 256;

/// Yields the core at the end of every turn. Otherwise the scheduler could let a computation of the metrics of ten
/// thousand routes run for milliseconds while a request waits for the core.
#[derive(Default)]
pub(super) struct Turns {
    steps: usize,
}

impl Turns {
    /// Counts a step: a line of text, or the counters of a route.
    pub fn step(&mut self) {
        self.steps += 1;
        if self.steps.is_multiple_of(TURN) {
            thread::yield_now();
        }
    }
}
