//! Time, memory and wrong refusals of the limits, next to governor and pingora-limits.
//!
//! Run it with `cargo bench --bench limits`. `cargo test --benches` runs everything once. The contestants
//! take turns in short rounds, and medians are printed.

mod shared;

use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use approov_gateway::limits::{
    AddressKey, AddressRange, AddressSet, By, Caps, InFlight, Ipv6Prefix, KeyHasher, Limit, Moment,
    OffenderRules, Offenders, Rate, RateLimits, RequestKeys, Work,
};
use governor::clock::Clock;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use shared::{is_quick, median};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn std::error::Error>;

/// The allocator takes memory in larger pieces than it is asked for.
const SLACK: usize = 4 * 1024 * 1024;

fn main() -> Result<(), Failed> {
    let bench = Bench { quick: is_quick() };
    // Memory comes first, because later allocations could reuse freed memory.
    memory(bench)?;
    decisions(bench)?;
    wrong_refusals(bench)?;
    connections(bench);
    ranges(bench);
    Ok(())
}

/// The time of a decision by address, with addresses in random order.
fn decisions(bench: Bench) -> Result<(), Failed> {
    println!("\n{:28} {:>12} {:>12} {:>16}", "ns per decision", "ours", "governor", "pingora-limits");
    for keys in [1_u32, 1000, 1_000_000] {
        let keys = if bench.quick { keys.min(1000) } else { keys };
        let (ours, governor) = (Ours::new(1_000_000, By::Address), governor(1_000_000)?);
        let sketch = pingora_limits::rate::Rate::new(Duration::from_secs(1));
        for threads in [1, 2] {
            let times = bench.compare(
                threads,
                [
                    &|step| ours.ask(client(step, keys)),
                    &|step| governor.check_key(&client(step, keys)).is_ok(),
                    &|step| sketch.observe(&client(step, keys), 1) > 0,
                ],
            );
            let name = format!("{keys} keys, threads: {threads}");
            println!("{name:28} {:>12.1} {:>12.1} {:>16.1}", times[0], times[1], times[2]);
        }
    }
    let total = Ours::new(1_000_000, By::Total);
    for threads in [1, 2] {
        let [time] = bench.compare(threads, [&|_| total.ask(client(0, 1))]);
        println!("{:28} {time:>12.1}", format!("in total, threads: {threads}"));
    }
    Ok(())
}

/// The memory of a million addresses that come once and count for a minute.
fn memory(bench: Bench) -> Result<(), Failed> {
    println!("{:44} {:>12} {:>12}", "a million keys that come once", "stated KiB", "grown KiB");
    let strangers = if bench.quick { 1000 } else { 1_000_000 };
    let mut kept = Vec::new();
    for keys in [65_536, 1_000_000] {
        let before = resident();
        let ours = Ours::slow(keys);
        for step in 0..strangers {
            black_box(ours.ask(client(step, strangers)));
        }
        let stated = ours.limits.rules()[0].table().ok_or("a table")?.bytes();
        let grown = resident().saturating_sub(before);
        println!("{:44} {:>12} {:>12}", format!("ours, for {keys} keys"), stated / 1024, grown / 1024);
        if grown > stated + SLACK {
            return Err(format!("{grown} bytes of growth, and {stated} were stated").into());
        }
        kept.push(ours);
    }
    let before = resident();
    let quota = Quota::per_minute(NonZeroU32::MIN);
    let governor = RateLimiter::dashmap_with_clock(quota, Steps);
    for step in 0..strangers {
        black_box(governor.check_key(&client(step, strangers)).is_ok());
    }
    let grown = resident().saturating_sub(before);
    println!("{:44} {:>12} {:>12}", "governor, without housekeeping", "none", grown / 1024);
    Ok(())
}

/// Wrong refusals: a thousand clients send half of the allowed rate, while other clients come once.
fn wrong_refusals(bench: Bench) -> Result<(), Failed> {
    println!("\n{:44} {:>12} {:>16}", "honest clients refused, of 1000", "ours", "pingora-limits");
    for strangers in [1000_u32, 10_000, 100_000] {
        let strangers = if bench.quick { 1000 } else { strangers };
        let ours = Ours::new(10, By::Address);
        let sketch = pingora_limits::rate::Rate::new(Duration::from_secs(60));
        for stranger in 0..strangers {
            let address = Ipv4Addr::from_bits(0xc000_0000 + stranger).into();
            ours.ask(address);
            sketch.observe(&address, 1);
        }
        let honest = |refused: &dyn Fn(IpAddr) -> bool| {
            let is_refused = |client: &u32| {
                let address = Ipv4Addr::from_bits(0x0a00_0000 + client).into();
                (0..5).any(|_| refused(address))
            };
            (0..1000_u32).filter(is_refused).count()
        };
        let (one, other) =
            (honest(&|address| !ours.ask(address)), honest(&|address| sketch.observe(&address, 1) > 10));
        println!("{:44} {one:>12} {other:>16}", format!("next to {strangers} other clients"));
        if one > 0 {
            return Err("an honest client was refused".into());
        }
    }
    Ok(())
}

/// The time of the other decisions for a connection or a request.
fn connections(bench: Bench) {
    println!("\n{:28} {:>12} {:>12}", "ns", "one thread", "two threads");
    let rules = OffenderRules {
        failures: 2,
        within: Duration::from_secs(60),
        ban: Duration::from_secs(3600),
        max_ban: Duration::from_secs(3600),
        keys: 65_536,
    };
    let new = || Offenders::new(rules, Ipv6Prefix::default(), Arc::default(), hasher(), None);
    let (peaceful, busy) = (new(), new());
    let now = Moment::since_start(Duration::from_secs(1));
    for banned in 0..10_000 {
        for _ in 0..2 {
            busy.failed(Ipv4Addr::from_bits(0x0a00_0000 + banned).into(), now);
        }
    }
    let other = |step| IpAddr::from(Ipv4Addr::from_bits(0x0b00_0000 + step % 10_000));
    bench.print("banned? no address is", &|_| peaceful.banned(client(0, 1), now).is_none());
    bench.print("banned? no, others are", &|step| busy.banned(other(step), now).is_none());
    bench.print("banned? yes, of 10000", &|step| busy.banned(client(step, 10_000), now).is_some());
    bench.print("accepted, never failed", &|step| {
        busy.accepted(other(step), now);
        true
    });
    bench.print("failed, banned already", &|step| busy.failed(client(step, 10_000), now).is_none());
    let in_flight =
        InFlight::new(Caps { total: 10_000, reserve: 1000, per_address: 100, per_listener: 10_000 }, 1, None);
    let hasher = hasher();
    bench.print("permit, taken and returned", &|step| {
        let address = hasher.address(AddressKey::new(client(step, 1000), Ipv6Prefix::default()));
        in_flight.enter(Work::Verified, Some(address), Some(0)).is_ok()
    });
}

/// The time of a lookup in sets of ranges of several sizes.
fn ranges(bench: Bench) {
    println!("\n{:28} {:>12} {:>12}", "ns per address", "one thread", "two threads");
    for ranges in [100_u32, 10_000, 100_000] {
        let range = |index: u32| match index % 2 {
            0 => AddressRange::around(Ipv4Addr::from_bits(scattered(index)).into(), 24),
            _ => AddressRange::around(network(scattered(index)), 56),
        };
        let set: AddressSet = (0..ranges).map(range).collect();
        let probe = |step: u32| match step % 2 {
            0 => IpAddr::from(Ipv4Addr::from_bits(scattered(step.wrapping_mul(7)))),
            _ => network(scattered(step.wrapping_mul(7))),
        };
        let name = format!("{} ranges, {} KiB", set.ranges(), set.bytes() / 1024);
        bench.print(&name, &|step| set.contains(probe(step)) || step < u32::MAX);
    }
}

fn network(number: u32) -> IpAddr {
    Ipv6Addr::from_bits(0x2001 << 112 | u128::from(number) << 80).into()
}

/// A bijection that looks random.
fn scattered(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b1).rotate_left(13).wrapping_mul(0x85eb_ca6b)
}

fn client(step: u32, clients: u32) -> IpAddr {
    // In random order, because the processor would predict a sequence.
    let number = (u64::from(scattered(step)) * u64::from(clients)) >> 32;
    Ipv4Addr::from_bits(0x0a00_0000 + number as u32).into()
}

fn hasher() -> KeyHasher {
    KeyHasher::new([7; 16])
}

/// The limits of the gateway, from the address to the verdict.
struct Ours {
    limits: RateLimits,
    hasher: KeyHasher,
}

impl Ours {
    fn new(requests: u32, by: By) -> Self {
        Self::with(Rate { requests: number(requests), per: Duration::from_secs(1) }, requests, by, 1_048_576)
    }

    fn slow(keys: usize) -> Self {
        Self::with(Rate { requests: NonZeroU32::MIN, per: Duration::from_secs(60) }, 1, By::Address, keys)
    }

    fn with(rate: Rate, burst: u32, by: By, keys: usize) -> Self {
        let limit = Limit {
            name: "bench".into(),
            by,
            rate,
            burst: number(burst),
            observe: false,
            keys,
            nodes: NonZeroU32::MIN,
        };
        Self { limits: RateLimits::new(&[limit], &[], &[], None, None), hasher: hasher() }
    }

    fn ask(&self, address: IpAddr) -> bool {
        let address = self.hasher.address(AddressKey::new(address, Ipv6Prefix::default()));
        let keys = RequestKeys { address: Some(address), ..RequestKeys::default() };
        let now = Moment::since_start(Duration::from_nanos(Steps.now().into()));
        self.limits.before_verification(&keys, now).refused.is_none()
    }
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

fn governor(
    requests: u32,
) -> Result<
    RateLimiter<IpAddr, DashMapStateStore<IpAddr>, Steps, governor::middleware::NoOpMiddleware<Nanos>>,
    Failed,
> {
    let quota = Quota::per_second(NonZeroU32::new(requests).ok_or("a rate")?);
    Ok(RateLimiter::dashmap_with_clock(quota, Steps))
}

/// A clock that takes no time to read. Every decision advances it by one step.
#[derive(Clone)]
struct Steps;

thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });

impl Steps {
    /// Nanoseconds of a step. Two threads stay below a million decisions a second.
    const STEP: u64 = 4000;

    /// Sets the clock of this thread to `steps` steps after the start.
    fn set(steps: u64) {
        NOW.set(steps * Self::STEP);
    }
}

impl Clock for Steps {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        NOW.with(|now| Nanos::from(now.replace(now.get() + Self::STEP)))
    }
}

/// The resident memory of this process in bytes; 0 if it is unknown.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

type Contestant<'c> = &'c (dyn Fn(u32) -> bool + Sync);

/// The number of rounds and calls.
#[derive(Clone, Copy)]
struct Bench {
    /// Whether every case runs only a few times.
    quick: bool,
}

impl Bench {
    const ROUNDS: u32 = 41;
    const ROUND: u32 = 50_000;

    /// The median nanoseconds of a call for each contestant. The first round warms up.
    fn compare<const N: usize>(self, threads: usize, contestants: [Contestant<'_>; N]) -> [f64; N] {
        let (rounds, calls) = if self.quick { (1, 100) } else { (Self::ROUNDS, Self::ROUND) };
        let mut times = [const { Vec::new() }; N];
        for number in 0..=rounds {
            for (contestant, times) in contestants.iter().zip(&mut times) {
                let time = round(threads, number * calls, calls, *contestant);
                if number > 0 {
                    times.push(time);
                }
            }
        }
        times.map(median)
    }

    fn print(self, name: &str, contestant: Contestant<'_>) {
        let [one] = self.compare(1, [contestant]);
        let [two] = self.compare(2, [contestant]);
        println!("{name:28} {one:>12.1} {two:>12.1}");
    }
}

/// The mean nanoseconds of a call, in several threads at once.
fn round(threads: usize, first: u32, calls: u32, contestant: Contestant<'_>) -> f64 {
    static ELAPSED: AtomicU64 = AtomicU64::new(0);
    let elapsed = ELAPSED.fetch_add(calls.into(), Ordering::Relaxed);
    let run = |thread: u32| {
        Steps::set(elapsed);
        let first = first + thread * 10_000_019;
        let start = Instant::now();
        for step in first..first + calls {
            assert!(black_box(contestant(black_box(step))), "a wrong answer");
        }
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    if threads == 1 {
        return run(0);
    }
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads as u32).map(|thread| scope.spawn(move || run(thread))).collect();
        let times: Vec<f64> = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
        times.iter().sum::<f64>() / times.len() as f64
    })
}
