//! The queue of spans that wait for their export.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;

use super::EndedSpan;

/// Spans that wait for the thread that exports them. Requests never wait: what finds no room is dropped and
/// counted.
pub struct SpanQueue {
    waiting: Mutex<WaitingSpans>,
    arrived: Condvar,
    capacity: usize,
    /// The most spans of one export.
    batch: usize,
    dropped: IntCounter,
}

#[derive(Default)]
struct WaitingSpans {
    spans: Vec<EndedSpan>,
    is_closed: bool,
}

impl SpanQueue {
    /// A queue for `capacity` spans, of which up to `batch` are taken at once. `dropped` counts those that find
    /// no room.
    pub fn new(capacity: usize, batch: usize, dropped: IntCounter) -> Self {
        Self { waiting: Mutex::default(), arrived: Condvar::new(), capacity, batch, dropped }
    }

    /// Adds the spans of one request, or none of them.
    pub fn push(&self, spans: Vec<EndedSpan>) {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed || waiting.spans.len() + spans.len() > self.capacity {
            self.dropped.inc_by(spans.len() as u64);
            return;
        }
        let before = waiting.spans.len();
        waiting.spans.extend(spans);
        let after = waiting.spans.len();
        drop(waiting);
        // The thread waits for the first span, and then for a full batch.
        if before == 0 || before < self.batch && after >= self.batch {
            self.arrived.notify_one();
        }
    }

    /// Waits for spans, and then until there is a full batch or `gather` has passed. `None` once the queue is
    /// closed and empty.
    pub fn take(&self, gather: Duration) -> Option<Vec<EndedSpan>> {
        let mut waiting = self.waiting.lock();
        self.arrived.wait_while(&mut waiting, |waiting| waiting.spans.is_empty() && !waiting.is_closed);
        let gathers = |waiting: &mut WaitingSpans| waiting.spans.len() < self.batch && !waiting.is_closed;
        self.arrived.wait_while_for(&mut waiting, gathers, gather);
        if waiting.spans.is_empty() {
            return None;
        }
        let count = waiting.spans.len().min(self.batch);
        Some(waiting.spans.drain(..count).collect())
    }

    /// Waits this long, unless the queue is closed. Returns whether it is closed.
    pub fn pause(&self, time: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        self.arrived.wait_while_for(&mut waiting, |waiting| !waiting.is_closed, time);
        waiting.is_closed
    }

    /// Drops the spans that come from now on.
    pub fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpanKind;
    use super::*;

    fn span() -> EndedSpan {
        EndedSpan {
            trace_id: [1; 16],
            span_id: [2; 8],
            parent: None,
            state: String::new(),
            name: "GET /".to_owned(),
            kind: SpanKind::Server,
            start: Duration::ZERO,
            end: Duration::ZERO,
            attributes: Vec::new(),
            is_error: false,
        }
    }

    #[test]
    fn what_finds_no_room_is_dropped_whole_and_counted() {
        let dropped = IntCounter::new("dropped", "spans").expect("a counter");
        let queue = SpanQueue::new(5, 3, dropped.clone());
        for _ in 0..4 {
            queue.push(vec![span(), span()]);
        }
        assert_eq!(dropped.get(), 4);
        assert_eq!(queue.take(Duration::ZERO).expect("spans").len(), 3);
        queue.close();
        queue.push(vec![span()]);
        assert_eq!(dropped.get(), 5);
        assert_eq!(queue.take(Duration::from_secs(60)).expect("the rest").len(), 1);
        assert_eq!(queue.take(Duration::from_secs(60)), None);
    }
}
