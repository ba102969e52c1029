//! CPU time of a connection from a banned address, next to the same connection with a refused request.
//!
//! Connections arrive while the gateway is stopped, and it then works through them, as in a flood that
//! it cannot keep up with. A connection that arrives while the gateway is idle costs both kinds some ten
//! microseconds more, for waking up; that figure is printed too.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;

use super::hostile::{Means, Outcome, ask};
use super::report::Verdict;
use super::stage::Stage;
use crate::load::{Http1, connect};
use crate::rig::Result;
use crate::rig::figures::median;
use crate::rig::gateway::Gateway;

/// Connections that wait at once: fewer than the backlog of a listener.
const WAITING: usize = 500;

/// Repetitions in a round.
const TIMES: usize = 8;

const ROUNDS: usize = 9;

/// The failures that lead to a ban.
const A_BAN: usize = 120;

const BANNED: Ipv4Addr = Ipv4Addr::new(127, 3, 0, 1);

/// The number of connections by outcome.
type Outcomes = BTreeMap<Outcome, usize>;

/// Clients that send one wrongly signed request over each connection.
struct Clients {
    runtime: Runtime,
    means: Means,
}

impl Clients {
    async fn open(&self, from: Ipv4Addr) -> std::io::Result<Http1> {
        let mut stream = connect(from, self.means.gateway).await?;
        stream.write_all(&self.means.refused("round").to_bytes()).await?;
        Ok(Http1::over(Box::new(stream)))
    }

    /// All connections wait while the gateway is stopped, as they do if it is overloaded.
    fn in_a_flood(&self, gateway: &Gateway, from: &[Ipv4Addr]) -> Result<Outcomes> {
        gateway.process.signal(Signal::STOP)?;
        let open = |from: &Ipv4Addr| self.runtime.block_on(self.open(*from));
        let waiting: std::io::Result<Vec<Http1>> = from.iter().map(open).collect();
        gateway.process.signal(Signal::CONT)?;
        let mut outcomes = Outcomes::new();
        for mut client in waiting? {
            *outcomes.entry(self.runtime.block_on(ask(&mut client, b""))).or_default() += 1;
        }
        Ok(outcomes)
    }

    /// The same connections, one after the other.
    fn one_by_one(&self, from: &[Ipv4Addr]) -> Outcomes {
        let mut outcomes = Outcomes::new();
        for from in from {
            let outcome = self.runtime.block_on(async {
                match self.open(*from).await {
                    Ok(mut client) => ask(&mut client, b"").await,
                    Err(error) => Outcome::of(&error),
                }
            });
            *outcomes.entry(outcome).or_default() += 1;
        }
        outcomes
    }
}

pub fn run(gateway: &Path) -> Result<()> {
    // The default ban of a minute would end within the run.
    let stage = Stage::set(gateway, "", "offenders: { ban: 1h }")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clients = Clients { runtime, means: Means::against(&stage.gateway) };
    clients.one_by_one(&[BANNED; A_BAN]);
    println!("CPU microseconds of a connection: banned address, refused request, ratio");
    let flood = compare(&stage, &clients, "in a flood", |from| clients.in_a_flood(&stage.gateway, from))?;
    compare(&stage, &clients, "one by one", |from| Ok(clients.one_by_one(from)))?;
    println!();
    let mut verdict = Verdict::default();
    stage.expect_peace(&mut verdict);
    verdict.expect(
        flood <= 0.5,
        format!("in a flood, a ban costs {flood:.2} of a refused request, at most 0.5"),
    );
    verdict.judge()
}

/// Both kinds in turns; returns the median of the ratios.
fn compare(
    stage: &Stage,
    clients: &Clients,
    name: &str,
    connect: impl Fn(&[Ipv4Addr]) -> Result<Outcomes>,
) -> Result<f64> {
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        let banned = cost(stage, &connect, || BANNED, Outcome::Reset)?;
        let refused = cost(stage, &connect, || clients.means.address(), Outcome::Status(401))?;
        // The first round warms up.
        if round > 0 {
            for (costs, cost) in costs.iter_mut().zip([banned, refused, banned / refused]) {
                costs.push(cost);
            }
        }
    }
    let [banned, refused, ratio] = costs.map(median);
    println!("{name:12} {banned:8.1} {refused:8.1} {ratio:8.2}   medians of {ROUNDS} rounds");
    Ok(ratio)
}

/// CPU microseconds of the gateway for each connection of a round. All connections end as expected.
fn cost(
    stage: &Stage,
    connect: impl Fn(&[Ipv4Addr]) -> Result<Outcomes>,
    from: impl Fn() -> Ipv4Addr,
    wanted: Outcome,
) -> Result<f64> {
    let before = stage.gateway.process.cpu();
    for _ in 0..TIMES {
        let addresses: Vec<_> = std::iter::repeat_with(&from).take(WAITING).collect();
        let seen = connect(&addresses)?;
        if seen.get(&wanted) != Some(&WAITING) {
            return Err(format!("{seen:?} instead of {WAITING} times {wanted}").into());
        }
    }
    Ok((stage.gateway.process.cpu() - before).as_secs_f64() * 1e6 / (WAITING * TIMES) as f64)
}
