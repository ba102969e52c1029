//! Lines on their way to a file or a pipe. A thread of its own writes them, so that a slow disk or
//! a reader that has stopped reading never holds up the thread that logs, or the end of the process.

#[cfg(test)]
mod memory;
mod output;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::clock;

#[cfg(test)]
pub(super) use memory::Memory;
pub(super) use output::Output;

/// A write that takes longer is reported: a pipe is full and its reader does not read, or a disk
/// hangs.
const SLOW_WRITE: Duration = Duration::from_secs(2);

/// Bytes at which gathered lines are written before their time: lines in a core's cache are cheap to write,
/// and push out little else.
const BATCH: usize = 64 * 1024;

/// How long the lines may take that still wait when a [`Writer`] is dropped.
const LAST_WRITE: Duration = Duration::from_millis(100);

/// What goes wrong with writing, and when it is over.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A write has failed; the ones before it had not.
    Fails(io::Error),
    /// A write takes long. `waiting` lines wait for its end.
    Slow { waiting: u64 },
    /// A write has succeeded after [`Trouble::Fails`] or [`Trouble::Slow`]. `lost` lines were lost.
    Over { lost: u64 },
    /// `lost` lines still waited at the end of the process, and are lost.
    Abandoned { lost: u64 },
}

/// Lines that wait for the thread that writes them.
pub(super) struct LineQueue<F> {
    waiting: Mutex<QueuedLines<F>>,
    arrived: Condvar,
    written: Condvar,
    dropped: AtomicU64,
    /// Bytes that may wait; a line beyond them is dropped and counted.
    capacity: usize,
    /// How long lines gather before they are written, unless they are [`BATCH`] bytes: one write for many
    /// lines.
    gather: Duration,
    report: fn(Trouble),
}

struct QueuedLines<F> {
    bytes: Vec<u8>,
    lines: u64,
    /// What writing a line needs to remember from the line before.
    format: F,
    /// Outputs to change to, each with the number of waiting bytes that go before.
    changes: Vec<(usize, Output)>,
    in_hand: Option<InHand>,
    is_closed: bool,
}

/// What the writer has taken and not written yet.
#[derive(Clone, Copy)]
struct InHand {
    lines: u64,
    since: Instant,
    /// Whether this write was reported as [`Trouble::Slow`].
    is_reported: bool,
    /// Lines that had been dropped before.
    dropped_before: u64,
}

/// What a writer takes at once.
struct Batch {
    changes: Vec<(usize, Output)>,
}

impl<F: Default> LineQueue<F> {
    pub fn new(capacity: usize, gather: Duration, report: fn(Trouble)) -> Self {
        let waiting = QueuedLines {
            bytes: Vec::new(),
            lines: 0,
            format: F::default(),
            changes: Vec::new(),
            in_hand: None,
            is_closed: false,
        };
        Self {
            waiting: Mutex::new(waiting),
            arrived: Condvar::new(),
            written: Condvar::new(),
            dropped: AtomicU64::new(0),
            capacity,
            gather,
            report,
        }
    }
}

impl<F> LineQueue<F> {
    /// Has `write` append one line, with its line break. Never waits for the writer.
    pub fn push(&self, write: impl FnOnce(&mut F, &mut Vec<u8>)) {
        let mut waiting = self.waiting.lock();
        let before = waiting.bytes.len();
        if before >= self.capacity {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let QueuedLines { bytes, format, .. } = &mut *waiting;
        write(format, bytes);
        let fills_batch = before < BATCH && bytes.len() >= BATCH;
        waiting.lines += 1;
        drop(waiting);
        if before == 0 || fills_batch {
            self.arrived.notify_one();
        }
    }

    /// Writes every line from now on to `output`; no line is lost.
    pub fn change_to(&self, output: Output) {
        let mut waiting = self.waiting.lock();
        let before = waiting.bytes.len();
        waiting.changes.push((before, output));
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Lines that were lost: the queue was full, or writing failed.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Reports a write that takes long, once for each. To be called every now and then: the writer
    /// itself is inside that write.
    pub fn report_if_slow(&self) {
        let mut waiting = self.waiting.lock();
        let arrived = waiting.lines;
        let Some(in_hand) = &mut waiting.in_hand else { return };
        if in_hand.is_reported || clock::since(in_hand.since) < SLOW_WRITE {
            return;
        }
        in_hand.is_reported = true;
        let lines = in_hand.lines + arrived;
        drop(waiting);
        (self.report)(Trouble::Slow { waiting: lines });
    }

    /// Whether every line was written.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().is_written()
    }

    /// Waits until every line is written, at most for `limit`. Returns whether it is.
    pub fn flush(&self, limit: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        self.written.wait_while_for(&mut waiting, |waiting| !waiting.is_written(), limit);
        waiting.is_written()
    }

    /// Ends the writer as soon as it has written every line.
    pub fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// Waits for lines and swaps them into `bytes`; `None` when closed and empty.
    fn take(&self, bytes: &mut Vec<u8>) -> Option<Batch> {
        let mut waiting = self.waiting.lock();
        while waiting.bytes.is_empty() && waiting.changes.is_empty() && !waiting.is_closed {
            self.arrived.wait(&mut waiting);
        }
        if self.gather > Duration::ZERO {
            // Only the first of the waiting lines and the one that fills a batch notify, so this gathers.
            let gathers = |waiting: &mut QueuedLines<F>| {
                waiting.bytes.len() < BATCH && waiting.changes.is_empty() && !waiting.is_closed
            };
            self.arrived.wait_while_for(&mut waiting, gathers, self.gather);
        }
        std::mem::swap(bytes, &mut waiting.bytes);
        let changes = std::mem::take(&mut waiting.changes);
        if bytes.is_empty() && changes.is_empty() {
            return None;
        }
        waiting.in_hand = Some(InHand {
            lines: std::mem::take(&mut waiting.lines),
            since: clock::now(),
            is_reported: false,
            dropped_before: self.dropped(),
        });
        Some(Batch { changes })
    }

    /// The batch in hand was written, except for `lost` lines.
    fn put_away(&self, lost: u64) {
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        let in_hand = self.waiting.lock().in_hand.take();
        self.written.notify_all();
        if let Some(InHand { is_reported: true, dropped_before, .. }) = in_hand {
            (self.report)(Trouble::Over { lost: self.dropped() - dropped_before });
        }
    }
}

impl<F> QueuedLines<F> {
    fn is_written(&self) -> bool {
        self.bytes.is_empty() && self.changes.is_empty() && self.in_hand.is_none()
    }
}

/// Ends the writing thread when dropped. Lines that cannot be written by then are counted as lost.
pub(super) struct Writer<F>(Arc<LineQueue<F>>);

impl<F: Send + 'static> Writer<F> {
    /// Starts a thread that writes what is queued to `output`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(name: &str, queue: Arc<LineQueue<F>>, mut output: Output) -> io::Result<Self> {
        let writer = Self(queue.clone());
        thread::Builder::new().name(name.into()).spawn(move || {
            let mut bytes = Vec::new();
            while let Some(batch) = queue.take(&mut bytes) {
                let (mut written, mut lost) = (0, 0);
                for (end, next) in batch.changes {
                    lost += output.write(&bytes[written..end], queue.report);
                    (written, output) = (end, next);
                }
                lost += output.write(&bytes[written..], queue.report);
                bytes.clear();
                // Lines that waited for a slow write may have needed much more.
                bytes.shrink_to(2 * BATCH);
                queue.put_away(lost);
            }
        })?;
        Ok(writer)
    }
}

impl<F> Drop for Writer<F> {
    fn drop(&mut self) {
        self.0.close();
        if self.0.flush(LAST_WRITE) {
            return;
        }
        // The thread is inside a write that may never end. The end of the process ends it.
        let waiting = self.0.waiting.lock();
        let lost = waiting.lines + waiting.in_hand.map_or(0, |in_hand| in_hand.lines);
        drop(waiting);
        self.0.dropped.fetch_add(lost, Ordering::Relaxed);
        (self.0.report)(Trouble::Abandoned { lost });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;

    use super::*;

    fn queue(report: fn(Trouble)) -> Arc<LineQueue<()>> {
        Arc::new(LineQueue::new(1000, Duration::ZERO, report))
    }

    fn push(queue: &LineQueue<()>, line: &str) {
        queue.push(|(), bytes| bytes.extend(format!("{line}\n").into_bytes()));
    }

    /// Ends the writer. On a busy machine the last lines take longer than its drop waits.
    fn end(queue: &LineQueue<()>, writer: Writer<()>) {
        queue.close();
        assert!(queue.flush(Duration::from_secs(30)));
        drop(writer);
    }

    #[test]
    fn no_line_is_lost_when_the_output_changes() {
        let outputs: Vec<Memory> = (0..8).map(|_| Memory::default()).collect();
        let queue = queue(|_| {});
        let writer = Writer::start("lines", queue.clone(), Output::new(io::sink())).expect("starts");
        for (index, next) in outputs.iter().enumerate() {
            queue.change_to(Output::new(next.clone()));
            push(&queue, &format!("{index} first"));
            push(&queue, &format!("{index} second"));
        }
        end(&queue, writer);
        // Each line is where the log went at its time, however late it was written.
        for (index, output) in outputs.iter().enumerate() {
            assert_eq!(output.lines(), [format!("{index} first"), format!("{index} second")]);
        }
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn a_batch_of_lines_does_not_wait_for_its_time() {
        let output = Memory::default();
        let queue = Arc::new(LineQueue::new(2 * BATCH, Duration::MAX, |_| {}));
        let writer = Writer::start("lines", queue.clone(), Output::new(output.clone())).expect("starts");
        let line = "x".repeat(BATCH / 4 - 1);
        for _ in 0..4 {
            push(&queue, &line);
        }
        assert!(queue.flush(Duration::from_secs(30)));
        assert_eq!(output.lines().len(), 4);
        push(&queue, "the last one waits until the end");
        end(&queue, writer);
        assert_eq!(output.lines().len(), 5);
    }

    /// A slow disk: it takes a fifth of the time that a drop waits.
    struct Slow(Memory);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            thread::sleep(LAST_WRITE / 5);
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn dropped_writer_writes_what_waits_or_counts_it_as_lost() {
        // A busy machine may need longer for the last lines than the drop waits.
        let writes_all = || {
            let output = Memory::default();
            let queue = queue(|_| {});
            let slow = Output::new(Slow(output.clone()));
            let writer = Writer::start("lines", queue.clone(), slow).expect("starts");
            (0..10).for_each(|number| push(&queue, &number.to_string()));
            drop(writer);
            let written = output.lines().len();
            assert!(written as u64 + queue.dropped() >= 10, "{written} were written");
            written == 10
        };
        assert!((0..100).any(|_| writes_all()));
    }

    #[test]
    fn drops_and_counts_instead_of_growing_without_limit() {
        let queue = queue(|_| {});
        for _ in 0..1000 {
            push(&queue, "ten bytes");
        }
        assert_eq!(queue.dropped(), 900);
        assert!(queue.waiting.lock().bytes.len() <= 1010);
    }

    /// A pipe whose reader reads nothing until told to.
    struct Stalled(mpsc::Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The sender is gone once the reader reads.
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn end_does_not_wait_for_a_write_that_never_ends_and_counts_its_lines() {
        let queue = queue(|_| {});
        let (_reader, stalled) = mpsc::channel();
        let writer = Writer::start("lines", queue.clone(), Output::new(Stalled(stalled))).expect("starts");
        push(&queue, "one");
        while queue.waiting.lock().in_hand.is_none() {
            thread::yield_now();
        }
        push(&queue, "two");
        push(&queue, "three");
        let start = Instant::now();
        drop(writer);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(queue.dropped(), 3);
    }

    #[test]
    fn slow_write_is_reported_once_and_its_end_with_the_lines_lost() {
        static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let queue = queue(|trouble| REPORTS.lock().push(format!("{trouble:?}")));
        let (reader, stalled) = mpsc::channel();
        let writer = Writer::start("lines", queue.clone(), Output::new(Stalled(stalled))).expect("starts");
        push(&queue, "one");
        let deadline = Instant::now() + Duration::from_secs(30);
        while REPORTS.lock().is_empty() {
            assert!(Instant::now() < deadline, "the slow write is reported");
            queue.report_if_slow();
            thread::sleep(Duration::from_millis(10));
        }
        queue.report_if_slow();
        for _ in 0..300 {
            push(&queue, "ten bytes");
        }
        drop(reader);
        assert!(queue.flush(Duration::from_secs(10)));
        drop(writer);
        assert_eq!(*REPORTS.lock(), ["Slow { waiting: 1 }", "Over { lost: 200 }"]);
    }
}
