//! Writes that wait too long for the client.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use super::deadline::Deadline;

/// Limits the time that a write waits for the client to read. Pingora limits the time of body writes
/// only, not the time of heads and of the flush at the end.
#[derive(Default)]
pub(super) struct Stall {
    /// Created by the first write that has to wait.
    deadline: Option<Deadline>,
    is_waiting: bool,
}

impl Stall {
    /// Passes on the result of a write.
    ///
    /// # Errors
    /// The error of the write, or [`io::ErrorKind::TimedOut`] if the write has waited for `limit`.
    pub fn watch<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        limit: Duration,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_waiting = false;
            return written;
        }
        let deadline = match &mut self.deadline {
            Some(deadline) => {
                if !self.is_waiting {
                    deadline.set(limit);
                }
                deadline
            }
            none => none.insert(Deadline::after(limit)),
        };
        self.is_waiting = true;
        deadline.poll_passed(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{Instant, sleep};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn every_successful_write_starts_the_time_anew() {
        let mut stall = Stall::default();
        for _ in 0..3 {
            let start = Instant::now();
            let waits = poll_fn(|context| stall.watch(Poll::<io::Result<()>>::Pending, LIMIT, context));
            assert!(tokio::time::timeout(LIMIT / 2, waits).await.is_err(), "still waiting");
            let goes_on = poll_fn(|context| stall.watch(Poll::Ready(Ok(7)), LIMIT, context)).await;
            assert_eq!((goes_on.unwrap(), start.elapsed()), (7, LIMIT / 2));
            // The time between two writes is not counted.
            sleep(LIMIT * 2).await;
        }
        let start = Instant::now();
        let waits = poll_fn(|context| stall.watch(Poll::<io::Result<()>>::Pending, LIMIT, context)).await;
        assert_eq!((waits.unwrap_err().kind(), start.elapsed()), (io::ErrorKind::TimedOut, LIMIT));
    }
}
