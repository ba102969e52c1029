//! One exchange about bans.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::entry::{Clocks, open, seal};
use super::seal::SealKey;
use super::store_log::{Keep, Page, StoreLog};
use crate::admission::Limits;
use crate::clock;
use crate::fleet::settings::StoreSettings;
use crate::fleet::store::{StoreConnection, SyncFailure};
use crate::limits::Decree;

/// How often the whole log is read, so that what was missed is learnt. The clock of a store can go back.
const READ_ALL: Duration = Duration::from_secs(30);

/// What this node has told and read.
#[derive(Default)]
pub(super) struct BanLog {
    log: StoreLog,
    read_all: Option<Instant>,
    /// Whether the log goes on behind the entries of the last exchange.
    has_more: bool,
    /// Entries that were followed in this pass over the log, and in the pass before. Followed again, a ban
    /// would be told again, and a lifting would erase the failures since.
    followed: [HashSet<Vec<u8>>; 2],
}

impl BanLog {
    /// Tells what this node has decided, and follows what others have.
    pub async fn exchange(
        &mut self,
        store: &StoreConnection,
        limits: &Limits,
        settings: &StoreSettings,
    ) -> Result<(), SyncFailure> {
        let Some((rules, prefix)) = limits.ban_rules() else { return Ok(()) };
        let purpose = format!("bans 1 {} /{}", settings.name, prefix.length());
        let Some(key) = SealKey::new(&settings.key.entry_key(), purpose) else { return Ok(()) };
        let clocks = Clocks { moment: limits.now(), unix: clock::unix_time() };
        self.log.write(limits.take_decrees().into_iter().filter_map(|decree| seal(&key, decree, clocks)));
        let is_due = !self.has_more && self.read_all.is_none_or(|read| clock::since(read) >= READ_ALL);
        if is_due {
            self.log.read_again();
        }
        let keep = Keep { age: rules.max_ban, entries: rules.keys };
        let Page { entries, has_more } =
            self.log.exchange(store, format!("ag1:{{{}:bans}}", settings.name), keep).await?;
        self.has_more = has_more;
        if is_due {
            self.read_all = Some(clock::now());
            self.followed.swap(0, 1);
            self.followed[0].clear();
        }
        let [present, before] = &mut self.followed;
        let decrees = entries.into_iter().filter_map(|entry| {
            let decree = open(&key, &entry, rules.max_ban, clocks)?;
            let was_followed = before.contains(&entry);
            Some((decree, present.insert(entry) && !was_followed))
        });
        for (decree, is_new) in last_words(decrees) {
            if is_new {
                limits.follow(decree);
            }
        }
        Ok(())
    }
}

/// The last decree about each address, so that a ban that was lifted does not come back for a moment. Each
/// decree has a flag that stays with it.
fn last_words(decrees: impl Iterator<Item = (Decree, bool)>) -> Vec<(Decree, bool)> {
    let mut last: Vec<(Decree, bool)> = Vec::new();
    let mut places = HashMap::new();
    for flagged in decrees {
        match flagged.0 {
            Decree::Forgive(None) => {
                places.clear();
                last = vec![flagged];
            }
            Decree::Ban { address, .. } | Decree::Forgive(Some(address)) => match places.get(&address) {
                Some(place) => last[*place] = flagged,
                None => {
                    places.insert(address, last.len());
                    last.push(flagged);
                }
            },
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
            let flagged = |decrees: Vec<Decree>| decrees.into_iter().map(|decree| (decree, true));
            assert_eq!(last_words(flagged(decrees)), flagged(last).collect::<Vec<_>>());
        }
    }
}
