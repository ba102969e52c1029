//! CPU time of a connection from a banned address, next to the same connection with a refused request.
//!
//! Connections arrive while the gateway is stopped, and it then works through them, as in a flood that
//! it cannot keep up with. A connection that arrives while the gateway is idle costs both kinds some ten
//! microseconds more, for waking up; that figure is printed too.

use std::net::Ipv4Addr;
use std::path::Path;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;

use super::hostile::{Means, ask, outcome};
use super::report::Verdict;
use super::stage::Stage;
use crate::load::{Http1, connect};
use crate::rig::Result;
use crate::rig::figures::median;

/// Connections that wait at once: fewer than the backlog of a listener.
const WAITING: usize = 500;

/// Repetitions in a round.
const TIMES: usize = 8;

const ROUNDS: usize = 9;

/// The failures that lead to a ban.
const A_BAN: usize = 120;

const BANNED: Ipv4Addr = Ipv4Addr::new(127, 3, 0, 1);

/// Clients that send one wrongly signed request over each connection.
struct Clients {
    runtime: Runtime,
    means: Means,
    stage: Stage,
}

impl Clients {
    async fn open(&self, from: Ipv4Addr) -> std::io::Result<Http1> {
        let mut stream = connect(from, self.means.gateway).await?;
        stream.write_all(&self.means.refused("round").to_bytes()).await?;
        Ok(Http1::over(Box::new(stream)))
    }

    /// Connections that end as `wanted`. In a flood all wait while the gateway is stopped; else they come one
    /// after the other.
    fn connect(&self, is_flood: bool, banned: bool) -> Result<()> {
        let wanted = if banned { Err("reset".to_owned()) } else { Ok(401) };
        let open = |_| {
            let from = if banned { BANNED } else { self.means.address() };
            self.runtime.block_on(self.open(from))
        };
        let judge = |client: std::io::Result<Http1>| {
            // The end of a connection can be seen before its request is sent.
            let seen = match client {
                Ok(mut client) => self.runtime.block_on(ask(&mut client, b"")),
                Err(error) => Err(outcome(&error)),
            };
            if seen == wanted { Ok(()) } else { Err(format!("{seen:?} instead of {wanted:?}").into()) }
        };
        if !is_flood {
            return (0..WAITING).map(open).try_for_each(judge);
        }
        let process = &self.stage.gateway.process;
        process.signal(Signal::STOP)?;
        let waiting: Vec<_> = (0..WAITING).map(open).collect();
        process.signal(Signal::CONT)?;
        waiting.into_iter().try_for_each(judge)
    }

    /// CPU microseconds of the gateway for each connection of a round.
    fn cost(&self, is_flood: bool, banned: bool) -> Result<f64> {
        let before = self.stage.gateway.process.cpu();
        (0..TIMES).try_for_each(|_| self.connect(is_flood, banned))?;
        let cost = self.stage.gateway.process.cpu() - before;
        Ok(cost.as_secs_f64() * 1e6 / (WAITING * TIMES) as f64)
    }

    /// Both kinds in turns; returns the median of the ratios.
    fn compare(&self, name: &str, is_flood: bool) -> Result<f64> {
        let mut costs = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..=ROUNDS {
            let [banned, refused] = [self.cost(is_flood, true)?, self.cost(is_flood, false)?];
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
}

pub fn run(gateway: &Path) -> Result<()> {
    // The default ban of a minute would end within the run.
    let stage = Stage::set(gateway, |config| {
        config["limits"]["offenders"] = serde_json::json!({ "ban": "1h" });
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clients = Clients { runtime, means: Means::against(&stage.gateway), stage };
    for _ in 0..A_BAN {
        let mut client = clients.runtime.block_on(clients.open(BANNED))?;
        let _ = clients.runtime.block_on(ask(&mut client, b""));
    }
    println!("CPU microseconds of a connection: banned address, refused request, ratio");
    let flood = clients.compare("in a flood", true)?;
    clients.compare("one by one", false)?;
    println!();
    let mut verdict = Verdict::default();
    clients.stage.expect_peace(&mut verdict);
    verdict.expect(
        flood <= 0.5,
        format!("in a flood, a ban costs {flood:.2} of a refused request, at most 0.5"),
    );
    verdict.judge()
}
