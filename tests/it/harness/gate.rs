//! A point at which an origin waits for the test.

use std::sync::{Arc, Condvar, Mutex};

use super::DEADLINE;

/// Closed at first. The origin calls [`Gate::pass`], which waits until the test calls
/// [`Gate::open`].
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// # Panics
    /// If the gate is still closed after [`DEADLINE`].
    pub fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        let (open, _) = self.0.1.wait_timeout_while(open, DEADLINE, |open| !*open).unwrap();
        assert!(*open, "the gate stayed closed");
    }
}
