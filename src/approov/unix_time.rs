//! Points in time, as tokens have them.

use std::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z, as NumericDate in RFC 7519 §2: fractions allowed.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct UnixTime(f64);

impl UnixTime {
    /// Converts the time since the epoch.
    pub fn since_epoch(elapsed: Duration) -> Self {
        Self(elapsed.as_secs_f64())
    }

    /// The whole seconds, without the fraction.
    pub fn whole_seconds(self) -> u64 {
        // The cast saturates; a time before 1970 is 0.
        self.0 as u64
    }

    pub(super) fn as_secs(self) -> f64 {
        self.0
    }
}
