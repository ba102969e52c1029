//! What a route asks beyond its policy and strategy.

use sha2::{Digest, Sha256};

use crate::approov::ClaimCondition;
use crate::approov::message_signing::Mode;
use crate::closed_set::closed_set;

/// The optional demands of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// Whether requests must be signed.
    pub message_signing: Mode,
    /// Conditions on the claims of an accepted token. All of them must hold.
    pub require_claims: Vec<ClaimCondition>,
    /// The share of clients for which `protect` refuses. The others are observed.
    pub enforce: Share,
    /// What happens to CORS preflights, which carry no token.
    pub preflight: Preflight,
}

closed_set! {
    /// What happens to a CORS preflight.
    #[derive(Default)]
    pub enum Preflight {
        /// It needs a token, like any other request.
        #[default]
        Verify => "verify",
        /// The origin answers the preflight, without a token.
        Forward => "forward",
        /// The gateway answers the preflight itself.
        Answer => "answer",
    }
}

/// A share of all clients, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u16);

impl Default for Share {
    fn default() -> Self {
        Self::ALL
    }
}

impl Share {
    /// The share of all clients.
    pub const ALL: Self = Self(10_000);

    /// The share of this many hundredths of a percent. `None` above 100 %.
    pub fn from_hundredths(hundredths: u16) -> Option<Self> {
        (hundredths <= Self::ALL.0).then_some(Self(hundredths))
    }

    /// The share in hundredths of a percent.
    pub fn hundredths(self) -> u16 {
        self.0
    }

    /// Whether a client belongs to the share. The answer depends on nothing else, so it is the same
    /// on every node and after every restart. A larger share contains every smaller one.
    pub fn contains(self, client: &ShareKey<'_>) -> bool {
        match self.0 {
            0 => false,
            10_000 => true,
            hundredths => client.position() < hundredths,
        }
    }
}

/// What tells clients apart when a share of them is chosen.
#[derive(Clone, Copy, Debug)]
pub enum ShareKey<'c> {
    /// The device of a token whose signature is good.
    Device(&'c str),
    /// The bytes of the client's address.
    Address(&'c [u8]),
}

impl ShareKey<'_> {
    /// A number from 0 to 9999, evenly distributed.
    fn position(&self) -> u16 {
        let (kind, id) = match self {
            ShareKey::Device(id) => (&b"device\0"[..], id.as_bytes()),
            ShareKey::Address(octets) => (&b"address\0"[..], *octets),
        };
        let hash = Sha256::new().chain_update(kind).chain_update(id).finalize();
        let number = hash[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        // Less than 10 000.
        ((u128::from(number) * 10_000) >> 64) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(share: Share) -> Vec<usize> {
        let devices = (0..10_000).map(|number| format!("device {number}"));
        let chosen = devices.enumerate().filter(|(_, id)| share.contains(&ShareKey::Device(id)));
        chosen.map(|(number, _)| number).collect()
    }

    #[test]
    fn a_share_of_devices_is_as_large_as_it_says() {
        // 3 σ of 10 000 choices.
        for (hundredths, expected, deviation) in [(500, 500, 66), (5_000, 5_000, 150), (100, 100, 30)] {
            let found = chosen(Share::from_hundredths(hundredths).expect("at most 100 %")).len();
            assert!(found.abs_diff(expected) <= deviation, "{hundredths}: {found}");
        }
        assert_eq!(chosen(Share::from_hundredths(0).expect("0 %")).len(), 0);
        assert_eq!(chosen(Share::ALL).len(), 10_000);
        assert_eq!(Share::from_hundredths(10_001), None);
    }

    #[test]
    fn a_larger_share_contains_every_smaller_one() {
        let small = chosen(Share::from_hundredths(500).expect("5 %"));
        let large = chosen(Share::from_hundredths(1_000).expect("10 %"));
        assert!(small.iter().all(|number| large.contains(number)));
        let one = ShareKey::Address(&[192, 0, 2, 1]);
        assert_eq!(one.position(), one.position());
    }
}
