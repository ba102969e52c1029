//! The time that the head of a request may take over HTTP/2.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use super::deadline::Deadline;
use crate::http::Frames;

/// One deadline covers all frames of a head. A time limit for each read is defeated by `CONTINUATION`
/// frames that come one at a time.
pub(super) struct HeadWatch {
    frames: Frames,
    limit: Duration,
    /// Made when a head first arrives in parts. Most clients send every head at once.
    deadline: Option<Deadline>,
    /// The head that the deadline is for.
    head: Option<u64>,
}

impl HeadWatch {
    pub fn new(limit: Duration) -> Self {
        Self { frames: Frames::default(), limit, deadline: None, head: None }
    }

    /// Bytes have arrived.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if a `:path` has a fragment. The bytes must not be parsed, because the
    /// parser would cut the fragment off.
    pub fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frames.advance(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// A read has found no bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if the head has been incomplete for too long.
    pub fn poll_too_late(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let head = self.frames.head_in_progress();
        if head.is_none() {
            self.head = None;
            return Poll::Pending;
        }
        let deadline = match &mut self.deadline {
            Some(deadline) => {
                if self.head != head {
                    deadline.set(self.limit);
                }
                deadline
            }
            none => none.insert(Deadline::after(self.limit)),
        };
        self.head = head;
        deadline.poll_passed(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::http::PREFACE;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn one_deadline_covers_all_frames_of_a_head() {
        let (open, more) = ([0, 0, 0, 1, 0, 0, 0, 0, 1], [0, 0, 0, 9, 0, 0, 0, 0, 1]);
        let mut last = more;
        last[4] = 4;
        let mut watch = HeadWatch::new(LIMIT);
        watch.read(PREFACE).expect("no path");
        assert!(timeout(LIMIT * 2, poll_fn(|context| watch.poll_too_late(context))).await.is_err());
        for _ in 0..3 {
            watch.read(&open).expect("no path");
            assert!(timeout(LIMIT / 2, poll_fn(|context| watch.poll_too_late(context))).await.is_err());
            watch.read(&last).expect("no path");
            assert!(timeout(LIMIT * 2, poll_fn(|context| watch.poll_too_late(context))).await.is_err());
        }
        watch.read(&open).expect("no path");
        let start = Instant::now();
        let end = loop {
            let too_late = poll_fn(|context| watch.poll_too_late(context));
            match timeout(Duration::from_secs(1), too_late).await {
                Ok(end) => break end,
                Err(_) => watch.read(&more).expect("no path"),
            }
            sleep(Duration::from_millis(1)).await;
        };
        assert_eq!((end.unwrap_err().kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
    }
}
