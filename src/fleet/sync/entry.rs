//! The bytes of a decree about a ban.

use std::time::Duration;

use super::seal::SealKey;
use crate::limits::{AddressKey, Decree, Moment};

/// Kind, address, end of the ban or time of the lifting in milliseconds since 1970, number of the ban.
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
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).ok();
    let (kind, address, time, strikes) = match decree {
        Decree::Ban { address, until, strikes } => {
            let end = clocks.unix + clocks.moment.until(until);
            (BAN, address.bits(), milliseconds(end)?, strikes)
        }
        Decree::Forgive(Some(address)) => (FORGIVE, address.bits(), milliseconds(clocks.unix)?, 0),
        Decree::Forgive(None) => (FORGIVE_ALL, 0, milliseconds(clocks.unix)?, 0),
    };
    key.seal(&[&[kind][..], &address.to_be_bytes(), &time.to_be_bytes(), &[strikes]].concat())
}

/// The decree of an entry; `None` if no node of this fleet has sealed it, or if it is a lifting older than `age`:
/// a store could keep it and show it again.
pub(super) fn open(key: &SealKey, entry: &[u8], age: Duration, clocks: Clocks) -> Option<Decree> {
    let plain: [u8; LENGTH] = key.open(entry)?.try_into().ok()?;
    let number =
        |from: usize| plain[from..from + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (address, time) = (AddressKey::from_bits(number(1)), Duration::from_millis(number(9)));
    let is_fresh = clocks.unix.saturating_sub(time) <= age;
    match plain[0] {
        BAN => {
            let left = time.saturating_sub(clocks.unix);
            Some(Decree::Ban { address, until: clocks.moment.after(left), strikes: plain[17] })
        }
        FORGIVE if is_fresh => Some(Decree::Forgive(Some(address))),
        FORGIVE_ALL if is_fresh => Some(Decree::Forgive(None)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Ipv6Prefix;

    const AGE: Duration = Duration::from_secs(60);

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
            assert_eq!(open(&key(), sealed.as_bytes(), AGE, clocks(70)), Some(decree));
        }
    }

    #[test]
    fn a_ban_that_is_over_is_over() {
        let until = Moment::since_start(Duration::from_secs(50));
        let ban = Decree::Ban { address: address("192.0.2.1"), until, strikes: 3 };
        let sealed = seal(&key(), ban, clocks(40)).expect("sealed");
        let late = open(&key(), sealed.as_bytes(), AGE, clocks(70)).expect("opened");
        assert!(matches!(late, Decree::Ban { until, .. } if until == clocks(70).moment), "{late:?}");
    }

    #[test]
    fn an_old_lifting_is_not_followed() {
        for decree in [Decree::Forgive(Some(address("192.0.2.1"))), Decree::Forgive(None)] {
            let sealed = seal(&key(), decree, clocks(0)).expect("sealed");
            assert_eq!(open(&key(), sealed.as_bytes(), AGE, clocks(60)), Some(decree));
            assert_eq!(open(&key(), sealed.as_bytes(), AGE, clocks(61)), None);
        }
    }

    #[test]
    fn other_bytes_are_no_decree() {
        for plain in [&[][..], &[9; LENGTH], &[BAN; LENGTH + 1]] {
            let sealed = key().seal(plain).expect("sealed");
            assert_eq!(open(&key(), sealed.as_bytes(), AGE, clocks(0)), None);
        }
    }
}
