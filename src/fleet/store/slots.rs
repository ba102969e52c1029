//! Who has which of the 16384 slots of a cluster
//! (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use crate::fleet::settings::ServerAddress;

/// The most primaries of a cluster.
const MOST_PRIMARIES: usize = 128;

/// The primary of each slot.
#[derive(Debug, PartialEq)]
pub(super) struct Slots(Vec<(RangeInclusive<u16>, ServerAddress)>);

impl Slots {
    /// The answer of `CLUSTER SLOTS`: for each range its first and last slot, its primary, and its replicas. A node that
    /// does not know its own name is at the host that was `asked`. `None` if there are too many primaries.
    pub fn read(answer: &Value, asked: &str) -> Option<Self> {
        let Value::Array(ranges) = answer else { return None };
        let ranges = ranges.iter().map(|range| {
            let Value::Array(range) = range else { return None };
            let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = &range[..] else {
                return None;
            };
            let [host, Value::Int(port), ..] = &primary[..] else { return None };
            let host = match host {
                Value::Nil => "",
                Value::BulkString(host) => std::str::from_utf8(host).ok()?,
                _ => return None,
            };
            let slots = u16::try_from(*first).ok()?..=u16::try_from(*last).ok()?;
            Some((slots, (known_host(host, asked).into(), u16::try_from(*port).ok()?)))
        });
        let slots = Self(ranges.collect::<Option<_>>()?);
        (slots.primaries().len() <= MOST_PRIMARIES).then_some(slots)
    }

    /// The primary that has this key; `None` if the cluster has lost the slot.
    pub fn primary_of(&self, key: &str) -> Option<&ServerAddress> {
        let slot = slot_of(key);
        self.0.iter().find(|(slots, _)| slots.contains(&slot)).map(|(_, primary)| primary)
    }

    /// All primaries.
    pub fn primaries(&self) -> BTreeSet<&ServerAddress> {
        self.0.iter().map(|(_, primary)| primary).collect()
    }
}

/// A host as a node names it. Without a name it is the one that was `asked`.
fn known_host<'h>(host: &'h str, asked: &'h str) -> &'h str {
    if matches!(host, "" | "?") { asked } else { host }
}

/// The slot of a key: CRC-16/XMODEM of what is between its first braces. All keys of a fleet have braces.
fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or(key, |(tag, _)| tag);
    let shift = |sum: u16| if sum & 0x8000 == 0 { sum << 1 } else { (sum << 1) ^ 0x1021 };
    let sum = tag.bytes().fold(0, |sum, byte| (0..8).fold(sum ^ (u16::from(byte) << 8), |sum, _| shift(sum)));
    sum % 16384
}

/// Where a command is to be sent instead.
#[derive(Debug, PartialEq)]
pub(super) enum Redirect {
    /// The slot has another primary.
    Moved(ServerAddress),
    /// The slot is on its way to another primary, and the key is there or new.
    Ask(ServerAddress),
}

impl Redirect {
    /// `MOVED 3999 127.0.0.1:6381`, or `ASK`; `None` for other errors. Without a host it is the one that was `asked`.
    pub fn read(error: &RedisError, asked: &str) -> Option<Self> {
        let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
        let server = (known_host(host, asked).into(), port.parse().ok()?);
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => Some(Self::Moved(server)),
            _ => Some(Self::Ask(server)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(lines: &str) -> Value {
        redis::parse_redis_value(lines.replace(' ', "\r\n").as_bytes()).expect("an answer")
    }

    fn at(host: &str, port: u16) -> ServerAddress {
        (host.into(), port)
    }

    #[test]
    fn a_key_has_the_slot_of_its_braces() {
        // The check value of CRC-16/XMODEM.
        assert_eq!(slot_of("123456789"), 0x31c3);
        // As CLUSTER KEYSLOT of Redis 7 says.
        assert_eq!(slot_of("foo"), 12182);
        assert_eq!(slot_of("ag1:{foo}:bar"), 12182);
    }

    #[test]
    fn slots_are_read_with_and_without_hosts_and_replicas() {
        let lines = "*3 *4 :0 :12181 *3 $9 127.0.0.1 :7000 $2 id *2 $9 127.0.0.2 :7001 \
                     *3 :12182 :12182 *2 $0  :7002 *3 :12184 :16383 *2 $-1 :7003 ";
        let slots = Slots::read(&parsed(lines), "asked").expect("slots");
        let primaries = [at("127.0.0.1", 7000), at("asked", 7002), at("asked", 7003)];
        assert_eq!(slots.primaries().into_iter().collect::<Vec<_>>(), primaries.iter().collect::<Vec<_>>());
        assert_eq!(slots.primary_of("foo"), Some(&primaries[1]));
        assert_eq!(slots.primary_of("123456789"), Some(&primaries[2]), "slot 12739");
        assert_eq!(Slots(Vec::new()).primary_of("foo"), None);
        for garbage in
            ["+OK ", "*1 :1 ", "*1 *2 :0 :1 ", "*1 *3 :0 :99999 *2 $1 a :1 ", "*1 *3 :0 :1 *1 $1 a "]
        {
            assert_eq!(Slots::read(&parsed(garbage), "asked"), None, "{garbage}");
        }
        let ranges = |count: usize| {
            let ranges = (1..=count).map(|port| format!("*3 :0 :0 *2 $-1 :{port} "));
            Slots::read(&parsed(&format!("*{count} {}", ranges.collect::<String>())), "asked")
        };
        assert!(ranges(MOST_PRIMARIES).is_some() && ranges(MOST_PRIMARIES + 1).is_none());
    }

    #[test]
    fn redirects_name_a_server() {
        let of = |line: &str| {
            let answer = redis::parse_redis_value(format!("{line}\r\n").as_bytes()).expect("an answer");
            Redirect::read(&answer.extract_error().expect_err("an error"), "asked")
        };
        assert_eq!(of("-MOVED 3999 10.0.0.1:6381"), Some(Redirect::Moved(at("10.0.0.1", 6381))));
        assert_eq!(of("-ASK 3999 ::1:6381"), Some(Redirect::Ask(at("::1", 6381))));
        for line in ["-MOVED 3999 :6381", "-MOVED 3999 ?:6381"] {
            assert_eq!(of(line), Some(Redirect::Moved(at("asked", 6381))));
        }
        for other in ["-MOVED 3999", "-MOVED 3999 a:b", "-TRYAGAIN", "-ERR 1 a:1"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
