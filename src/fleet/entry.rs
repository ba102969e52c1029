//! Entries of the log of bans: encrypted, so that the store learns no address and can make up no ban.

use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{error::Unspecified, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::limits::{AddressKey, Decree, Ipv6Prefix, Moment};

/// Kind, address, end of the ban in milliseconds since 1970, number of the ban.
const PLAIN: usize = 1 + 8 + 8 + 1;

const BAN: u8 = 1;
const FORGIVE: u8 = 2;
const FORGIVE_ALL: u8 = 3;

/// Both clocks at one moment: that of limits, and the time since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub moment: Moment,
    pub unix: Duration,
}

/// Seals and opens entries.
pub(super) struct EntryKey {
    key: LessSafeKey,
    /// What the entries are for: nodes of another fleet, or with other networks, cannot open them.
    purpose: String,
}

impl EntryKey {
    /// `None` if the cipher is not available, which never happens.
    pub fn new(key: &[u8; 32], fleet: &str, prefix: Ipv6Prefix) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
        Some(Self { key, purpose: format!("bans 1 {fleet} /{}", prefix.length()) })
    }

    /// The entry with a decree; `None` if there are no random numbers.
    pub fn seal(&self, decree: Decree, clocks: Clocks) -> Option<String> {
        let (kind, address, until, strikes) = match decree {
            Decree::Ban { address, until, strikes } => {
                let end = clocks.unix + clocks.moment.until(until);
                (BAN, address.bits(), u64::try_from(end.as_millis()).ok()?, strikes)
            }
            Decree::Forgive(Some(address)) => (FORGIVE, address.bits(), 0, 0),
            Decree::Forgive(None) => (FORGIVE_ALL, 0, 0, 0),
        };
        let mut sealed = [&[kind][..], &address.to_be_bytes(), &until.to_be_bytes(), &[strikes]].concat();
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let aad = Aad::from(self.purpose.as_bytes());
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// The decree of an entry.
    ///
    /// # Errors
    /// If a node of this fleet has not sealed it.
    pub fn open(&self, entry: &[u8], clocks: Clocks) -> Result<Decree, Unspecified> {
        let mut bytes = URL_SAFE_NO_PAD.decode(entry).map_err(|_| Unspecified)?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(Unspecified)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let plain = self.key.open_in_place(nonce, Aad::from(self.purpose.as_bytes()), sealed)?;
        let plain: [u8; PLAIN] = (&*plain).try_into().map_err(|_| Unspecified)?;
        let number =
            |from: usize| plain[from..from + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let address = AddressKey::from_bits(number(1));
        match plain[0] {
            BAN => {
                let left = Duration::from_millis(number(9)).saturating_sub(clocks.unix);
                Ok(Decree::Ban { address, until: clocks.moment.after(left), strikes: plain[17] })
            }
            FORGIVE => Ok(Decree::Forgive(Some(address))),
            FORGIVE_ALL => Ok(Decree::Forgive(None)),
            _ => Err(Unspecified),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8, fleet: &str, prefix: u8) -> EntryKey {
        EntryKey::new(&[byte; 32], fleet, Ipv6Prefix::new(prefix).expect("a length")).expect("a key")
    }

    fn clocks(seconds: u64) -> Clocks {
        let unix = Duration::from_secs(1_700_000_000 + seconds);
        Clocks { moment: Moment::since_start(Duration::from_secs(seconds)), unix }
    }

    fn address(text: &str) -> AddressKey {
        AddressKey::new(text.parse().expect(text), Ipv6Prefix::default())
    }

    #[test]
    fn nodes_of_the_fleet_read_what_one_has_sealed() {
        let until = Moment::since_start(Duration::from_secs(100));
        for decree in [
            Decree::Ban { address: address("192.0.2.1"), until, strikes: 3 },
            Decree::Ban { address: address("2001:db8::1"), until, strikes: 1 },
            Decree::Forgive(Some(address("192.0.2.1"))),
            Decree::Forgive(None),
        ] {
            let sealed = key(1, "prod", 64).seal(decree, clocks(40)).expect("sealed");
            assert_eq!(key(1, "prod", 64).open(sealed.as_bytes(), clocks(70)), Ok(decree));
            for other in [key(2, "prod", 64), key(1, "test", 64), key(1, "prod", 56)] {
                assert!(other.open(sealed.as_bytes(), clocks(70)).is_err());
            }
            for place in 0..sealed.len() {
                let mut changed = sealed.clone().into_bytes();
                changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
                let opened = key(1, "prod", 64).open(&changed, clocks(70));
                // The last character has bits that no byte uses.
                assert!(opened.is_err() || place + 1 == sealed.len() && opened == Ok(decree), "{place}");
            }
        }
    }

    #[test]
    fn a_ban_that_is_over_is_over() {
        let until = Moment::since_start(Duration::from_secs(50));
        let ban = Decree::Ban { address: address("192.0.2.1"), until, strikes: 3 };
        let sealed = key(1, "prod", 64).seal(ban, clocks(40)).expect("sealed");
        let late = key(1, "prod", 64).open(sealed.as_bytes(), clocks(70)).expect("opened");
        assert!(matches!(late, Decree::Ban { until, .. } if until == clocks(70).moment), "{late:?}");
    }

    #[test]
    fn anything_else_is_refused() {
        for entry in [&b""[..], b"AAAA", b"\xff", &[b'A'; 63], &[b'A'; 10_000]] {
            assert!(key(1, "prod", 64).open(entry, clocks(0)).is_err());
        }
    }
}
