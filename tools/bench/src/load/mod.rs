//! The load engine: workers that ask one request after another, in closed or in open loop.
//!
//! In closed loop a worker sends its next request when the answer to the last one has arrived. In open
//! loop requests are due by the clock, and a latency counts from the time when its request was due, so
//! that a stalled server cannot hide its stall from the figures.

mod app;
mod clock;
mod connect;
mod http1;
mod http2;
mod record;
mod request;
mod same;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use crate::rig::{Failure, Result, poll, runtime};
pub use app::{Apps, PATIENCE, Wire};
pub use clock::Ticker;
pub use connect::Target;
pub use http1::{Http1, Kept, status};
pub use http2::Http2;
pub use record::{Phase, Seen};
pub use request::{AUTHORITY, Request};
pub use same::Same;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The next request of a worker follows its last answer.
    Closed,
    /// Requests a second in total, evenly spaced.
    Open(f64),
}

/// What a load sends. Every worker owns one state, such as a connection.
pub trait Script: 'static {
    type Worker: 'static;

    /// Prepares the worker with this number before the load begins.
    async fn worker(&self, number: usize) -> Result<Self::Worker>;

    /// Sends a request, and returns an error in words if the answer is not the expected one.
    async fn ask(&self, worker: &mut Self::Worker, number: u64) -> std::result::Result<(), String>;
}

/// A load that runs on a thread of its own.
pub struct Load {
    control: Arc<Control>,
    thread: JoinHandle<Result<Seen>>,
}

#[derive(Default)]
struct Control {
    phase: AtomicUsize,
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Load {
    /// Prepares the workers and starts the load. After the stop, outstanding requests may take
    /// `patience`.
    pub fn start<S: Script>(
        workers: usize,
        pace: Pace,
        patience: Duration,
        script: impl FnOnce() -> Result<S> + Send + 'static,
    ) -> Result<Self> {
        let control = Arc::new(Control::default());
        let (ready, is_ready) = mpsc::channel();
        let here = control.clone();
        let thread = thread::Builder::new().name("load".into()).spawn(move || {
            LocalSet::new().block_on(&runtime()?, async {
                let script = Rc::new(script()?);
                let mut prepared = Vec::new();
                for number in 0..workers {
                    prepared.push(script.worker(number).await?);
                }
                let _ = ready.send(());
                drive(script, prepared, pace, patience, here).await
            })
        })?;
        let load = Self { control, thread };
        match is_ready.recv() {
            Ok(()) => Ok(load),
            Err(_) => Err(load.finish().err().unwrap_or_else(|| "the load ended early".into())),
        }
    }

    /// Counts requests that are sent from now on for this phase.
    pub fn enter(&self, phase: usize) {
        self.control.phase.store(phase, Ordering::Relaxed);
    }

    /// The number of requests that got the expected answer so far.
    pub fn answered(&self) -> u64 {
        self.control.answered.load(Ordering::Relaxed)
    }

    pub fn await_answers(&self, count: u64, patience: Duration) -> Result<()> {
        let is_done = || Ok((self.answered() >= count || self.thread.is_finished()).then_some(()));
        poll(Duration::from_millis(1), patience, is_done)?;
        match self.answered() {
            answered if answered >= count => Ok(()),
            answered => Err(format!("{answered} of {count} requests were answered in time").into()),
        }
    }

    /// Stops the load, waits for outstanding answers, and returns what the clients saw.
    pub fn finish(self) -> Result<Seen> {
        self.control.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::from("the load panicked"))?
    }
}

struct Desk {
    control: Arc<Control>,
    next: Cell<u64>,
    /// Number and due time of the requests of an open loop that wait for a worker.
    waiting: Mutex<UnboundedReceiver<(u64, Instant)>>,
    phases: RefCell<Vec<Phase>>,
}

impl Desk {
    fn number(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    fn phase(&self) -> usize {
        self.control.phase.load(Ordering::Relaxed)
    }

    fn is_stopped(&self) -> bool {
        self.control.stop.load(Ordering::Relaxed)
    }

    /// The next request and the time when it is due; `None` after the stop.
    async fn take(&self, pace: Pace) -> Option<(u64, Instant)> {
        match pace {
            Pace::Closed => (!self.is_stopped()).then(|| (self.number(), Instant::now())),
            Pace::Open(_) => self.waiting.lock().await.recv().await,
        }
    }

    fn note(&self, phase: usize, what: impl FnOnce(&mut Phase)) {
        let mut phases = self.phases.borrow_mut();
        if phases.len() <= phase {
            phases.resize_with(phase + 1, Phase::default);
        }
        what(&mut phases[phase]);
    }
}

async fn drive<S: Script>(
    script: Rc<S>,
    workers: Vec<S::Worker>,
    pace: Pace,
    patience: Duration,
    control: Arc<Control>,
) -> Result<Seen> {
    let start = Instant::now();
    let (queue, waiting) = unbounded_channel();
    let (next, waiting, phases) = (Cell::new(0), Mutex::new(waiting), RefCell::default());
    let desk = Rc::new(Desk { control, next, waiting, phases });
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn_local(work(script.clone(), worker, pace, desk.clone()));
    }
    if let Pace::Open(rate) = pace {
        let mut ticker = Ticker::new(rate)?;
        while !desk.is_stopped() {
            let due = ticker.tick().await?;
            desk.note(desk.phase(), |phase| phase.lateness.push(due.elapsed()));
            queue.send((desk.number(), due))?;
        }
    }
    // A worker of an open loop ends after the last waiting request.
    drop(queue);
    while !desk.is_stopped() {
        sleep(Duration::from_millis(2)).await;
    }
    let all = async {
        while let Some(task) = tasks.join_next().await {
            task?;
        }
        Result::Ok(())
    };
    // What is not answered in time counts as unanswered.
    timeout(patience, all).await.unwrap_or(Ok(()))?;
    let (asked, answered) = (desk.next.get(), desk.control.answered.load(Ordering::Relaxed));
    let phases = desk.phases.take();
    let unanswered = asked - answered - phases.iter().map(Phase::lost).sum::<u64>();
    Ok(Seen { phases, elapsed: start.elapsed(), asked, unanswered })
}

async fn work<S: Script>(script: Rc<S>, mut worker: S::Worker, pace: Pace, desk: Rc<Desk>) {
    while let Some((number, due)) = desk.take(pace).await {
        let phase = desk.phase();
        let answer = script.ask(&mut worker, number).await;
        let took = due.elapsed();
        match answer {
            Ok(()) => {
                desk.control.answered.fetch_add(1, Ordering::Relaxed);
                // In closed loop a request that spans two phases belongs to neither.
                if phase == desk.phase() || matches!(pace, Pace::Open(_)) {
                    desk.note(phase, |phase| phase.latencies.push(took));
                }
            }
            Err(error) => {
                desk.note(phase, |phase| *phase.failures.entry(error).or_default() += 1);
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
}
