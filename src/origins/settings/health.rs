//! Which addresses of an origin get requests: health checks and ejection.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Active health checks of an origin's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// A connection alone, or a request.
    pub kind: CheckKind,
    /// Time from one check to the next.
    pub interval: Duration,
    /// Time limit of one check.
    pub timeout: Duration,
    /// Consecutive successes until an address is used again.
    pub healthy_threshold: usize,
    /// Consecutive failures until an address is no longer used.
    pub unhealthy_threshold: usize,
}

impl HealthCheck {
    /// Time from one check to the next, unless configured.
    pub const INTERVAL: Duration = Duration::from_secs(5);
    /// Time limit of one check, unless configured.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
}

/// The kind of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Succeeds if a connection is accepted.
    Tcp,
    /// Succeeds if a GET is answered with one of the statuses.
    Http {
        /// The request target of the check.
        path: Box<str>,
        /// The statuses that count as success.
        statuses: Vec<RangeInclusive<u16>>,
    },
}

/// When a failing address gets no requests for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Whether the only address of an origin is ejected too.
    pub single: bool,
    /// Consecutive failed connections; 0 switches this cause off.
    pub connect_failures: usize,
    /// Consecutive requests that were not answered in time; 0 switches this cause off.
    pub timeouts: usize,
    /// Consecutive failed exchanges and 5xx answers; 0 switches this cause off.
    pub errors: usize,
    /// Duration of the first ejection. Each consecutive one is twice as long.
    pub base_time: Duration,
    /// Longest duration of an ejection.
    pub max_time: Duration,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            single: false,
            connect_failures: 3,
            timeouts: 3,
            errors: 0,
            base_time: Duration::from_secs(1),
            max_time: Duration::from_secs(30),
        }
    }
}
