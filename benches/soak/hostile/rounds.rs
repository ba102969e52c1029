//! Rounds of requests as fast as they are answered, to be weighed by what they cost the gateway.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::task::{LocalSet, spawn_local};

use super::super::{Result, sockets};
use super::attack::{Attack, ask};
use super::tally::Outcome;

/// So many are under way at once.
const AT_ONCE: usize = 32;

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

    /// Connections with one wrongly signed request each.
    pub fn connections(&self, count: usize, from: impl Fn(usize) -> Ipv4Addr + 'static) -> Result<Outcomes> {
        let from = Rc::new(from);
        self.at_once(count, move |attack, next, outcomes| {
            let from = from.clone();
            async move {
                let request = attack.refused("round", "");
                while let Some(number) = next.take() {
                    let outcome = match sockets::connect(from(number), attack.gateway).await {
                        Ok(mut stream) => ask(&mut stream, &request).await,
                        Err(error) => Outcome::of(&error),
                    };
                    *outcomes.borrow_mut().entry(outcome).or_default() += 1;
                }
            }
        })
    }

    /// Requests over connections of a proxy that says for whom each is.
    pub fn proxied(&self, count: usize, client: impl Fn(usize) -> Ipv4Addr + 'static) -> Result<Outcomes> {
        let client = Rc::new(client);
        self.at_once(count, move |attack, next, outcomes| {
            let client = client.clone();
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
        })
    }

    fn at_once<F>(
        &self,
        count: usize,
        one: impl Fn(Rc<Attack>, Rc<Next>, Rc<RefCell<Outcomes>>) -> F,
    ) -> Result<Outcomes>
    where
        F: Future<Output = ()> + 'static,
    {
        let (next, outcomes) = (Rc::new(Next { next: Cell::new(0), end: count }), Rc::default());
        LocalSet::new().block_on(&self.runtime, async {
            let tasks: Vec<_> = (0..AT_ONCE)
                .map(|_| spawn_local(one(self.attack.clone(), next.clone(), Rc::clone(&outcomes))))
                .collect();
            for task in tasks {
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
