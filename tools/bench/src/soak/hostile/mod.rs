//! Hostile clients, by kind. They are a [`Load`] of their own, on threads with a low priority. The outcome of
//! each attempt is in words, as what the load did not expect.

mod attempt;
mod kind;
mod resets;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::nice;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::load::{Http1, Load, Pace, Request, Script, connect};
use crate::origin::REFUSED;
use crate::rig::Result;
use crate::rig::gateway::Gateway;
use crate::rig::token::{self, token};
pub use attempt::{POISONED, UNREADABLE, ask, outcome};
pub use kind::Kind;

/// Failures from one address: a ban takes 120 within a minute.
const BELOW_A_BAN: usize = 100;

/// The time over which connections that are held begin, so that they do not all send in one instant.
const RAMP: Duration = Duration::from_secs(5);

/// How often each outcome was seen: the kind of attack, a colon, and what became of it.
pub type Tally = BTreeMap<String, u64>;

/// A kind of attack and its size.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    pub kind: Kind,
    /// The number of attackers, each with one connection at a time.
    attackers: u32,
    /// The least time between two attempts of one attacker. Attempts that are late are left out, because
    /// a burst of them would be another attack.
    every: Duration,
    /// The number of connections to the public listener that are held open.
    pub held: u32,
}

impl Attack {
    /// This many attempts a second.
    pub fn at_rate(kind: Kind, rate: u32) -> Self {
        let attackers = rate.div_ceil(4).clamp(8, 64);
        Self { kind, attackers, every: Duration::from_secs(attackers.into()) / rate, held: 0 }
    }

    /// This many connections that are held open. One that ends is replaced; a few more than wanted fill
    /// the gaps.
    pub fn held(kind: Kind, count: u32) -> Self {
        let held = if kind == Kind::SilentAdmin { 0 } else { count };
        Self { kind, attackers: count + count / 50, every: Duration::from_secs(1), held }
    }

    /// Starts the attackers. They stop with [`Load::finish`].
    pub fn start(self, means: &Arc<Means>) -> Result<Load> {
        let means = means.clone();
        Load::start(self.attackers as usize, Pace::Closed, Duration::ZERO, move || {
            nice(15)?;
            Ok(Attackers { attack: self, means })
        })
    }
}

/// The means of all attackers.
pub struct Means {
    pub gateway: SocketAddr,
    pub admin: SocketAddr,
    /// The token of a genuine device, copied.
    pub valid: String,
    /// A token with a wrong signature.
    pub wrong: String,
    addresses: AtomicU32,
}

impl Means {
    pub fn against(gateway: &Gateway) -> Self {
        let [valid, wrong] = [token::Kind::Valid, token::Kind::Invalid].map(|kind| token(kind, 1 << 32));
        Self { gateway: gateway.address, admin: gateway.admin, valid, wrong, addresses: AtomicU32::new(0) }
    }

    /// An address that was not used before: one of four million that honest clients do not use.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(0x7f40_0001 + self.addresses.fetch_add(1, Ordering::Relaxed) % 0x3f_fff0)
    }

    /// A request that has to be refused.
    pub fn refused(&self, kind: &str) -> Request {
        Request::get(format!("{REFUSED}{kind}")).with("Approov-Token", &self.wrong)
    }

    /// Sends a request over a connection that is kept for this many requests, and returns the outcome.
    pub async fn ask_kept(
        &self,
        kept: &mut Option<(Http1, usize)>,
        most: usize,
        from: Ipv4Addr,
        request: &Request,
    ) -> String {
        let (mut client, left) = match kept.take() {
            Some(kept) => kept,
            None => match connect(from, self.gateway).await {
                Ok(stream) => (Http1::over(Box::new(stream)), most),
                Err(error) => return outcome(&error),
            },
        };
        match ask(&mut client, &request.to_bytes()).await {
            Ok(status) => {
                *kept = (left > 1).then_some((client, left - 1));
                status.to_string()
            }
            Err(outcome) => outcome,
        }
    }
}

struct Attackers {
    attack: Attack,
    means: Arc<Means>,
}

struct Attacker {
    clock: Interval,
    /// A connection that is kept, and the requests left for it.
    kept: Option<(Http1, usize)>,
}

impl Script for Attackers {
    type Worker = Attacker;

    async fn worker(&self, number: usize) -> Result<Attacker> {
        let Attack { attackers, every, .. } = self.attack;
        let ramp = if every < RAMP && attackers > 64 { RAMP } else { every };
        let start = Instant::now() + ramp * number as u32 / attackers;
        let mut clock = interval_at(start, every);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Attacker { clock, kept: None })
    }

    async fn ask(&self, attacker: &mut Attacker, number: u64) -> std::result::Result<(), String> {
        attacker.clock.tick().await;
        let means = &self.means;
        let (name, outcome) = if self.attack.kind == Kind::WrongSignatures {
            // Read, verified and refused.
            let request = means.refused("signature");
            let kept = means.ask_kept(&mut attacker.kept, BELOW_A_BAN, means.address(), &request);
            ("wrong signatures", kept.await)
        } else {
            let attempt = self.attack.kind.attempt(means, number as usize);
            (attempt.name, attempt.run().await)
        };
        Err(format!("{name}: {outcome}"))
    }
}
