//! The settings of message signatures.

use crate::closed_set::closed_set;

use super::{Rules, WhenFull};

/// What signatures must satisfy, and what happens to bodies and replays.
#[derive(Clone, Debug)]
pub struct MessageSigningSettings {
    /// What a signature must satisfy.
    pub rules: Rules,
    /// The longest body with a digest, in bytes. It is held back until its digest is verified.
    pub digest_buffer: usize,
    /// What happens to signatures that were accepted before.
    pub replay: ReplaySettings,
}

/// What happens to signatures that were accepted before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaySettings {
    /// Whether accepted signatures are remembered.
    pub mode: ReplayMode,
    /// The methods whose signatures are remembered.
    pub methods: Vec<Box<str>>,
    /// The most signatures that are remembered.
    pub entries: usize,
    /// What happens when that many are remembered.
    pub when_full: WhenFull,
}

impl Default for MessageSigningSettings {
    fn default() -> Self {
        let rules = Rules {
            token_header: "approov-token".into(),
            account_keys: Vec::new(),
            public_origins: Vec::new(),
            max_age: 60,
            skew: 60,
            requires_digest: false,
        };
        Self { rules, digest_buffer: 64 * 1024, replay: ReplaySettings::default() }
    }
}

impl Default for ReplaySettings {
    fn default() -> Self {
        Self {
            mode: ReplayMode::Off,
            methods: ["POST", "PUT", "PATCH", "DELETE"].map(Into::into).into(),
            entries: 262_144,
            when_full: WhenFull::Accept,
        }
    }
}

closed_set! {
    /// What the gateway does with replays.
    #[derive(Default)]
    pub enum ReplayMode {
        /// Signatures are not remembered.
        #[default]
        Off => "off",
        /// Replays are counted and let through.
        Observe => "observe",
        /// Replays are refused.
        Enforce => "enforce",
    }
}
