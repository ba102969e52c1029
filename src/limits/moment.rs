//! Time as a plain value, so that this room reads no clock.

use std::time::Duration;

/// A point in time on a monotonic clock: nanoseconds since a start that the caller chooses once. The
/// range is 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment at `elapsed` after the start.
    pub fn since_start(elapsed: Duration) -> Self {
        Self(nanoseconds(elapsed))
    }

    /// The moment at `duration` after this one.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }

    /// The time from this moment to `later`; zero if `later` has passed.
    pub fn until(self, later: Moment) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }

    pub(super) fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    pub(super) fn nanoseconds(self) -> u64 {
        self.0
    }
}

/// A duration in whole nanoseconds, at most 584 years.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
