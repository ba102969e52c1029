//! Why a request gets no address.

use std::time::Duration;

use crate::origins::UpstreamErrorKind;

/// Why a request gets no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The name has not been resolved.
    NoAddress,
    /// Every address is down, for at least this long.
    AllDown(Duration),
    /// The queue of the origin is full.
    QueueFull,
    /// The request has waited too long.
    QueueTimeout,
}

impl Unavailable {
    /// The kind under which it is counted.
    pub fn kind(self) -> UpstreamErrorKind {
        match self {
            Unavailable::NoAddress => UpstreamErrorKind::Resolve,
            Unavailable::AllDown(_) => UpstreamErrorKind::AllDown,
            Unavailable::QueueFull => UpstreamErrorKind::QueueFull,
            Unavailable::QueueTimeout => UpstreamErrorKind::QueueTimeout,
        }
    }
}
