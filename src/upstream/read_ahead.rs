//! How far an answer is read ahead of the client.
//!
//! Pingora reads an answer in pieces as large as the stream hands them out. It queues up to six, and
//! writes what was queued as one batch while it fills the queue again. A client that does not read holds
//! a batch and a queue. So the stream hands out large pieces while few bytes wait for clients, and small
//! ones once the exchange has used its own share and all exchanges have used the common one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The sizes of a piece.
const LEAST: usize = 1024;
const MOST: usize = 64 * 1024;

/// The bytes that one exchange may hold before it takes from the common share.
const OWN: usize = 4 * 1024;

/// The bytes that all exchanges together may hold beyond their own shares before pieces are small.
const COMMON: usize = 1024 * 1024;

/// The bytes that all exchanges of the process hold beyond their own shares.
#[derive(Clone, Debug, Default)]
pub(super) struct CommonShare(Arc<AtomicUsize>);

/// The bytes of one answer that were read from the origin and may not have been taken by the client. A
/// connection to an origin has one, for one answer after another.
#[derive(Debug)]
pub(super) struct ReadAhead {
    /// The word of a [`Held`].
    held: AtomicU64,
    common: CommonShare,
}

/// What a [`ReadAhead`] counts, in one word. The end of one exchange and the beginning of the next on the
/// same connection can be concurrent.
#[derive(Clone, Copy)]
struct Held {
    /// The batch that is being written.
    batch: u32,
    /// What was read since that batch.
    queue: u32,
}

impl Held {
    const NOTHING: Self = Self { batch: 0, queue: 0 };

    fn of(word: u64) -> Self {
        Self { batch: (word >> 32) as u32, queue: word as u32 }
    }

    fn word(self) -> u64 {
        u64::from(self.batch) << 32 | u64::from(self.queue)
    }

    fn bytes(self) -> usize {
        self.batch as usize + self.queue as usize
    }

    fn beyond(self) -> usize {
        self.bytes().saturating_sub(OWN)
    }
}

impl ReadAhead {
    /// Counts for a connection that takes from this common share.
    pub fn new(common: CommonShare) -> Self {
        Self { held: AtomicU64::new(Held::NOTHING.word()), common }
    }

    /// Whether an [`AnswerProgress`] tells what becomes of the answer.
    pub fn is_watched(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    /// The size of the next piece.
    pub fn room(&self) -> usize {
        // A quarter of what is left, so that each exchange leaves some for the next one.
        let common = COMMON.saturating_sub(self.common.0.load(Ordering::Relaxed)) / 4;
        let room = (OWN + common).saturating_sub(Held::of(self.held.load(Ordering::Relaxed)).bytes());
        (room / 2).clamp(LEAST, MOST)
    }

    /// Counts bytes that were read.
    pub fn read(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.change(|held| Held { queue: held.queue.saturating_add(count), ..held });
    }

    /// A piece leaves the queue. The first one of a batch shows that the batch before it was written.
    fn write(&self) {
        self.change(|held| if held.queue > 0 { Held { batch: held.queue, queue: 0 } } else { held });
    }

    /// Forgets what was read ahead: the answer is over.
    pub fn clear(&self) {
        self.change(|_| Held::NOTHING);
    }

    fn change(&self, to: impl Fn(Held) -> Held) {
        let change = |word| Some(to(Held::of(word)).word());
        let Ok(before) = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change) else { return };
        let (before, after) = (Held::of(before).beyond(), to(Held::of(before)).beyond());
        if after > before {
            self.common.0.fetch_add(after - before, Ordering::Relaxed);
        } else if after < before {
            self.common.0.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Tells the connection to an origin what becomes of the answer. Dropped at the end of the exchange.
#[derive(Debug)]
pub struct AnswerProgress(pub(super) Arc<ReadAhead>);

impl AnswerProgress {
    /// A piece of the answer is about to be written to the client.
    pub fn write(&self) {
        self.0.write();
    }
}

impl Drop for AnswerProgress {
    fn drop(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as Pingora does for a client that takes nothing: a batch, and a queue.
    fn fill(window: &ReadAhead) -> usize {
        let mut read = 0;
        for number in 0..12 {
            if number == 6 {
                window.write();
            }
            let piece = window.room();
            window.read(piece);
            read += piece;
        }
        read
    }

    #[test]
    fn pieces_shrink_while_many_clients_do_not_read() {
        let common = CommonShare::default();
        let window = || ReadAhead::new(common.clone());
        let first = window();
        assert_eq!(first.room(), MOST);
        assert!(fill(&first) > 3 * MOST, "a single slow client gets large pieces");
        assert!(common.0.load(Ordering::Relaxed) < COMMON);

        let windows: Vec<Arc<ReadAhead>> = std::iter::repeat_with(|| Arc::new(window())).take(500).collect();
        let held: usize = windows.iter().map(|window| fill(window)).sum();
        assert!(held < COMMON + 500 * (OWN + 12 * LEAST), "{held}");
        assert!(fill(&window()) <= OWN + 12 * LEAST, "the common share is used up");

        let ends = windows.into_iter().map(AnswerProgress);
        ends.for_each(drop);
        drop(first);
        assert_eq!((common.0.load(Ordering::Relaxed), window().room()), (0, MOST));
    }
}
