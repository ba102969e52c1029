//! A fleet in simulated time: real buckets, the real arithmetic of the store, and an exact limiter.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use approov_gateway::limits::agreement::{Stored, Told, agree};
use approov_gateway::limits::{Agreement, By, KeyHasher, Moment, RateLimits, RequestKeys, SharedBucket};

use super::super::hasher;
use super::super::rates::limit;

pub const MILLISECOND: u64 = 1000;
pub const SECOND: u64 = 1_000_000;

/// The time between two syncs of a node. All times are microseconds.
pub const SYNC: u64 = 500 * MILLISECOND;

#[derive(Clone, Debug)]
pub struct Plan {
    pub nodes: usize,
    /// Requests a second of each key.
    pub rate: u32,
    pub burst: u32,
    /// The longest time in one direction between a node and the store.
    pub trip: u64,
    pub seed: u64,
    pub faults: Vec<(u64, Fault)>,
}

impl Plan {
    /// The time after which a node gives up an answer.
    pub fn patience(&self) -> u64 {
        SYNC
    }

    fn interval(&self) -> u64 {
        SECOND / u64::from(self.rate)
    }
}

/// What goes wrong with the store, from a moment on.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It forgets everything.
    Flush,
    /// It takes nothing for this time.
    Refuse(u64),
    /// It takes everything, but no answer arrives for this time.
    LoseAnswers(u64),
    /// Its clock jumps.
    MoveClock(i64),
    /// It cannot be reached by this node for this time.
    CutOff(usize, u64),
}

/// What happened.
#[derive(Debug, Default)]
pub struct Seen {
    /// Whether each request was admitted, by time.
    pub answers: Vec<bool>,
    keys: Vec<u32>,
    /// The most requests at one moment above what the exact limiter admits.
    pub most_above: f64,
    /// What the store was told: once for each key, node and sync.
    pub lines: u64,
    /// Requests that were refused, although the exact limiter admits them.
    pub wrongly_refused: u64,
}

impl Seen {
    pub fn of_key(&self, key: u32) -> Vec<bool> {
        let answers = self.answers.iter().zip(&self.keys);
        answers.filter(|(_, of)| **of == key).map(|(answer, _)| *answer).collect()
    }
}

struct Node {
    limits: RateLimits,
    /// How far the node's clock is ahead of the simulation.
    ahead: u64,
    cut_until: u64,
}

impl Node {
    fn moment(&self, now: u64) -> Moment {
        Moment::since_start(Duration::from_micros(now + self.ahead))
    }
}

#[derive(Clone, Debug)]
enum Event {
    Fault(usize),
    Request { node: usize, key: u32 },
    Sync { node: usize },
    Arrive { node: usize, sent: u64, name: Vec<u8>, bucket: SharedBucket, told: Told },
    Learn { node: usize, sent: u64, bucket: SharedBucket, missing: u64 },
}

pub struct Fleet<'p> {
    plan: &'p Plan,
    nodes: Vec<Node>,
    hasher: KeyHasher,
    store: HashMap<Vec<u8>, Stored>,
    store_clock: i64,
    refuses_until: u64,
    mute_until: u64,
    /// By key: when the bucket of the exact limiter is full.
    exact: HashMap<u32, u64>,
    /// Events by time, and those of one time by their number.
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    random: u64,
    seen: Seen,
}

impl<'p> Fleet<'p> {
    pub fn new(plan: &'p Plan, agree: bool) -> Self {
        let limit = limit(By::Device, plan.rate, Duration::from_secs(1), plan.burst);
        let agreement = Agreement::default();
        let node = |number| Node {
            limits: RateLimits::new(
                std::slice::from_ref(&limit),
                &[],
                &[],
                agree.then_some(&agreement),
                None,
            ),
            ahead: number as u64 * 7 * SECOND,
            cut_until: 0,
        };
        let mut fleet = Self {
            plan,
            nodes: (0..plan.nodes).map(node).collect(),
            hasher: hasher(),
            store: HashMap::new(),
            store_clock: 40_000 * SECOND as i64,
            refuses_until: 0,
            mute_until: 0,
            exact: HashMap::new(),
            events: BTreeMap::new(),
            count: 0,
            random: plan.seed | 1,
            seen: Seen::default(),
        };
        for (number, (at, _)) in plan.faults.iter().enumerate() {
            fleet.at(*at, Event::Fault(number));
        }
        for node in (0..plan.nodes).filter(|_| agree) {
            let phase = fleet.random(SYNC);
            fleet.at(phase, Event::Sync { node });
        }
        fleet
    }

    pub fn send(&mut self, at: u64, node: usize, key: u32) {
        self.at(at, Event::Request { node, key });
    }

    /// Runs until no request is left.
    pub fn run(mut self) -> Seen {
        let mut left = self.events.values().filter(|event| matches!(event, Event::Request { .. })).count();
        while left > 0 {
            let Some(((now, _), event)) = self.events.pop_first() else { break };
            left -= usize::from(matches!(event, Event::Request { .. }));
            self.happen(now, event);
        }
        self.seen
    }

    fn at(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.events.insert((time, self.count), event);
    }

    /// A number below `limit` (xorshift).
    fn random(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn happen(&mut self, now: u64, event: Event) {
        match event {
            Event::Fault(number) => match self.plan.faults[number].1 {
                Fault::Flush => self.store.clear(),
                Fault::Refuse(time) => self.refuses_until = now + time,
                Fault::LoseAnswers(time) => self.mute_until = now + time,
                Fault::MoveClock(by) => self.store_clock += by,
                Fault::CutOff(node, time) => {
                    let node = &mut self.nodes[node % self.plan.nodes];
                    node.cut_until = node.cut_until.max(now + time);
                }
            },
            Event::Request { node, key } => self.request(now, node, key),
            Event::Sync { node } => self.sync(now, node),
            Event::Arrive { node, sent, name, bucket, told } => {
                if now < self.refuses_until.max(self.nodes[node].cut_until) {
                    return;
                }
                let clock = now.saturating_add_signed(self.store_clock);
                let most =
                    self.plan.nodes as u64 * (self.plan.interval() * u64::from(self.plan.burst) + SYNC);
                let stored = agree(self.store.get(&name).copied(), told, most, clock);
                self.store.insert(name, stored);
                let back = now + self.trip();
                if now >= self.mute_until && back <= sent + self.plan.patience() {
                    self.at(back, Event::Learn { node, sent, bucket, missing: stored.missing(clock) });
                }
            }
            Event::Learn { node, sent, bucket, missing } => {
                let node = &self.nodes[node];
                if now < node.cut_until {
                    return;
                }
                let full_at = node.moment(sent).after(Duration::from_micros(missing));
                node.limits.rules()[0].agreed(bucket, full_at);
            }
        }
    }

    fn sync(&mut self, now: u64, node: usize) {
        self.at(now + SYNC, Event::Sync { node });
        if now < self.nodes[node].cut_until {
            // Without a connection a node tells nothing, and keeps what it has to tell.
            return;
        }
        let rule = self.nodes[node].limits.rules()[0].clone();
        let arrives = now + self.trip();
        let mut untold = Vec::new();
        rule.take_untold(self.nodes[node].moment(now), usize::MAX, &mut untold);
        for (bucket, spent) in untold {
            self.seen.lines += 1;
            let (sync, patience) = (Duration::from_micros(SYNC), Duration::from_micros(self.plan.patience()));
            let told = Told::new(spent, sync, patience);
            let mut name = rule.name_prefix();
            rule.append_name(bucket, &mut name);
            self.at(arrives, Event::Arrive { node, sent: now, name, bucket, told });
        }
    }

    fn trip(&mut self) -> u64 {
        1 + self.random(self.plan.trip)
    }

    fn request(&mut self, now: u64, node: usize, key: u32) {
        let device = self.hasher.bytes(&key.to_le_bytes());
        let keys = RequestKeys { device: Some(device), ..RequestKeys::default() };
        let Node { limits, .. } = &self.nodes[node];
        let admitted = limits.after_verification(&keys, self.nodes[node].moment(now)).refused.is_none();
        let (interval, burst) = (self.plan.interval(), u64::from(self.plan.burst));
        let exact = self.exact.entry(key).or_default();
        let full_at = (*exact).max(now) + interval;
        let above = (full_at - now) as f64 / interval as f64 - burst as f64;
        if admitted {
            *exact = full_at;
            self.seen.most_above = self.seen.most_above.max(above);
        } else {
            self.seen.wrongly_refused += u64::from(above <= 0.0);
        }
        self.seen.answers.push(admitted);
        self.seen.keys.push(key);
    }
}
