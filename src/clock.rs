//! The clock. Outside of tests only this module reads the time.
//!
//! The system's clock may be wrong. A time before 1970 reads as 1970, and a time after the
//! calendar's end (30 December 9999) reads as the last date. Neither is a reason to panic.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// The monotonic clock, for durations.
pub fn now() -> Instant {
    Instant::now()
}

/// The clock of timers, which tests can pause.
pub fn timer() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The time since `earlier`, on the monotonic clock.
pub fn since(earlier: Instant) -> Duration {
    Instant::now().saturating_duration_since(earlier)
}

/// The time since 1970 (Unix time).
pub fn unix_time() -> Duration {
    unix_time_of(SystemTime::now())
}

/// The wall clock, which an operator can set.
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Whole seconds since 1970 (Unix time).
pub fn unix_seconds() -> i64 {
    i64::try_from(unix_time().as_secs()).unwrap_or(i64::MAX)
}

/// The time as a date.
pub fn timestamp() -> Timestamp {
    date(unix_time())
}

/// The date of a Unix time.
pub fn date(unix_time: Duration) -> Timestamp {
    let seconds = i64::try_from(unix_time.as_secs()).unwrap_or(i64::MAX);
    let nanoseconds = i32::try_from(unix_time.subsec_nanos()).unwrap_or_default();
    Timestamp::new(seconds, nanoseconds).unwrap_or(Timestamp::MAX)
}

fn unix_time_of(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_1970_reads_as_1970() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(unix_time_of(before), Duration::ZERO);
        assert_eq!(date(unix_time_of(before)), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn a_clock_after_9999_reads_as_the_last_date() {
        let year_10000 = Duration::from_secs(253_402_300_800);
        assert_eq!(date(Duration::from_secs(253_402_207_200)).to_string(), "9999-12-30T22:00:00Z");
        for after in [year_10000, Duration::from_secs(u64::MAX), Duration::MAX] {
            assert_eq!(date(after), Timestamp::MAX);
        }
    }
}
