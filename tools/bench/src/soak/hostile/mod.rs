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

use crate::load::{Kept, Load, Pace, Request, Script};
use crate::origin::REFUSED;
use crate::rig::token::token;
use crate::rig::{Gateway, Result, token};
pub use attempt::{PATIENCE, POISONED, UNREADABLE, outcome};
pub use kind::Kind;

/// Failures from one address; 120 within a minute lead to a ban.
const BELOW_A_BAN: usize = 100;

/// The time over which connections that are held begin, so that they do not all send in one instant.
const RAMP: Duration = Duration::from_secs(5);

/// How often each outcome was seen: the kind of attack, a colon, and what became of it.
pub type Tally = BTreeMap<String, u64>;

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

    pub fn start(self, means: &Arc<Means>) -> Result<Load> {
        let means = means.clone();
        Load::start(self.attackers as usize, Pace::Closed, Duration::ZERO, move || {
            nice(15)?;
            Ok(Attackers { attack: self, means })
        })
    }
}

pub struct Means {
    pub gateway: SocketAddr,
    pub admin: SocketAddr,
    /// The token of a genuine device, copied.
    pub valid: String,
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

    pub fn refused(&self, kind: &str) -> Request {
        Request::get(format!("{REFUSED}{kind}")).with("Approov-Token", &self.wrong)
    }
}

struct Attackers {
    attack: Attack,
    means: Arc<Means>,
}

struct Attacker {
    clock: Interval,
    kept: Kept,
}

impl Script for Attackers {
    type Worker = Attacker;

    async fn worker(&self, number: usize) -> Result<Attacker> {
        let Attack { attackers, every, .. } = self.attack;
        let ramp = if every < RAMP && attackers > 64 { RAMP } else { every };
        let start = Instant::now() + ramp * number as u32 / attackers;
        let mut clock = interval_at(start, every);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Attacker { clock, kept: Kept::new(BELOW_A_BAN) })
    }

    async fn ask(&self, attacker: &mut Attacker, number: u64) -> std::result::Result<(), String> {
        attacker.clock.tick().await;
        let attempt = self.attack.kind.attempt(&self.means, number as usize);
        let name = attempt.name;
        Err(format!("{name}: {}", attempt.run(&mut attacker.kept).await))
    }
}
