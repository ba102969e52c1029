//! `fleet`: several nodes as one.

use std::num::NonZeroU32;

use crate::config::document::{default, positive, section};
use crate::config::settings::FleetSettings;

section! {
    /// Several nodes that serve the same clients.
    pub struct FleetSection {
        /// The number of nodes. Each node gets an even part of every limit by `total`, `route` and `origin`, so
        /// the balancer in front must spread requests evenly. Limits by `address`, `device` and `token` are not
        /// divided, because a client may send all its requests to one node.
        nodes: NonZeroU32 = default(positive(MAX_NODES), FleetSettings::default().nodes),
    }
}

/// The largest number of nodes.
const MAX_NODES: u32 = 1000;

impl FleetSection {
    /// The settings.
    pub fn resolve(self) -> FleetSettings {
        FleetSettings { nodes: self.nodes }
    }
}
