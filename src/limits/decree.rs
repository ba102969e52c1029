//! What nodes tell each other about bans.

use parking_lot::Mutex;

use super::{AddressKey, Moment};

/// What one node has decided and other nodes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decree {
    /// An address is banned.
    Ban {
        /// The address.
        address: AddressKey,
        /// The end of the ban.
        until: Moment,
        /// The number of its bans that are not yet forgotten.
        strikes: u8,
    },
    /// The failures and bans of an address are forgotten; of all addresses for `None`.
    Forgive(Option<AddressKey>),
}

/// What this node has decided and has not told the others.
#[derive(Default)]
pub(super) struct Decrees(Mutex<Vec<Decree>>);

impl Decrees {
    /// The most that waits. What comes then stays with this node.
    const MOST: usize = 10_000;

    pub fn push(&self, decree: Decree) {
        let mut list = self.0.lock();
        if list.len() < Self::MOST {
            list.push(decree);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub fn take(&self) -> Vec<Decree> {
        std::mem::take(&mut self.0.lock())
    }
}
