//! One exchange about rates.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::Value;
use tokio::task::JoinSet;

use crate::admission::Limits;
use crate::fleet::key::StoreName;
use crate::fleet::settings::{StoreSettings, Topology};
use crate::fleet::store::{StoreConnection, StoreScript, SyncFailure};
use crate::limits::agreement::Told;
use crate::limits::{Moment, Rule, SharedBucket, Spent};

/// The most keys of addresses, devices and tokens that one exchange is about. More wait for the next one.
const MOST_KEYS: usize = 10_000;

/// The most buckets of one command. A command holds up all others in the store.
const MOST_OF_COMMAND: usize = 256;

/// Ten years in microseconds. With it all sums of the script are exact in a double.
const FARTHEST: u64 = 10 * 365 * 24 * 3600 * 1_000_000;

static SCRIPT: LazyLock<StoreScript> = LazyLock::new(|| StoreScript::new(include_str!("buckets.lua")));

/// Tells the store what was spent, and takes what all nodes have spent. Returns the number of buckets.
pub(super) async fn exchange(
    store: &StoreConnection,
    limits: &Limits,
    settings: &StoreSettings,
) -> Result<usize, SyncFailure> {
    let sent = limits.now();
    let mut commands = JoinSet::new();
    let mut told = 0;
    for telling in tellings(limits.rates(), sent, settings) {
        told += telling.buckets.len();
        let store = store.clone();
        commands.spawn(async move { telling.tell(&store, sent).await });
    }
    if commands.is_empty() {
        return probe(store, settings).await.map(|()| 0);
    }
    let mut result = Ok(told);
    while let Some(ended) = commands.join_next().await {
        // Only a panic ends a command early.
        if let Err(failure) = ended.unwrap_or(Err(SyncFailure::Garbage)) {
            // The first failure breaks the connection under the others.
            result = result.and(Err(failure));
        }
    }
    result
}

/// Makes an exchange about a bucket that no request uses: a sign of life that needs the same rights.
pub(super) async fn probe(store: &StoreConnection, settings: &StoreSettings) -> Result<(), SyncFailure> {
    let probe = format!("ag1:{{{}}}:probe", settings.name);
    let answer = store.run(&SCRIPT, &[probe], &[0, 1000, 0, 0, 0]).await?;
    if answer == Value::Array(vec![Value::Int(0)]) { Ok(()) } else { Err(SyncFailure::Garbage) }
}

/// One command, about buckets of one limit.
struct Telling {
    rule: Arc<Rule>,
    buckets: Vec<SharedBucket>,
    names: Vec<String>,
    arguments: Vec<u64>,
    /// How far ahead a bucket can be.
    most: Duration,
}

fn tellings(rules: &[Arc<Rule>], now: Moment, settings: &StoreSettings) -> Vec<Telling> {
    let mut left = MOST_KEYS;
    let mut tellings = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        // An even part of the room that is left: a flood of keys in one limit does not silence the others.
        let told = rule.take_untold(now, left / (rules.len() - number));
        left = left.saturating_sub(told.len());
        let mut told: Vec<_> = told
            .into_iter()
            .map(|(bucket, spent)| (settings.key.name(&rule.name_of(bucket)), bucket, spent))
            .collect();
        // The keys of a command must be in one slot of a cluster.
        let is_cluster = settings.topology == Topology::Cluster;
        if is_cluster {
            told.sort_unstable_by_key(|(name, ..)| name.part);
        }
        let parts = told.chunk_by(|(one, ..), (other, ..)| !is_cluster || one.part == other.part);
        let commands = parts.flat_map(|part| part.chunks(MOST_OF_COMMAND));
        tellings.extend(commands.map(|command| Telling::new(rule, command, settings)));
    }
    tellings
}

impl Telling {
    fn new(rule: &Arc<Rule>, told: &[(StoreName, SharedBucket, Spent)], settings: &StoreSettings) -> Self {
        let StoreSettings { name: fleet, sync, nodes, .. } = settings;
        let limit = &rule.limit().name;
        // All that the nodes can spend before each of them has learnt of it.
        let most = rule.depth().saturating_add(*sync).saturating_mul(nodes.get());
        let most = most.min(Duration::from_micros(FARTHEST));
        // Long enough for the window of the next telling.
        let keep = (*sync + settings.patience()) * 2;
        let mut arguments = vec![most.as_micros() as u64, keep.as_millis() as u64];
        for (.., spent) in told {
            let Told { spent, window, missing } = Told::new(*spent, *sync, settings.patience());
            arguments.extend([spent, window, missing].map(|time| time.min(FARTHEST)));
        }
        Self {
            rule: rule.clone(),
            buckets: told.iter().map(|(_, bucket, _)| *bucket).collect(),
            names: told
                .iter()
                .map(|(StoreName { part, text }, ..)| format!("ag1:{{{fleet}:{limit}:{part:x}}}:{text}"))
                .collect(),
            arguments,
            most,
        }
    }

    async fn tell(self, store: &StoreConnection, sent: Moment) -> Result<(), SyncFailure> {
        match store.run(&SCRIPT, &self.names, &self.arguments).await {
            Err(failure) if failure.is_half_moved() => {
                for one in self.split() {
                    one.take(&store.run(&SCRIPT, &one.names, &one.arguments).await?, sent)?;
                }
                Ok(())
            }
            answer => self.take(&answer?, sent),
        }
    }

    /// A command for each bucket.
    fn split(&self) -> impl Iterator<Item = Self> {
        let (common, spent) = self.arguments.split_at(2);
        let buckets = self.buckets.iter().zip(&self.names).zip(spent.chunks(3));
        buckets.map(move |((bucket, name), spent)| Self {
            rule: self.rule.clone(),
            buckets: vec![*bucket],
            names: vec![name.clone()],
            arguments: [common, spent].concat(),
            most: self.most,
        })
    }

    /// Takes an answer of the script. `sent` is earlier than the moment at which the store has computed it, so
    /// that nothing counts for longer than it should.
    fn take(&self, answer: &Value, sent: Moment) -> Result<(), SyncFailure> {
        let Value::Array(answers) = answer else { return Err(SyncFailure::Garbage) };
        let missing = answers.iter().map(|answer| match answer {
            Value::Int(missing) => u64::try_from(*missing).ok().map(Duration::from_micros),
            _ => None,
        });
        let missing: Vec<_> = missing
            .map(|missing| missing.filter(|missing| *missing <= self.most))
            .collect::<Option<_>>()
            .filter(|missing: &Vec<_>| missing.len() == self.buckets.len())
            .ok_or(SyncFailure::Garbage)?;
        for (bucket, missing) in self.buckets.iter().zip(missing) {
            self.rule.agreed(*bucket, sent.after(missing));
        }
        Ok(())
    }
}
