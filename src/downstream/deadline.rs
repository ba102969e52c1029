//! A deadline that moves with every request and rarely passes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;

/// One timer for a connection. To move the deadline to a later time costs nothing: the timer fires at
/// its old time, finds that the deadline has moved, and is set again.
pub struct Deadline {
    timer: Pin<Box<Sleep>>,
    at: Instant,
}

impl Deadline {
    /// A deadline after this time from now.
    pub fn after(duration: Duration) -> Self {
        let at = clock::timer() + duration;
        Self { timer: Box::pin(sleep_until(at)), at }
    }

    /// Moves the deadline to this time from now.
    pub fn set(&mut self, duration: Duration) {
        self.at = clock::timer() + duration;
        if self.at < self.timer.deadline() {
            self.timer.as_mut().reset(self.at);
        }
    }

    /// Ready when the deadline has passed.
    pub fn poll_passed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            if clock::timer() >= self.at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn passes_at_the_time_to_which_it_was_moved() {
        let start = Instant::now();
        let mut deadline = Deadline::after(Duration::from_secs(10));
        deadline.set(Duration::from_secs(30));
        poll_fn(|context| deadline.poll_passed(context)).await;
        assert_eq!(start.elapsed().as_secs(), 30);
        deadline.set(Duration::from_secs(40));
        deadline.set(Duration::from_secs(5));
        poll_fn(|context| deadline.poll_passed(context)).await;
        assert_eq!(start.elapsed().as_secs(), 35);
    }
}
