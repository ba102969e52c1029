//! Hostile clients, by kind. They are a [`Load`] of their own, on threads with a low priority.

mod attempt;
mod kind;
mod resets;
mod tally;

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
pub use attempt::ask;
pub use kind::Kind;
pub use tally::{Outcome, Tally};

/// Failures from one address: a ban takes 120 within a minute.
const BELOW_A_BAN: usize = 100;

/// The time over which connections that are held begin, so that they do not all send in one instant.
const RAMP: Duration = Duration::from_secs(5);

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

    /// Starts the attackers. Outcomes are counted in `tally`. They stop with [`Load::finish`].
    pub fn start(self, means: &Arc<Means>, tally: &Arc<Tally>) -> Result<Load> {
        let (means, tally) = (means.clone(), tally.clone());
        Load::start(self.attackers as usize, Pace::Closed, Duration::ZERO, move || {
            nice(15)?;
            Ok(Attackers { attack: self, means, tally })
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
}

struct Attackers {
    attack: Attack,
    means: Arc<Means>,
    tally: Arc<Tally>,
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
        let (name, outcome) = match self.attack.kind {
            Kind::WrongSignatures => ("wrong signatures", self.flood(&mut attacker.kept).await),
            kind => {
                let attempt = kind.attempt(&self.means, number as usize);
                (attempt.name, attempt.run().await)
            }
        };
        self.tally.count(name, outcome);
        Ok(())
    }
}

impl Attackers {
    /// A request over a kept connection, which is read, verified and refused.
    async fn flood(&self, kept: &mut Option<(Http1, usize)>) -> Outcome {
        let (mut client, left) = match kept.take() {
            Some(kept) => kept,
            None => match connect(self.means.address(), self.means.gateway).await {
                Ok(stream) => (Http1::over(Box::new(stream)), BELOW_A_BAN),
                Err(error) => return Outcome::of(&error),
            },
        };
        let outcome = ask(&mut client, &self.means.refused("signature").to_bytes()).await;
        if left > 1 && matches!(outcome, Outcome::Status(_)) {
            *kept = Some((client, left - 1));
        }
        outcome
    }
}
