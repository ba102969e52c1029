//! CPU time of a connection from a banned address, next to the same connection with a refused request.
//!
//! Connections arrive while the gateway is stopped, and it then works through them, as in a flood that
//! it cannot keep up with. A connection that arrives while the gateway is idle costs both kinds some ten
//! microseconds more, for waking up; that figure is printed too.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::hostile::{Means, PATIENCE, outcome};
use super::stage::Stage;
use crate::load::{Http1, Target};
use crate::rig::figures::median;
use crate::rig::{Result, Verdict, runtime};

/// Connections of a flood that wait at once: fewer than the backlog of a listener.
const WAITING: usize = 500;

const CONNECTIONS: usize = 8 * WAITING;

const ROUNDS: usize = 9;

const A_BAN: usize = 120;

const BANNED: Ipv4Addr = Ipv4Addr::new(127, 3, 0, 1);

struct Clients {
    means: Means,
    stage: Stage,
}

impl Clients {
    async fn open(&self, from: Ipv4Addr) -> io::Result<Http1> {
        let mut client = Http1::open(&Target::plain(self.means.gateway, from)).await?;
        client.stream.write_all(&self.means.refused("round").to_bytes()).await?;
        Ok(client)
    }

    /// Makes connections, and expects how each ends. Several arrive while the gateway is stopped.
    async fn connect(&self, count: usize, is_banned: bool) -> Result<()> {
        let signal = |signal| if count > 1 { self.stage.gateway.process.signal(signal) } else { Ok(()) };
        let mut waiting = Vec::new();
        signal(Signal::STOP)?;
        for _ in 0..count {
            waiting.push(self.open(if is_banned { BANNED } else { self.means.address() }).await);
        }
        signal(Signal::CONT)?;
        let wanted = if is_banned { "reset" } else { "401" };
        for client in waiting {
            let seen = end(client).await;
            if seen != wanted {
                return Err(format!("a connection ended with {seen:?} instead of {wanted:?}").into());
            }
        }
        Ok(())
    }

    /// CPU microseconds of the gateway for each connection of a round.
    async fn cost(&self, at_once: usize, is_banned: bool) -> Result<f64> {
        let before = self.stage.gateway.process.cpu();
        for _ in 0..CONNECTIONS / at_once {
            self.connect(at_once, is_banned).await?;
        }
        let cost = self.stage.gateway.process.cpu() - before;
        Ok(cost.as_secs_f64() * 1e6 / CONNECTIONS as f64)
    }

    /// Both kinds in turns; returns the median of the ratios.
    async fn compare(&self, name: &str, at_once: usize) -> Result<f64> {
        let mut rounds = Vec::new();
        for round in 0..=ROUNDS {
            let costs = [self.cost(at_once, true).await?, self.cost(at_once, false).await?];
            // The first round warms up.
            if round > 0 {
                rounds.push(costs);
            }
        }
        let [banned, refused] = [0, 1].map(|kind| median(rounds.iter().map(|costs| costs[kind])));
        let ratio = median(rounds.iter().map(|[banned, refused]| banned / refused));
        println!("{name:12} {banned:8.1} {refused:8.1} {ratio:8.2}   medians of {ROUNDS} rounds");
        Ok(ratio)
    }

    /// Bans the address, and compares. Returns the ratio in a flood.
    async fn run(&self) -> Result<f64> {
        for _ in 0..A_BAN {
            end(self.open(BANNED).await).await;
        }
        println!("CPU microseconds of a connection: banned address, refused request, ratio");
        let flood = self.compare("in a flood", WAITING).await?;
        self.compare("one by one", 1).await?;
        Ok(flood)
    }
}

/// The status of the answer, or what became of the connection. Its end can be seen before the request is sent.
async fn end(client: io::Result<Http1>) -> String {
    let answered = async { Ok(timeout(PATIENCE, client?.ask(b"")).await??.status) };
    answered.await.map_or_else(|error| outcome(&error), |status| status.to_string())
}

pub fn run(gateway: &Path) -> Result<()> {
    // The default ban of a minute would end within the run.
    let stage = Stage::set(gateway, |config| {
        config["limits"]["offenders"] = serde_json::json!({ "ban": "1h" });
    })?;
    let clients = Clients { means: Means::against(&stage.gateway), stage };
    let flood = runtime()?.block_on(clients.run())?;
    println!();
    let mut verdict = Verdict::default();
    clients.stage.expect_peace(&mut verdict);
    let what = format!("in a flood, a ban costs {flood:.2} of a refused request, at most 0.5");
    verdict.expect(flood <= 0.5, what);
    verdict.judge()
}
