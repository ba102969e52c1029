//! How many files the process may open, and how many of them the connections of clients may use.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admin;
use crate::limits::ConnectionLimits;

/// Descriptors for everything but connections of clients and to origins: listeners, logs, files of
/// the configuration, event loops, and the admin listener's connections.
const OWN: u64 = 64 + admin::MAX_CONNECTIONS as u64;

/// The number of files that the process may open; `None` without a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors(Option<u64>);

impl Descriptors {
    /// Raises the limit as far as the hard limit allows.
    pub fn raise() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => Self(limit.maximum),
            Err(error) => {
                log::warn!("the limit of open files cannot be raised: {error}");
                Self(limit.current)
            }
        }
    }

    /// Lowers the number of connections of clients so that descriptors remain for connections to
    /// origins, half as many, and for the gateway itself.
    pub fn fit(self, limits: &mut ConnectionLimits) {
        let Some(number) = self.0 else { return log::info!("open files without a limit") };
        let room = usize::try_from(number.saturating_sub(OWN) / 3 * 2).unwrap_or(usize::MAX).max(1);
        if limits.total <= room {
            return log::info!("at most {number} open files");
        }
        log::info!(
            "at most {number} open files, so at most {room} connections of clients in place of {}: raise \
             LimitNOFILE= or ulimit -n, or lower limits.connections.total",
            limits.total
        );
        limits.total = room;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_never_get_all_descriptors() {
        for (descriptors, total, expected) in [
            (Some(1024), 20_000, 596),
            (Some(20_000), 20_000, 13_248),
            (Some(1_048_576), 20_000, 20_000),
            (Some(1024), 100, 100),
            (Some(64), 100, 1),
            (None, 20_000, 20_000),
        ] {
            let mut limits = ConnectionLimits { total, ..ConnectionLimits::default() };
            Descriptors(descriptors).fit(&mut limits);
            assert_eq!(limits.total, expected, "{descriptors:?} {total}");
        }
    }
}
