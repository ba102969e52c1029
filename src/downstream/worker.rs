//! What the connections of one worker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::Permit;

/// The connections of one worker.
pub struct Worker<A> {
    /// Serves the requests of the connections.
    pub application: A,
    open: AtomicUsize,
}

impl<A> Worker<A> {
    /// A worker without connections.
    pub fn new(application: A) -> Self {
        Self { application, open: AtomicUsize::new(0) }
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

/// Counts a connection of a worker for as long as it lives.
pub(super) struct Open<A> {
    /// The worker of the connection.
    pub worker: Arc<Worker<A>>,
    /// The right to be connected.
    pub permit: Permit,
}

impl<A> Open<A> {
    pub fn new(worker: &Arc<Worker<A>>, permit: Permit) -> Self {
        worker.open.fetch_add(1, Ordering::Relaxed);
        Self { worker: worker.clone(), permit }
    }
}

impl<A> Drop for Open<A> {
    fn drop(&mut self) {
        self.worker.open.fetch_sub(1, Ordering::Release);
    }
}
