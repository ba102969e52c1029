//! Time, as a value.

use std::time::Duration;

/// A point on a clock that never goes back: nanoseconds since a start that the caller chose, the
/// same one for every call. It lasts 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment this long after the start.
    pub fn since_start(elapsed: Duration) -> Self {
        Self(nanoseconds(elapsed))
    }

    /// The moment this long after this one.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }

    /// How long it is from this moment to `later`; nothing if that has passed.
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

/// A duration in whole nanoseconds; more than 584 years count as 584 years.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
