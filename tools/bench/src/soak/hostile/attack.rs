//! The means of all attackers: tokens, addresses, connections and attempts at a rate.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::tally::{Outcome, Tally};
use crate::load::{Http1, Request, Ticker, connect};
use crate::origin::REFUSED;
use crate::rig::token::{Kind, token};

/// The time that an attacker waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Attempts of a kind at a time, so that the descriptors of this program suffice.
const AT_A_TIME: usize = 1000;

/// Addresses, each handed out once: four million that honest clients do not use.
#[derive(Clone, Debug, Default)]
pub struct Addresses(Arc<AtomicU32>);

impl Addresses {
    pub fn next(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(0x7f40_0001 + self.0.fetch_add(1, Ordering::Relaxed) % 0x3f_fff0)
    }
}

pub struct Attack {
    pub gateway: SocketAddr,
    pub admin: SocketAddr,
    /// The token of a genuine device, copied.
    pub valid: String,
    /// A token with a wrong signature.
    pub wrong: String,
    addresses: Addresses,
    tally: Arc<Tally>,
}

impl Attack {
    pub fn new(gateway: SocketAddr, admin: SocketAddr, addresses: Addresses, tally: Arc<Tally>) -> Self {
        let [valid, wrong] = [Kind::Valid, Kind::Invalid].map(|kind| token(kind, 1 << 32));
        Self { gateway, admin, valid, wrong, addresses, tally }
    }

    pub fn count(&self, kind: &'static str, outcome: Outcome) {
        self.tally.count(kind, outcome);
    }

    /// An address that was not used before.
    pub fn address(&self) -> Ipv4Addr {
        self.addresses.next()
    }

    /// A connection from a new address.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        connect(self.address(), self.gateway).await
    }

    /// A request that has to be refused.
    pub fn refused(&self, kind: &str) -> Request {
        Request::get(format!("{REFUSED}{kind}")).with("Approov-Token", &self.wrong)
    }
}

/// Sends a request and waits for the answer.
pub async fn ask(client: &mut Http1, request: &[u8]) -> Outcome {
    match timeout(PATIENCE, client.ask(request)).await {
        Ok(Ok(answer)) => Outcome::Status(answer.status()),
        Ok(Err(error)) => Outcome::of(&error),
        Err(_) => Outcome::Ignored,
    }
}

/// Starts `attempt` so often a second.
pub async fn at_rate<F>(rate: u32, mut attempt: impl FnMut(usize) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let Ok(ticker) = Ticker::new(rate.into()) else { return };
    let (mut number, in_progress) = (0, Rc::new(Cell::new(0)));
    while let Ok(ticks) = ticker.tick().await {
        for _ in 0..ticks {
            if in_progress.get() >= AT_A_TIME {
                continue;
            }
            in_progress.set(in_progress.get() + 1);
            let (attempt, in_progress) = (attempt(number), in_progress.clone());
            spawn_local(async move {
                attempt.await;
                in_progress.set(in_progress.get() - 1);
            });
            number += 1;
        }
    }
}
