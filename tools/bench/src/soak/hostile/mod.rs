//! Hostile clients, by kind.

mod attack;
mod broken;
mod flood;
mod origins;
mod resets;
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

use crate::rig::gateway::Gateway;
use crate::rig::{Failure, Result};
pub use attack::Addresses;
use attack::Attack;
pub use rounds::{Outcomes, Rounds};
pub use tally::{Outcome, Tally};

/// A kind of attack and its size: connections that are held, or attempts a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests a second with wrongly signed tokens, from addresses that stop before they are banned.
    WrongSignatures(u32),
    /// Requests a second with valid tokens, each of a new device at a new address.
    NewKeys(u32),
    /// Requests a second with wrongly signed tokens, from four addresses that do not stop.
    Offenders(u32),
    /// Connections that send one byte of a header a second.
    SlowHeads(u32),
    /// Connections that send one byte of a body a second, with a valid token.
    SlowBodies(u32),
    /// Connections that ask for a large answer with a valid token and read almost nothing.
    SlowReaders(u32),
    /// Connections that send nothing.
    Silence(u32),
    /// Connections to the admin listener that send nothing.
    SilentAdmin(u32),
    /// Requests a second to the admin listener, for metrics and for paths that do not exist.
    AdminRequests(u32),
    /// HTTP/2 connections a second that each open and reset a thousand streams.
    RapidResets(u32),
    /// Requests a second that are too large in some way.
    Oversize(u32),
    /// Connections a second that do not speak HTTP.
    Garbage(u32),
    /// Requests a second that a hostile origin answers.
    HostileOrigins(u32),
}

impl Kind {
    /// The number of connections to the public listener that it holds open.
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
        Kind::NewKeys(rate) => drop(spawn_local(flood::new_keys(attack, rate))),
        Kind::Offenders(rate) => drop(spawn_local(flood::offenders(attack, rate))),
        Kind::AdminRequests(rate) => drop(spawn_local(flood::admin(attack, rate))),
        Kind::SlowHeads(count) => slow::hold(attack, slow::Manner::Head, count),
        Kind::SlowBodies(count) => slow::hold(attack, slow::Manner::Body, count),
        Kind::SlowReaders(count) => slow::hold(attack, slow::Manner::Reader, count),
        Kind::Silence(count) => slow::hold(attack, slow::Manner::Silent, count),
        Kind::SilentAdmin(count) => slow::hold(attack, slow::Manner::SilentAdmin, count),
        Kind::RapidResets(rate) => drop(spawn_local(resets::rapid_resets(attack, rate))),
        Kind::Oversize(rate) => drop(spawn_local(broken::oversize(attack, rate))),
        Kind::Garbage(rate) => drop(spawn_local(broken::garbage(attack, rate))),
        Kind::HostileOrigins(rate) => drop(spawn_local(origins::ask_all(attack, rate))),
    }
}
