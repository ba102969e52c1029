//! Honest clients: apps that ask at a steady rate, whatever becomes of what they asked before.

mod client;
mod http2;
mod seen;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::task::{LocalSet, spawn_local};

use super::ticker::Ticker;
use super::{Failure, Result};
use client::Clients;
pub use seen::{Phase, Seen, percentile};

/// All honest clients, on a thread of their own.
pub struct Honest {
    control: Arc<Control>,
    thread: JoinHandle<Result<Seen>>,
}

#[derive(Default)]
struct Control {
    phase: AtomicUsize,
    stop: AtomicBool,
}

impl Honest {
    /// Starts them; what they see counts for the phase that is entered last.
    pub fn start(gateway: SocketAddr, rate: u32, phase: usize) -> Result<Self> {
        let control = Arc::new(Control { phase: AtomicUsize::new(phase), ..Control::default() });
        let here = control.clone();
        let thread = thread::Builder::new().name("honest".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, ask(gateway, rate, here))
        })?;
        Ok(Self { control, thread })
    }

    pub fn enter(&self, phase: usize) {
        self.control.phase.store(phase, Ordering::Relaxed);
    }

    /// Stops asking, waits for what is under way, and returns what they saw.
    pub fn finish(self) -> Result<Seen> {
        self.control.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::from("the honest clients panicked"))?
    }
}

async fn ask(gateway: SocketAddr, rate: u32, control: Arc<Control>) -> Result<Seen> {
    let clients = Rc::new(Clients::new(gateway)?);
    let ticker = Ticker::new(rate)?;
    let (mut asked, mut under_way) = (0, Vec::new());
    while !control.stop.load(Ordering::Relaxed) {
        for _ in 0..ticker.tick().await? {
            asked += 1;
            let due = ticker.start + Duration::from_secs(asked) / rate;
            let (clients, phase) = (clients.clone(), control.phase.load(Ordering::Relaxed));
            under_way.push(spawn_local(async move { clients.ask(asked, due, phase).await }));
        }
        if under_way.len() > 4096 {
            under_way.retain(|request| !request.is_finished());
        }
    }
    for request in under_way {
        request.await?;
    }
    Ok(clients.seen())
}
