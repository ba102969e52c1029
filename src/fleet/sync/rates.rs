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

/// The most commands in progress at once.
const MOST_AT_ONCE: usize = 8;

/// Ten years in microseconds. With it all sums of the script are exact in a double.
const FARTHEST: u64 = 10 * 365 * 24 * 3600 * 1_000_000;

static SCRIPT: LazyLock<StoreScript> = LazyLock::new(|| StoreScript::new(include_str!("buckets.lua")));

/// The exchanges about rates. Their memory is kept from one to the next: the allocator would give it back to the
/// system and take it again each time.
#[derive(Default)]
pub(super) struct RateExchange {
    untold: Vec<(SharedBucket, Spent)>,
    /// `untold` with the names in the store, in the order of the commands.
    told: Vec<(StoreName, SharedBucket, Spent)>,
}

impl RateExchange {
    /// Tells the store what was spent, and takes what all nodes have spent. Returns the number of buckets.
    pub async fn exchange(
        &mut self,
        store: &StoreConnection,
        limits: &Limits,
        settings: &StoreSettings,
    ) -> Result<usize, SyncFailure> {
        let rules = limits.rates();
        let (mut count, mut left) = (0, MOST_KEYS);
        let (mut commands, mut result) = (JoinSet::new(), Ok(()));
        for (number, rule) in rules.iter().enumerate() {
            // An even part of the room that is left: a flood of keys in one limit does not silence the others.
            let sent = limits.now();
            self.take(rule, sent, left / (rules.len() - number), settings);
            count += self.told.len();
            left = left.saturating_sub(self.told.len());
            for command in commands_of(&self.told, settings.topology == Topology::Cluster) {
                if commands.len() == MOST_AT_ONCE {
                    result = result.and(next(&mut commands).await);
                }
                let (telling, store) = (Telling::new(rule, command, settings), store.clone());
                commands.spawn(async move { telling.tell(&store, sent).await });
                yield_core();
            }
        }
        if count == 0 {
            return probe(store, settings).await.map(|()| 0);
        }
        while !commands.is_empty() {
            // The first failure breaks the connection under the others.
            result = result.and(next(&mut commands).await);
        }
        result.map(|()| count)
    }

    /// Takes what is to be told about the buckets of a limit.
    fn take(&mut self, rule: &Rule, now: Moment, most: usize, settings: &StoreSettings) {
        self.untold.clear();
        rule.take_untold(now, most, &mut self.untold);
        let mut name = rule.name_prefix();
        let prefix = name.len();
        self.told.clear();
        for part in self.untold.chunks(MOST_OF_COMMAND) {
            self.told.extend(part.iter().map(|(bucket, spent)| {
                name.truncate(prefix);
                rule.append_name(*bucket, &mut name);
                (settings.key.name(&name), *bucket, *spent)
            }));
            yield_core();
        }
        if settings.topology == Topology::Cluster {
            self.told.sort_unstable_by_key(|(name, ..)| name.part());
        }
    }
}

/// Lets another thread run. Otherwise the scheduler could let this one compute for milliseconds while a request waits.
fn yield_core() {
    std::thread::yield_now();
}

/// What is told, divided into commands. The keys of a command must be in one slot of a cluster.
fn commands_of(
    told: &[(StoreName, SharedBucket, Spent)],
    is_cluster: bool,
) -> impl Iterator<Item = &[(StoreName, SharedBucket, Spent)]> {
    let parts = told.chunk_by(move |(one, ..), (other, ..)| !is_cluster || one.part() == other.part());
    parts.flat_map(|part| part.chunks(MOST_OF_COMMAND))
}

/// The result of the command that ends next.
async fn next(commands: &mut JoinSet<Result<(), SyncFailure>>) -> Result<(), SyncFailure> {
    // Only a panic ends a command early.
    commands.join_next().await.map_or(Ok(()), |ended| ended.unwrap_or(Err(SyncFailure::Garbage)))
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
                .map(|(name, ..)| format!("ag1:{{{fleet}:{limit}:{:x}}}:{name}", name.part()))
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
