//! Hostile clients, by kind.

mod attack;
mod flood;
mod resets;
mod rounds;
mod shots;
mod slow;
mod tally;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::process::nice;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

use crate::rig::gateway::Gateway;
use crate::rig::{Failure, Result};
pub use attack::Addresses;
use attack::Attack;
pub use rounds::{Outcomes, Rounds};
pub use shots::Shot;
pub use slow::Manner;
pub use tally::{Outcome, Tally};

/// A kind of attack and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests a second with wrong signatures, from addresses that stop before they are banned.
    WrongSignatures(u32),
    /// HTTP/2 connections a second that each open and reset a thousand streams.
    RapidResets(u32),
    /// Attempts a second over new connections.
    Shots(Shot, u32),
    /// Connections that are held open.
    Held(Manner, u32),
}

impl Kind {
    /// The number of connections to the public listener that it holds open.
    pub fn held(self) -> u32 {
        match self {
            Self::Held(manner, count) if manner != Manner::SilentAdmin => count,
            _ => 0,
        }
    }
}

/// All attackers, on a thread with a low priority.
pub struct Hostile {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Hostile {
    /// Starts the attackers. Outcomes are counted in `tally`.
    pub fn start(
        gateway: &Gateway,
        kinds: &[Kind],
        addresses: &Addresses,
        tally: Arc<Tally>,
    ) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (kinds, addresses) = (kinds.to_vec(), addresses.clone());
        let (public, admin): (SocketAddr, SocketAddr) = (gateway.address, gateway.admin);
        let thread = thread::Builder::new().name("hostile".into()).spawn(move || {
            nice(15)?;
            let attack = Rc::new(Attack::new(public, admin, addresses, tally));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            // Attacks in progress end with the runtime.
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

    /// Stops all attackers and closes their connections.
    pub fn stop(self) -> Result<()> {
        let _ = self.stop.send(());
        self.thread.join().map_err(|_| Failure::from("the hostile clients panicked"))?
    }
}

fn begin(attack: &Rc<Attack>, kind: Kind) {
    let attack = attack.clone();
    match kind {
        Kind::WrongSignatures(rate) => drop(spawn_local(flood::wrong_signatures(attack, rate))),
        Kind::RapidResets(rate) => drop(spawn_local(resets::rapid_resets(attack, rate))),
        Kind::Shots(shot, rate) => drop(spawn_local(shots::fire(attack, shot, rate))),
        Kind::Held(manner, count) => slow::hold(attack, manner, count),
    }
}
