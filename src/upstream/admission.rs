//! The limit on concurrent requests to an origin, and the short queue in front of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Unavailable;
use crate::origins::Capacity;

/// The slots of one origin, shared by all workers.
#[derive(Debug)]
pub(super) struct Admission {
    slots: Arc<Semaphore>,
    rules: Capacity,
    waiting: AtomicUsize,
}

impl Admission {
    pub fn new(rules: Capacity) -> Self {
        let slots = Arc::new(Semaphore::new(rules.max_in_flight));
        Self { slots, rules, waiting: AtomicUsize::new(0) }
    }

    /// The number of requests in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Takes a slot, at once or after a wait in the queue. The queue is first come, first served.
    pub async fn enter(&self) -> Result<OwnedSemaphorePermit, Unavailable> {
        if let Ok(slot) = self.slots.clone().try_acquire_owned() {
            return Ok(slot);
        }
        let _place = QueuePlace::take(&self.waiting, self.rules.queue).ok_or(Unavailable::QueueFull)?;
        match tokio::time::timeout(self.rules.queue_timeout, self.slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(Unavailable::QueueTimeout),
        }
    }
}

/// A place in the queue. Dropping it frees the place.
struct QueuePlace<'q>(&'q AtomicUsize);

impl<'q> QueuePlace<'q> {
    fn take(waiting: &'q AtomicUsize, places: usize) -> Option<Self> {
        let place = Self(waiting);
        // If no place was left, dropping `place` reverts the addition.
        (waiting.fetch_add(1, Relaxed) < places).then_some(place)
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn admission(queue: usize) -> Admission {
        Admission::new(Capacity { max_in_flight: 2, queue, queue_timeout: Duration::from_secs(1) })
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_slots_requests_wait_and_beyond_the_queue_they_are_turned_away() {
        let admission = admission(1);
        let first = admission.enter().await.expect("a slot");
        let _second = admission.enter().await.expect("a slot");
        let third = admission.enter();
        tokio::pin!(third);
        assert!(futures_now(third.as_mut()).is_none());
        assert_eq!(admission.waiting(), 1);
        assert_eq!(admission.enter().await.err(), Some(Unavailable::QueueFull));
        assert_eq!(admission.waiting(), 1);
        drop(first);
        assert!(third.await.is_ok(), "the slot that became free");
        assert_eq!(admission.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_waits_for_longer_than_allowed() {
        let admission = admission(5);
        let _slots = [admission.enter().await, admission.enter().await];
        assert_eq!(admission.enter().await.err(), Some(Unavailable::QueueTimeout));
        assert_eq!(admission.waiting(), 0);
    }

    /// Polls once.
    fn futures_now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
