//! Upgrades and reloads in a row under load: no request may fail, and this is what they cost.
//!
//! ```sh
//! cargo bench --bench lifecycle
//! ```
//!
//! The load asks without a pause, over kept connections and over one for each request, each
//! request under a name of its own. A request counts as failed when its connection is refused or
//! reset, when its answer is missing or another, and when it did not arrive at the origin exactly
//! once. During each upgrade a download, an upload and a WebSocket are half done.
//!
//! Latencies before and during reloads are of the same run: intervals without and with reloads
//! take turns, so that a machine that changes its speed changes it for both.

#![allow(clippy::expect_used, clippy::panic, reason = "a bench stops where it cannot go on")]

mod load;
mod origin;
mod process;
mod slow;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use load::Load;
use origin::Origin;
use process::{Gateway, Place};
use slow::Slow;

const SECRET: &str =
    "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzNnqyRze3lw/WVyWrc2gZfh3XXfBOmww==";

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// How much is done.
struct Size {
    upgrades: usize,
    /// Intervals without reloads, with paced ones, and with ones back to back.
    rounds: usize,
    interval: Duration,
    /// In an interval.
    reloads: usize,
    requests: u64,
    routes: usize,
}

/// Intervals of the load, by what happens in them.
const QUIET: usize = 0;
const PACED: usize = 1;
const BACK_TO_BACK: usize = 2;
const LARGE: usize = 3;
const OTHER: usize = 4;

fn main() {
    // `cargo test --benches` passes no `--bench`: show only that it runs.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (short, long) = (Duration::from_millis(200), Duration::from_secs(2));
    let size = match is_bench {
        true => {
            Size { upgrades: 20, rounds: 5, interval: long, reloads: 20, requests: 500_000, routes: 10_000 }
        }
        false => Size { upgrades: 2, rounds: 1, interval: short, reloads: 2, requests: 500, routes: 100 },
    };
    let origin = Origin::start();
    let place = Place::new();
    place.configure(origin.address(), "127.0.0.1:0", "127.0.0.1:0", 1);
    let mut gateway = Gateway::start(&place, false);
    let (public, admin) = gateway.await_addresses();
    place.configure(origin.address(), &public, &admin, 1);
    let load = Arc::new(Load::new(public.parse().expect("an address")));
    let clients = load.start();

    // What is new is slow: code and memory that nobody has touched yet.
    load.enter(OTHER);
    load.wait_for(size.requests / 100);
    let mut generation = 1;
    let mut reload = |gateway: &Gateway| {
        generation += 1;
        let start = Instant::now();
        gateway.signal(Signal::HUP);
        gateway.await_line(&format!("configuration reloaded, generation {generation}"));
        start.elapsed()
    };
    let mut small = Vec::new();
    for _ in 0..size.rounds {
        load.enter(QUIET);
        thread::sleep(size.interval);
        load.enter(PACED);
        let start = Instant::now();
        for number in 1..=u32::try_from(size.reloads).expect("not so many") {
            small.push(reload(&gateway));
            let next = size.interval * number / u32::try_from(size.reloads).expect("not so many");
            thread::sleep(next.saturating_sub(start.elapsed()));
        }
        load.enter(BACK_TO_BACK);
        for _ in 0..size.reloads {
            reload(&gateway);
        }
    }
    load.enter(OTHER);
    place.configure(origin.address(), &public, &admin, size.routes);
    load.enter(LARGE);
    let mut large: Vec<Duration> = (0..size.rounds).map(|_| reload(&gateway)).collect();
    load.enter(OTHER);
    place.configure(origin.address(), &public, &admin, 1);
    reload(&gateway);

    let mut upgrades = Vec::new();
    let mut ends = Vec::new();
    for number in 0..size.upgrades {
        let slow = Slow::begin(load.address(), number);
        let start = Instant::now();
        let next = Gateway::start(&place, true);
        next.await_line("waiting for the sockets");
        gateway.signal(Signal::QUIT);
        next.await_line("admin on http://");
        upgrades.push(start.elapsed());
        let mut old = std::mem::replace(&mut gateway, next);
        load.wait_for(load.answered() + size.requests / 200);
        slow.end(&origin, number);
        assert_eq!(old.await_exit(), Some(0), "the old process ends well");
        ends.push(start.elapsed());
    }
    load.wait_for(size.requests);
    load.stop(clients);
    let start = Instant::now();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.await_exit(), Some(0));
    let stopped = start.elapsed();
    // With nothing under way: what an operator waits for on an idle machine.
    let idle = idle_upgrade(&place);

    let failures = load.failures(&origin);
    line("requests answered", load.answered());
    line("requests failed, lost or doubled", failures.len());
    let quiet = load.p99(QUIET);
    for (name, interval) in
        [("paced reloads", PACED), ("reloads back to back", BACK_TO_BACK), ("large reloads", LARGE)]
    {
        let p99 = load.p99(interval);
        line(
            &format!("p99 without, and during {name}"),
            format_args!("{} {} ({:.2})", show(quiet), show(p99), ratio(p99, quiet)),
        );
    }
    let per_second = size.reloads as f64 / size.interval.as_secs_f64();
    line("paced reloads", format_args!("{} at {per_second} a second", size.rounds * size.reloads));
    line("reload with 1 route, median", show(median(&mut small)));
    line(&format!("reload with {} routes, median", size.routes), show(median(&mut large)));
    line(&format!("upgrade until it serves, median of {}", size.upgrades), show(median(&mut upgrades)));
    line("upgrade until it serves, slowest", show(upgrades.into_iter().max().unwrap_or_default()));
    line("upgrade until the old one is gone, median", show(median(&mut ends)));
    line("the same without load", show(idle));
    line("SIGTERM idle to exit", show(stopped));
    for failure in failures.iter().take(10) {
        println!("failed: {failure}");
    }
    assert!(failures.is_empty(), "requests were lost");
}

/// From the start of the new process to the end of the old one, without any client.
fn idle_upgrade(place: &Place) -> Duration {
    let mut old = Gateway::start(place, false);
    old.await_addresses();
    let start = Instant::now();
    let mut new = Gateway::start(place, true);
    new.await_line("waiting for the sockets");
    old.signal(Signal::QUIT);
    assert_eq!(old.await_exit(), Some(0));
    let took = start.elapsed();
    new.signal(Signal::TERM);
    assert_eq!(new.await_exit(), Some(0));
    took
}

fn line(what: &str, value: impl std::fmt::Display) {
    println!("{what:<44} {value}");
}

fn median(durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}

fn ratio(this: Duration, other: Duration) -> f64 {
    this.as_secs_f64() / other.as_secs_f64()
}

fn show(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}
