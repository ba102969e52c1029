//! Rounds of requests whose CPU cost is measured.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, spawn_local};

use super::attack::{Addresses, Attack, ask};
use super::tally::Outcome;
use crate::load::{Http1, connect};
use crate::rig::Result;
use crate::rig::gateway::Gateway;

/// Connections of the proxy.
const PROXIED: usize = 32;

/// Requests on a connection; the gateway allows a thousand.
const KEPT: usize = 900;

/// The number of attempts by outcome.
pub type Outcomes = BTreeMap<Outcome, usize>;

pub struct Rounds {
    runtime: Runtime,
    attack: Rc<Attack>,
}

impl Rounds {
    pub fn new(gateway: &Gateway) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let attack = Attack::new(gateway.address, gateway.admin, Addresses::default(), Arc::default());
        Ok(Self { runtime, attack: Rc::new(attack) })
    }

    /// An address that was not used before.
    pub fn address(&self) -> Ipv4Addr {
        self.attack.address()
    }

    /// Connections with one wrongly signed request each. All of them wait while the gateway is stopped,
    /// as they do if it is overloaded.
    pub fn in_a_flood(&self, gateway: &Gateway, from: &[Ipv4Addr]) -> Result<Outcomes> {
        let request = self.attack.refused("round").to_bytes();
        gateway.process.signal(Signal::STOP)?;
        let waiting = self.runtime.block_on(async {
            let mut waiting = Vec::new();
            for from in from {
                let mut stream = connect(*from, self.attack.gateway).await?;
                stream.write_all(&request).await?;
                waiting.push(Http1::over(Box::new(stream)));
            }
            Result::Ok(waiting)
        });
        gateway.process.signal(Signal::CONT)?;
        let mut outcomes = Outcomes::new();
        for mut client in waiting? {
            *outcomes.entry(self.runtime.block_on(ask(&mut client, b""))).or_default() += 1;
        }
        Ok(outcomes)
    }

    /// The same connections, one after the other.
    pub fn one_by_one(&self, from: &[Ipv4Addr]) -> Outcomes {
        let request = self.attack.refused("round").to_bytes();
        let mut outcomes = Outcomes::new();
        for from in from {
            let outcome = self.runtime.block_on(async {
                match connect(*from, self.attack.gateway).await {
                    Ok(stream) => ask(&mut Http1::over(Box::new(stream)), &request).await,
                    Err(error) => Outcome::of(&error),
                }
            });
            *outcomes.entry(outcome).or_default() += 1;
        }
        outcomes
    }

    /// Requests over the connections of a proxy that names the client of each.
    pub fn proxied(&self, count: usize, client: impl Fn(usize) -> Ipv4Addr + 'static) -> Result<Outcomes> {
        let (client, outcomes) = (Rc::new(client), Rc::new(RefCell::new(Outcomes::new())));
        let next = Rc::new(Cell::new(0));
        let one = || {
            let (client, next, attack) = (client.clone(), next.clone(), self.attack.clone());
            let outcomes = outcomes.clone();
            async move {
                let (mut left, mut kept) = (0, None);
                while next.get() < count {
                    let number = next.replace(next.get() + 1);
                    if left == 0 {
                        let stream = connect(Ipv4Addr::LOCALHOST, attack.gateway).await;
                        (left, kept) = (KEPT, stream.ok().map(|stream| Http1::over(Box::new(stream))));
                    }
                    let request = attack.refused("key").with("X-Forwarded-For", client(number).to_string());
                    let outcome = match &mut kept {
                        Some(stream) => ask(stream, &request.to_bytes()).await,
                        None => Outcome::NotTried,
                    };
                    left = if matches!(outcome, Outcome::Status(_)) { left - 1 } else { 0 };
                    *outcomes.borrow_mut().entry(outcome).or_default() += 1;
                }
            }
        };
        LocalSet::new().block_on(&self.runtime, async {
            for task in (0..PROXIED).map(|_| spawn_local(one())).collect::<Vec<_>>() {
                task.await?;
            }
            Ok(outcomes.take())
        })
    }
}
