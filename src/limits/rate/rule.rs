//! A limit with its buckets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::key::Key;
use super::super::moment::Moment;
use super::bucket::{Bucket, Decision, Quota};
use super::table::Table;
use super::{By, Limit};

/// Whom a request comes from and where it goes, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker {
    /// The client's address; `None` for one that is never limited.
    pub address: Option<Key>,
    /// Position of the route; `None` where there is none.
    pub route: Option<usize>,
    /// The verified device. Where a token names none, the key of the token.
    pub device: Option<Key>,
    /// The verified token.
    pub token: Option<Key>,
    /// Position of the origin; `None` where nothing would be forwarded.
    pub origin: Option<usize>,
}

/// A limit at work. It outlives reloads that leave it as it is.
pub struct Rule {
    limit: Limit,
    quota: Quota,
    route: Option<Box<str>>,
    store: Store,
    tally: Arc<Tally>,
}

enum Store {
    /// A bucket for each address, device or token.
    Many(Arc<Table>),
    /// A bucket for each route or origin, by position, with its name; or one for all.
    Few(Box<[(Box<str>, Arc<Bucket>)]>),
}

#[derive(Default)]
struct Tally {
    refused: AtomicU64,
    observed: AtomicU64,
}

impl Rule {
    /// A limit by address for what is no request, with the buckets that `previous` has of the same.
    pub fn by_address(limit: &Limit, previous: Option<&Arc<Rule>>) -> Arc<Self> {
        Arc::new(Self::new(limit, None, []).with_buckets_of(previous))
    }

    /// Whether this address, which such a limit concerns, is admitted. Takes a token if it is.
    pub fn admits(&self, address: Key, now: Moment) -> bool {
        let asker = Asker { address: Some(address), ..Asker::default() };
        self.ask(&asker, now).is_none_or(|decision| decision.admitted)
    }

    /// A rule with full buckets: a limit for all requests, or for those of one route. `names` are
    /// those of the routes or origins that each have a bucket.
    pub(super) fn new<'n>(
        limit: &Limit,
        route: Option<&str>,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let quota = limit.quota();
        let store = match limit.by {
            By::Address | By::Device | By::Token => Store::Many(Arc::new(Table::new(quota, limit.keys))),
            By::Total | By::Route | By::Origin => {
                Store::Few(names.into_iter().map(|name| (name.into(), Arc::default())).collect())
            }
        };
        Self { limit: limit.clone(), quota, route: route.map(Into::into), store, tally: Arc::default() }
    }

    /// The same, with the buckets that `previous` has of the same limit, so that a reload gives
    /// nobody a full bucket.
    pub(super) fn with_buckets_of<'r>(self, previous: impl IntoIterator<Item = &'r Arc<Rule>>) -> Self {
        let is_same = |rule: &&Arc<Rule>| {
            rule.route == self.route
                && Limit { observe: self.limit.observe, ..rule.limit.clone() } == self.limit
        };
        let Some(previous) = previous.into_iter().find(is_same) else { return self };
        let store = match (self.store, &previous.store) {
            (Store::Many(_), Store::Many(table)) => Store::Many(table.clone()),
            (Store::Few(buckets), Store::Few(known)) => {
                let known = |name: &str| known.iter().find(|(known, _)| **known == *name);
                let bucket = |(name, new): (Box<str>, _)| {
                    let bucket = known(&name).map_or(new, |(_, bucket)| bucket.clone());
                    (name, bucket)
                };
                Store::Few(buckets.into_iter().map(bucket).collect())
            }
            // A limit of the same kind has a store of the same kind.
            (store, _) => store,
        };
        Self { store, tally: previous.tally.clone(), ..self }
    }

    /// Asks for a token; `None` if the limit does not concern the request.
    pub(super) fn ask(&self, asker: &Asker, now: Moment) -> Option<Decision> {
        let key = match self.limit.by {
            By::Address => asker.address,
            By::Device => asker.device,
            By::Token => asker.token,
            By::Total => return self.ask_bucket(0, now),
            By::Route if self.route.is_some() => return self.ask_bucket(0, now),
            By::Route => return self.ask_bucket(asker.route?, now),
            By::Origin => return self.ask_bucket(asker.origin?, now),
        };
        self.ask_table(key?, now)
    }

    fn ask_table(&self, key: Key, now: Moment) -> Option<Decision> {
        match &self.store {
            Store::Many(table) => Some(self.counted(table.ask(key, now))),
            Store::Few(_) => None,
        }
    }

    fn ask_bucket(&self, index: usize, now: Moment) -> Option<Decision> {
        match &self.store {
            Store::Many(_) => None,
            Store::Few(buckets) => {
                let (_, bucket) = buckets.get(index)?;
                Some(self.counted(bucket.ask(self.quota, now)))
            }
        }
    }

    fn counted(&self, decision: Decision) -> Decision {
        if !decision.admitted {
            let count = if self.limit.observe { &self.tally.observed } else { &self.tally.refused };
            count.fetch_add(1, Ordering::Relaxed);
        }
        decision
    }

    /// The limit.
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// The name of the route whose own limit it is.
    pub fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// How many requests it has refused.
    pub fn refused(&self) -> u64 {
        self.tally.refused.load(Ordering::Relaxed)
    }

    /// How many it would have refused, had it not only been observing.
    pub fn observed(&self) -> u64 {
        self.tally.observed.load(Ordering::Relaxed)
    }

    /// The table of a limit by address, device or token.
    pub fn table(&self) -> Option<&Table> {
        match &self.store {
            Store::Many(table) => Some(table),
            Store::Few(_) => None,
        }
    }
}
