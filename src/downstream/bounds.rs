//! What the clients of a configuration keep to.

use std::time::Duration;

use crate::http::HeadLimits;
use crate::limits::{LimitSettings, TimeLimits};

/// The bounds of connections and of what comes on them. They are taken anew for every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of the head of a request.
    pub head: HeadLimits,
    /// Requests on one connection.
    pub requests: usize,
    /// How long a connection lasts.
    pub age: Duration,
    /// Bytes of a body in a second, at the least.
    pub body_rate: u64,
    /// How long things may take.
    pub time: TimeLimits,
}

impl Bounds {
    /// Those of these settings.
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
