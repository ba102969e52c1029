//! Outcomes of the attacks, counted.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;
use rustix::io::Errno;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered with this status.
    Status(u16),
    /// Answered with the answer to another request.
    Poisoned,
    /// Answered with something else than an answer with a length.
    Unreadable,
    /// The connection was reset or refused.
    Reset,
    /// The connection was closed without a complete answer.
    Closed,
    /// Nothing happened within the attacker's patience.
    Ignored,
    /// The attacker had no port or descriptor left.
    NotTried,
}

type Counts = BTreeMap<(&'static str, Outcome), u64>;

#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

impl Tally {
    pub fn count(&self, kind: &'static str, outcome: Outcome) {
        *self.0.lock().entry((kind, outcome)).or_default() += 1;
    }

    /// The number of attempts by kind and outcome.
    pub fn counts(&self) -> Counts {
        self.0.lock().clone()
    }

    /// The number of attempts of these kinds with this outcome.
    pub fn sum(&self, kinds: &[&str], outcome: Outcome) -> u64 {
        let counts = self.0.lock();
        let is_meant = |((kind, of), _): &(&(&str, Outcome), &u64)| kinds.contains(kind) && *of == outcome;
        counts.iter().filter(is_meant).map(|(_, count)| count).sum()
    }
}

impl Outcome {
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            io::ErrorKind::TimedOut => Self::Ignored,
            io::ErrorKind::InvalidData => Self::Unreadable,
            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Self::NotTried,
            _ if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => Self::NotTried,
            _ => Self::Reset,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Poisoned => f.write_str("poisoned"),
            Self::Unreadable => f.write_str("unreadable"),
            Self::Reset => f.write_str("reset"),
            Self::Closed => f.write_str("closed"),
            Self::Ignored => f.write_str("ignored"),
            Self::NotTried => f.write_str("not tried"),
        }
    }
}
