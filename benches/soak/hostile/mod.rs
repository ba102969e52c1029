//! Hostile clients, by kind.

mod attack;
mod broken;
mod flood;
mod rounds;
mod slow;
mod tally;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::process::nice;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

use super::{Failure, Result};
use attack::Attack;
pub use attack::new_address;
pub use rounds::{Outcomes, Rounds};
pub use tally::{Outcome, Tally};

/// One kind of attack, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests a second with wrongly signed tokens, from addresses that stop before they are banned.
    WrongSignatures(u32),
    /// Requests a second with good tokens, each of a device and an address that nobody has seen before.
    NewKeys(u32),
    /// Requests a second with wrongly signed tokens, from four addresses that do not stop.
    Offenders(u32),
    /// Connections that send a byte of a header each second.
    SlowHeads(u32),
    /// Connections that send a byte of a body each second, with a good token.
    SlowBodies(u32),
    /// Connections that ask for a large answer, with a good token, and take next to nothing of it.
    SlowReaders(u32),
    /// Connections that say nothing.
    Silence(u32),
    /// HTTP/2 connections a second that each open a thousand streams and reset them.
    RapidResets(u32),
    /// Requests a second that are too large in some way.
    Oversize(u32),
    /// Connections a second that speak no HTTP.
    Garbage(u32),
}

impl Kind {
    /// How many connections it holds open.
    pub fn held(self) -> u32 {
        match self {
            Self::SlowHeads(count)
            | Self::SlowBodies(count)
            | Self::SlowReaders(count)
            | Self::Silence(count) => count,
            _ => 0,
        }
    }
}

/// All attackers, on a thread of their own that honest clients go before.
pub struct Hostile {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Hostile {
    /// Lets them loose; what becomes of them is counted in `tally`.
    pub fn start(gateway: SocketAddr, kinds: &[Kind], tally: Arc<Tally>) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let kinds = kinds.to_vec();
        let thread = thread::Builder::new().name("hostile".into()).spawn(move || {
            nice(15)?;
            let attack = Rc::new(Attack::new(gateway, tally)?);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            // What is under way when they are stopped ends with it.
            LocalSet::new().block_on(&runtime, async {
                for kind in kinds {
                    begin(&attack, kind);
                }
                let _ = stopped.await;
            });
            Ok(())
        })?;
        Ok(Self { stop, thread })
    }

    /// Stops them all and closes their connections.
    pub fn stop(self) -> Result<()> {
        let _ = self.stop.send(());
        self.thread.join().map_err(|_| Failure::from("the hostile clients panicked"))?
    }
}

fn begin(attack: &Rc<Attack>, kind: Kind) {
    let attack = attack.clone();
    match kind {
        Kind::WrongSignatures(rate) => drop(spawn_local(flood::wrong_signatures(attack, rate))),
        Kind::NewKeys(rate) => drop(spawn_local(flood::new_keys(attack, rate))),
        Kind::Offenders(rate) => drop(spawn_local(flood::offenders(attack, rate))),
        Kind::SlowHeads(count) => slow::hold(attack, slow::Manner::Head, count),
        Kind::SlowBodies(count) => slow::hold(attack, slow::Manner::Body, count),
        Kind::SlowReaders(count) => slow::hold(attack, slow::Manner::Reader, count),
        Kind::Silence(count) => slow::hold(attack, slow::Manner::Silent, count),
        Kind::RapidResets(rate) => drop(spawn_local(broken::rapid_resets(attack, rate))),
        Kind::Oversize(rate) => drop(spawn_local(broken::oversize(attack, rate))),
        Kind::Garbage(rate) => drop(spawn_local(broken::garbage(attack, rate))),
    }
}
