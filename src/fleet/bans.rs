//! One exchange about bans.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use redis::Value;

use super::entry::{Clocks, EntryKey};
use super::failure::SyncFailure;
use super::settings::StoreSettings;
use super::store::{StoreConnection, StoreScript};
use crate::admission::Limits;
use crate::clock;
use crate::limits::Decree;

/// How often the whole log is read, so that what was missed is learnt. The clock of a store can go back.
const READ_ALL: Duration = Duration::from_secs(30);

/// The most entries that are told at once. More wait for the next exchange.
const MOST_ENTRIES: usize = 1000;

/// The most entries that wait while the store is lost. What comes then stays with this node.
const MOST_WAITING: usize = 10_000;

static SCRIPT: LazyLock<StoreScript> = LazyLock::new(|| StoreScript::new(include_str!("bans.lua")));

/// What this node has told and read.
#[derive(Default)]
pub(super) struct BanLog {
    /// Sealed entries that the store does not have.
    waiting: Vec<String>,
    /// The score from which to read.
    from: u64,
    read_all: Option<Instant>,
}

impl BanLog {
    /// Tells what this node has decided, and follows what others have.
    pub async fn exchange(
        &mut self,
        store: &mut StoreConnection,
        limits: &Limits,
        settings: &StoreSettings,
    ) -> Result<(), SyncFailure> {
        let Some((rules, prefix)) = limits.ban_rules() else { return Ok(()) };
        let Some(key) = EntryKey::new(&settings.key.entry_key(), &settings.name, prefix) else {
            return Ok(());
        };
        let clocks = Clocks { moment: limits.now(), unix: clock::unix_time() };
        let room = MOST_WAITING.saturating_sub(self.waiting.len());
        let decrees = limits.take_decrees().into_iter().take(room);
        self.waiting.extend(decrees.filter_map(|decree| key.seal(decree, clocks)));
        if self.read_all.is_none_or(|read| clock::since(read) >= READ_ALL) {
            self.from = 0;
        }
        let is_whole = self.from == 0;
        let told = &self.waiting[..self.waiting.len().min(MOST_ENTRIES)];
        let age = u64::try_from(rules.max_ban.as_millis()).unwrap_or(u64::MAX);
        let mut arguments = vec![self.from.to_string(), age.to_string(), rules.keys.to_string()];
        arguments.extend_from_slice(told);
        let name = format!("ag1:{{{}:bans}}", settings.name);
        let answer = store.run(&SCRIPT, &[name], &arguments).await.map_err(SyncFailure::Store)?;
        let (from, entries) = read(answer).ok_or(SyncFailure::Garbage)?;
        let told = told.len();
        self.waiting.drain(..told);
        if is_whole {
            self.read_all = Some(clock::now());
        }
        self.from = from;
        for decree in last_words(entries.iter().filter_map(|entry| key.open(entry, clocks).ok())) {
            limits.follow(decree);
        }
        Ok(())
    }
}

/// The answer of the script.
fn read(answer: Value) -> Option<(u64, Vec<Vec<u8>>)> {
    let Value::Array(parts) = answer else { return None };
    let [Value::BulkString(from), Value::Array(entries)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let from = std::str::from_utf8(&from).ok()?.parse().ok()?;
    let entries = entries.into_iter().map(|entry| match entry {
        Value::BulkString(entry) => Some(entry),
        _ => None,
    });
    Some((from, entries.collect::<Option<_>>()?))
}

/// The last decree about each address, so that a ban that was lifted does not come back for a moment.
fn last_words(decrees: impl Iterator<Item = Decree>) -> Vec<Decree> {
    let mut last: Vec<Decree> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for decree in decrees {
        match decree {
            Decree::Forgive(None) => {
                places.clear();
                last = vec![decree];
            }
            Decree::Ban { address, .. } | Decree::Forgive(Some(address)) => {
                match places.insert(address, last.len()) {
                    Some(place) => {
                        last[place] = decree;
                        places.insert(address, place);
                    }
                    None => last.push(decree),
                }
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{AddressKey, Ipv6Prefix, Moment};

    #[test]
    fn the_last_word_about_an_address_counts() {
        let address = |text: &str| AddressKey::new(text.parse().expect(text), Ipv6Prefix::default());
        let (one, two) = (address("192.0.2.1"), address("192.0.2.2"));
        let ban = |address, strikes| Decree::Ban { address, until: Moment::default(), strikes };
        let forgive = |address| Decree::Forgive(Some(address));
        let all = Decree::Forgive(None);
        for (decrees, last) in [
            (vec![ban(one, 1), forgive(one)], vec![forgive(one)]),
            (vec![forgive(one), ban(two, 1), ban(one, 2)], vec![ban(one, 2), ban(two, 1)]),
            (vec![ban(one, 1), all, ban(two, 1), forgive(two)], vec![all, forgive(two)]),
        ] {
            assert_eq!(last_words(decrees.into_iter()), last);
        }
    }
}
