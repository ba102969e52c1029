//! Rounds of requests as fast as they are answered, to be weighed by what they cost the gateway.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, spawn_local};

use super::super::gateway::Gateway;
use super::super::{Result, sockets};
use super::attack::{Attack, ask};
use super::tally::Outcome;

/// Connections of the proxy.
const PROXIED: usize = 32;

/// Requests on a connection, of the thousand that one may have.
const KEPT: usize = 900;

/// How often what happened.
pub type Outcomes = BTreeMap<Outcome, usize>;

pub struct Rounds {
    runtime: Runtime,
    attack: Rc<Attack>,
}

impl Rounds {
    pub fn new(gateway: SocketAddr) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, attack: Rc::new(Attack::new(gateway, Arc::default())?) })
    }

    /// Connections with one wrongly signed request each, which wait for the gateway all at once while
    /// it is stopped, as they do when it has more to do than it can.
    pub fn at_once(&self, gateway: &Gateway, from: &[Ipv4Addr]) -> Result<Outcomes> {
        let request = self.attack.refused("round", "");
        let mut waiting = gateway.paused(|| {
            self.runtime.block_on(async {
                let mut waiting = Vec::new();
                for from in from {
                    let mut stream = sockets::connect(*from, self.attack.gateway).await?;
                    stream.write_all(&request).await?;
                    waiting.push(stream);
                }
                Ok(waiting)
            })
        })?;
        let mut outcomes = Outcomes::new();
        for mut stream in waiting.drain(..) {
            *outcomes.entry(self.runtime.block_on(ask(&mut stream, b""))).or_default() += 1;
        }
        Ok(outcomes)
    }

    /// The same connections, each when the one before is done with.
    pub fn one_by_one(&self, from: &[Ipv4Addr]) -> Result<Outcomes> {
        let request = self.attack.refused("round", "");
        let mut outcomes = Outcomes::new();
        for from in from {
            let outcome = self.runtime.block_on(async {
                match sockets::connect(*from, self.attack.gateway).await {
                    Ok(mut stream) => ask(&mut stream, &request).await,
                    Err(error) => Outcome::of(&error),
                }
            });
            *outcomes.entry(outcome).or_default() += 1;
        }
        Ok(outcomes)
    }

    /// Requests over connections of a proxy that says for whom each is.
    pub fn proxied(&self, count: usize, client: impl Fn(usize) -> Ipv4Addr + 'static) -> Result<Outcomes> {
        let (client, outcomes) = (Rc::new(client), Rc::new(RefCell::new(Outcomes::new())));
        let next = Rc::new(Next { next: Cell::new(0), end: count });
        let one = || {
            let (client, next, attack) = (client.clone(), next.clone(), self.attack.clone());
            let outcomes = outcomes.clone();
            async move {
                let mut left = 0;
                let mut kept = None;
                while let Some(number) = next.take() {
                    if left == 0 {
                        kept = sockets::connect(Ipv4Addr::LOCALHOST, attack.gateway).await.ok();
                        left = KEPT;
                    }
                    let request = attack.refused("key", &format!("X-Forwarded-For: {}\r\n", client(number)));
                    let outcome = match &mut kept {
                        Some(stream) => ask(stream, &request).await,
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

/// Numbers, each taken once.
struct Next {
    next: Cell<usize>,
    end: usize,
}

impl Next {
    fn take(&self) -> Option<usize> {
        let number = self.next.get();
        self.next.set(number + 1);
        (number < self.end).then_some(number)
    }
}
