//! The limits that a client meets on its connection, whatever its address.

use std::time::Duration;

use crate::http::HeadLimits;
use crate::limits::{LimitSettings, TimeLimits};

/// Sizes, counts and times of a connection and of the requests on it. A connection reads the limits
/// again for every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolLimits {
    /// The size of a request's head.
    pub head: HeadLimits,
    /// The number of requests on one connection.
    pub requests: usize,
    /// The age at which a connection is closed.
    pub age: Duration,
    /// The lowest rate of a request body, in bytes a second; 0 for any rate.
    pub body_rate: u64,
    /// The time limits of a connection and of its requests.
    pub time: TimeLimits,
}

impl ProtocolLimits {
    /// The limits of these settings.
    pub fn new(limits: &LimitSettings) -> Self {
        let LimitSettings { connections, requests, time, .. } = limits;
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            head: HeadLimits {
                bytes: size(requests.header_bytes),
                fields: requests.header_count,
                target: size(requests.target_bytes),
            },
            requests: connections.requests,
            age: connections.age,
            body_rate: requests.body_rate,
            time: *time,
        }
    }
}
