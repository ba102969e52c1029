//! One rate limit at work: the limit, its buckets and its counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::super::key::TableKey;
use super::super::moment::Moment;
use super::bucket::{Bucket, Decision, Quota};
use super::table::Table;
use super::untold::{SharedBucket, Spent};
use super::{Agreement, By, Limit};

/// The keys by which rate limits count one request, as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestKeys {
    /// The client's address; `None` if the address is exempt.
    pub address: Option<TableKey>,
    /// The position of the route; `None` if no route matches.
    pub route: Option<usize>,
    /// The verified device. If the token names no device, the key of the token.
    pub device: Option<TableKey>,
    /// The verified token's signed part.
    pub token: Option<TableKey>,
    /// The position of the origin; `None` if the request is not forwarded.
    pub origin: Option<usize>,
}

/// A limit with its buckets. A reload that does not change the limit keeps the buckets.
pub struct Rule {
    limit: Limit,
    quota: Quota,
    /// The quota while other nodes cannot be reached; `None` if it stays the same.
    when_lost: Option<(Arc<AtomicBool>, Quota)>,
    /// Whether other nodes are told what is spent.
    is_shared: bool,
    route: Option<Box<str>>,
    store: Store,
    tally: Arc<Tally>,
}

enum Store {
    /// A bucket for each address, device or token.
    Many(Arc<Table>),
    /// A named bucket for each route or origin, by position; or one bucket in total.
    Few(Box<[(Box<str>, Arc<Bucket>)]>),
}

#[derive(Default)]
struct Tally {
    refused: AtomicU64,
    observed: AtomicU64,
}

impl Rule {
    /// A limit by address for connections. Keeps the buckets of `previous` if the limit is the same.
    pub fn by_address(limit: &Limit, previous: Option<&Arc<Rule>>) -> Arc<Self> {
        Arc::new(Self::new(limit, None, [], None).with_buckets_of(previous))
    }

    /// Whether a limit made by [`Rule::by_address`] admits this address. Takes a token if it does.
    pub fn admits(&self, address: TableKey, now: Moment) -> bool {
        let keys = RequestKeys { address: Some(address), ..RequestKeys::default() };
        self.ask(&keys, now).is_none_or(|decision| decision.admitted)
    }

    /// A rule with full buckets, for all requests or for those of one route. `names` are the routes or
    /// origins with a bucket of their own.
    pub(super) fn new<'n>(
        limit: &Limit,
        route: Option<&str>,
        names: impl IntoIterator<Item = &'n str>,
        agreement: Option<&Agreement>,
    ) -> Self {
        let quota = limit.quota();
        let store = match limit.by {
            By::Address | By::Device | By::Token => {
                Store::Many(Arc::new(Table::new(quota, limit.keys, agreement.is_some())))
            }
            By::Total | By::Route | By::Origin => {
                Store::Few(names.into_iter().map(|name| (name.into(), Arc::default())).collect())
            }
        };
        let when_lost = agreement.and_then(|agreement| {
            let nodes = agreement.when_lost.filter(|_| limit.by.is_shared_by_clients())?;
            Some((agreement.is_lost.clone(), quota.divided(nodes)))
        });
        let route = route.map(Into::into);
        let is_shared = agreement.is_some();
        Self { limit: limit.clone(), quota, when_lost, is_shared, route, store, tally: Arc::default() }
    }

    /// This rule with the buckets that `previous` has of the same limit. Without them a reload would
    /// fill every bucket.
    pub(super) fn with_buckets_of<'r>(self, previous: impl IntoIterator<Item = &'r Arc<Rule>>) -> Self {
        // A bucket of another number of nodes takes about as long to fill.
        let Limit { observe, nodes, .. } = self.limit;
        let is_same = |rule: &&Arc<Rule>| {
            rule.route == self.route && Limit { observe, nodes, ..rule.limit.clone() } == self.limit
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
            // Equal limits have stores of the same kind.
            (store, _) => store,
        };
        Self { store, tally: previous.tally.clone(), ..self }
    }

    /// Takes a token. Returns `None` if the limit does not apply to the request.
    pub(super) fn ask(&self, keys: &RequestKeys, now: Moment) -> Option<Decision> {
        let key = match self.limit.by {
            By::Address => keys.address,
            By::Device => keys.device,
            By::Token => keys.token,
            By::Total => return self.ask_bucket(0, now),
            By::Route if self.route.is_some() => return self.ask_bucket(0, now),
            By::Route => return self.ask_bucket(keys.route?, now),
            By::Origin => return self.ask_bucket(keys.origin?, now),
        };
        self.ask_table(key?, now)
    }

    fn ask_table(&self, key: TableKey, now: Moment) -> Option<Decision> {
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
                let quota = match &self.when_lost {
                    Some((is_lost, divided)) if is_lost.load(Ordering::Relaxed) => *divided,
                    _ => self.quota,
                };
                Some(self.counted(bucket.ask(quota, self.is_shared, now)))
            }
        }
    }

    /// Appends what other nodes are to be told, about `most` keys or a few more. The counts start at zero again.
    pub fn take_untold(&self, now: Moment, most: usize, told: &mut Vec<(SharedBucket, Spent)>) {
        match &self.store {
            Store::Many(table) => table.take_untold(now, most, told),
            Store::Few(buckets) => {
                told.extend(buckets.iter().enumerate().filter_map(|(index, (_, bucket))| {
                    Some((SharedBucket::Named(index), bucket.take_untold(self.quota, now)?))
                }))
            }
        }
    }

    /// All nodes together have used up the bucket until `full_at`.
    pub fn agreed(&self, bucket: SharedBucket, full_at: Moment) {
        match (&self.store, bucket) {
            (Store::Many(table), SharedBucket::Key(key)) => table.agreed(key, full_at),
            (Store::Few(buckets), SharedBucket::Named(index)) => {
                if let Some((_, bucket)) = buckets.get(index) {
                    bucket.agreed(self.quota, full_at);
                }
            }
            _ => {}
        }
    }

    /// The start of the names of all buckets. Two limits with the same name but different rates have different
    /// buckets.
    pub fn name_prefix(&self) -> Vec<u8> {
        let (by, name, route) = (self.limit.by.label(), &self.limit.name, self.route().unwrap_or_default());
        let (interval, depth) = (self.quota.interval().as_nanos(), self.quota.depth().as_nanos());
        format!("{by}\n{name}\n{route}\n{interval} {depth}\n").into_bytes()
    }

    /// Appends the rest of the bytes that name a bucket on every node with the same limit.
    pub fn append_name(&self, bucket: SharedBucket, name: &mut Vec<u8>) {
        match (bucket, &self.store) {
            (SharedBucket::Key(key), _) => name.extend(key.0.to_be_bytes()),
            (SharedBucket::Named(index), Store::Few(buckets)) => {
                let bucket = buckets.get(index).map_or("", |(name, _)| name);
                name.extend(bucket.as_bytes());
            }
            (SharedBucket::Named(_), Store::Many(_)) => {}
        }
    }

    /// The time in which a whole bucket fills.
    pub fn depth(&self) -> Duration {
        self.quota.depth()
    }

    fn counted(&self, decision: Decision) -> Decision {
        if !decision.admitted {
            let count = if self.limit.observe { &self.tally.observed } else { &self.tally.refused };
            count.fetch_add(1, Ordering::Relaxed);
        }
        decision
    }

    /// The configured limit of this rule.
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// The name of the route, if the limit belongs to one.
    pub fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// The number of requests that the limit has refused.
    pub fn refused(&self) -> u64 {
        self.tally.refused.load(Ordering::Relaxed)
    }

    /// The number of requests that the limit would have refused if it did not only observe.
    pub fn observed(&self) -> u64 {
        self.tally.observed.load(Ordering::Relaxed)
    }

    /// The table of buckets; `None` for limits in total, by route and by origin.
    pub fn table(&self) -> Option<&Table> {
        match &self.store {
            Store::Many(table) => Some(table),
            Store::Few(_) => None,
        }
    }
}
