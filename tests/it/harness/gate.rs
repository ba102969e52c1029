//! A point that an origin does not pass before the test says so.

use std::sync::{Arc, Condvar, Mutex};

use super::DEADLINE;

/// Holds up an origin until the test says so.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        let (open, _) = self.0.1.wait_timeout_while(open, DEADLINE, |open| !*open).unwrap();
        assert!(*open, "the gate stayed closed");
    }
}
