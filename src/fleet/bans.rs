//! One exchange about bans.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::entry::{Clocks, open, seal};
use super::failure::SyncFailure;
use super::log::{Keep, StoreLog};
use super::seal::SealKey;
use super::settings::StoreSettings;
use super::store::StoreConnection;
use crate::admission::Limits;
use crate::clock;
use crate::limits::Decree;

/// How often the whole log is read, so that what was missed is learnt. The clock of a store can go back.
const READ_ALL: Duration = Duration::from_secs(30);

/// What this node has told and read.
#[derive(Default)]
pub(super) struct BanLog {
    log: StoreLog,
    read_all: Option<Instant>,
    /// Entries of liftings that were followed. Followed again, they would erase the failures since.
    lifted: HashSet<Vec<u8>>,
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
        let purpose = format!("bans 1 {} /{}", settings.name, prefix.length());
        let Some(key) = SealKey::new(&settings.key.entry_key(), purpose) else { return Ok(()) };
        let clocks = Clocks { moment: limits.now(), unix: clock::unix_time() };
        self.log.write(limits.take_decrees().into_iter().filter_map(|decree| seal(&key, decree, clocks)));
        let is_due = self.read_all.is_none_or(|read| clock::since(read) >= READ_ALL);
        if is_due {
            self.log.read_again();
        }
        let keep = Keep { age: rules.max_ban, entries: rules.keys };
        let entries = self.log.exchange(store, format!("ag1:{{{}:bans}}", settings.name), keep).await?;
        if is_due {
            self.read_all = Some(clock::now());
        }
        let known = if is_due { std::mem::take(&mut self.lifted) } else { HashSet::new() };
        let mut new_liftings = Vec::new();
        let decrees = entries.into_iter().filter_map(|entry| {
            let decree = open(&key, &entry, clocks)?;
            let is_known = known.contains(&entry);
            if matches!(decree, Decree::Forgive(_)) && self.lifted.insert(entry) && !is_known {
                new_liftings.push(decree);
            }
            Some(decree)
        });
        for decree in last_words(decrees) {
            if matches!(decree, Decree::Ban { .. }) || new_liftings.contains(&decree) {
                limits.follow(decree);
            }
        }
        Ok(())
    }
}

/// The last decree about each address, so that a ban that was lifted does not come back for a moment.
fn last_words(decrees: impl Iterator<Item = Decree>) -> Vec<Decree> {
    let mut last: Vec<Decree> = Vec::new();
    let mut places = HashMap::new();
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
