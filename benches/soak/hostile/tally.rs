//! What became of the attacks, counted.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered with this status.
    Status(u16),
    /// The connection was reset, or refused.
    Reset,
    /// The connection was closed without an answer.
    Closed,
    /// Nothing happened for as long as anybody waits.
    Ignored,
    /// It found no port or descriptor of its own: the attackers' trouble.
    NotTried,
}

/// By kind of attack and outcome, how often.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

pub type Counts = BTreeMap<(&'static str, Outcome), u64>;

impl Tally {
    pub fn count(&self, kind: &'static str, outcome: Outcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((kind, outcome)).or_default() += 1;
    }

    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Outcome {
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            io::ErrorKind::TimedOut => Self::Ignored,
            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Self::NotTried,
            _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => Self::NotTried,
            _ => Self::Reset,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Reset => f.write_str("reset"),
            Self::Closed => f.write_str("closed"),
            Self::Ignored => f.write_str("ignored"),
            Self::NotTried => f.write_str("not tried"),
        }
    }
}
