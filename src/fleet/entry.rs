//! The bytes of a decree about a ban.

use std::time::Duration;

use super::seal::SealKey;
use crate::limits::{AddressKey, Decree, Moment};

/// Kind, address, end of the ban in milliseconds since 1970, number of the ban.
const LENGTH: usize = 1 + 8 + 8 + 1;

const BAN: u8 = 1;
const FORGIVE: u8 = 2;
const FORGIVE_ALL: u8 = 3;

/// Both clocks at one moment: that of limits, and the time since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub moment: Moment,
    pub unix: Duration,
}

/// The entry with a decree; `None` if there are no random numbers.
pub(super) fn seal(key: &SealKey, decree: Decree, clocks: Clocks) -> Option<String> {
    let (kind, address, until, strikes) = match decree {
        Decree::Ban { address, until, strikes } => {
            let end = clocks.unix + clocks.moment.until(until);
            (BAN, address.bits(), u64::try_from(end.as_millis()).ok()?, strikes)
        }
        Decree::Forgive(Some(address)) => (FORGIVE, address.bits(), 0, 0),
        Decree::Forgive(None) => (FORGIVE_ALL, 0, 0, 0),
    };
    key.seal(&[&[kind][..], &address.to_be_bytes(), &until.to_be_bytes(), &[strikes]].concat())
}

/// The decree of an entry; `None` if no node of this fleet has sealed it.
pub(super) fn open(key: &SealKey, entry: &[u8], clocks: Clocks) -> Option<Decree> {
    let plain: [u8; LENGTH] = key.open(entry)?.try_into().ok()?;
    let number =
        |from: usize| plain[from..from + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let address = AddressKey::from_bits(number(1));
    match plain[0] {
        BAN => {
            let left = Duration::from_millis(number(9)).saturating_sub(clocks.unix);
            Some(Decree::Ban { address, until: clocks.moment.after(left), strikes: plain[17] })
        }
        FORGIVE => Some(Decree::Forgive(Some(address))),
        FORGIVE_ALL => Some(Decree::Forgive(None)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Ipv6Prefix;

    fn key() -> SealKey {
        SealKey::new(&[1; 32], "bans".to_owned()).expect("a key")
    }

    fn clocks(seconds: u64) -> Clocks {
        let unix = Duration::from_secs(1_700_000_000 + seconds);
        Clocks { moment: Moment::since_start(Duration::from_secs(seconds)), unix }
    }

    fn address(text: &str) -> AddressKey {
        AddressKey::new(text.parse().expect(text), Ipv6Prefix::default())
    }

    #[test]
    fn nodes_read_what_one_has_written() {
        let until = Moment::since_start(Duration::from_secs(100));
        for decree in [
            Decree::Ban { address: address("192.0.2.1"), until, strikes: 3 },
            Decree::Ban { address: address("2001:db8::1"), until, strikes: 1 },
            Decree::Forgive(Some(address("192.0.2.1"))),
            Decree::Forgive(None),
        ] {
            let sealed = seal(&key(), decree, clocks(40)).expect("sealed");
            assert_eq!(open(&key(), sealed.as_bytes(), clocks(70)), Some(decree));
        }
    }

    #[test]
    fn a_ban_that_is_over_is_over() {
        let until = Moment::since_start(Duration::from_secs(50));
        let ban = Decree::Ban { address: address("192.0.2.1"), until, strikes: 3 };
        let sealed = seal(&key(), ban, clocks(40)).expect("sealed");
        let late = open(&key(), sealed.as_bytes(), clocks(70)).expect("opened");
        assert!(matches!(late, Decree::Ban { until, .. } if until == clocks(70).moment), "{late:?}");
    }

    #[test]
    fn other_bytes_are_no_decree() {
        for plain in [&[][..], &[9; LENGTH], &[BAN; LENGTH + 1]] {
            let sealed = key().seal(plain).expect("sealed");
            assert_eq!(open(&key(), sealed.as_bytes(), clocks(0)), None);
        }
    }
}
