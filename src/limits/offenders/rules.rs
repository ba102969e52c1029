//! When addresses are banned.

use std::time::Duration;

/// When an address is banned, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffenderRules {
    /// The number of failed verifications that leads to a ban.
    pub failures: u16,
    /// The length of the window in which they are counted.
    pub within: Duration,
    /// The length of the first ban.
    pub ban: Duration,
    /// The greatest length of a ban, and the time after which one ban is forgotten.
    pub max_ban: Duration,
    /// The number of addresses in memory: about 55 bytes for each.
    pub keys: usize,
}

impl Default for OffenderRules {
    fn default() -> Self {
        Self {
            failures: 120,
            within: Duration::from_secs(60),
            ban: Duration::from_secs(60),
            max_ban: Duration::from_secs(60 * 60),
            keys: 65_536,
        }
    }
}

impl OffenderRules {
    /// The length of the ban with this number; the first one is 1.
    pub(super) fn length(&self, strikes: u8) -> Duration {
        let doubled = 1_u32.checked_shl(u32::from(strikes.saturating_sub(1))).unwrap_or(u32::MAX);
        self.ban.saturating_mul(doubled).min(self.max_ban)
    }
}
