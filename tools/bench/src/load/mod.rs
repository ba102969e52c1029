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
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use crate::rig::{Failure, Result};
pub use app::{Apps, PATIENCE, Wire};
pub use clock::Ticker;
pub use connect::{Target, connect, connect_narrow};
pub use http1::Http1;
pub use http2::Http2;
pub use record::{Phase, Seen};
pub use request::{AUTHORITY, Request};
pub use same::Same;

/// The time between the requests of the load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The next request of a worker follows its last answer.
    Closed,
    /// Requests a second in total, evenly spaced.
    Open(f64),
}

/// What a load sends. Every worker owns one state, such as a connection.
pub trait Script {
    type Worker;

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
    pub fn start<S: Script + 'static>(
        workers: usize,
        pace: Pace,
        patience: Duration,
        script: impl FnOnce() -> Result<S> + Send + 'static,
    ) -> Result<Self> {
        let control = Arc::new(Control::default());
        let (ready, is_ready) = mpsc::channel();
        let here = control.clone();
        let thread = thread::Builder::new().name("load".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, async {
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

    /// Waits for this many answers.
    pub fn await_answers(&self, count: u64, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while self.answered() < count {
            if Instant::now() > deadline || self.thread.is_finished() {
                return Err(format!("{} of {count} requests were answered in time", self.answered()).into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Stops the load, waits for outstanding answers, and returns what the clients saw.
    pub fn finish(self) -> Result<Seen> {
        self.control.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::from("the load panicked"))?
    }
}

/// Requests that wait for a worker, and the answers so far.
struct Desk {
    control: Arc<Control>,
    next: Cell<u64>,
    done: Cell<u64>,
    /// Number and due time of the requests of an open loop.
    waiting: RefCell<VecDeque<(u64, Instant)>>,
    count: Semaphore,
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
            Pace::Closed if self.is_stopped() => None,
            Pace::Closed => Some((self.number(), Instant::now())),
            Pace::Open(_) => {
                self.count.acquire().await.ok()?.forget();
                self.waiting.borrow_mut().pop_front()
            }
        }
    }

    fn put(&self, due: Instant) {
        self.note(self.phase(), |phase| phase.lateness.push(due.elapsed()));
        self.waiting.borrow_mut().push_back((self.number(), due));
        self.count.add_permits(1);
    }

    fn note(&self, phase: usize, what: impl FnOnce(&mut Phase)) {
        let mut phases = self.phases.borrow_mut();
        if phases.len() <= phase {
            phases.resize_with(phase + 1, Phase::default);
        }
        what(&mut phases[phase]);
    }
}

async fn drive<S: Script + 'static>(
    script: Rc<S>,
    workers: Vec<S::Worker>,
    pace: Pace,
    patience: Duration,
    control: Arc<Control>,
) -> Result<Seen>
where
    S::Worker: 'static,
{
    let start = Instant::now();
    let count = workers.len();
    let desk = Rc::new(Desk {
        control,
        next: Cell::new(0),
        done: Cell::new(0),
        waiting: RefCell::default(),
        count: Semaphore::new(0),
        phases: RefCell::default(),
    });
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn_local(work(script.clone(), worker, pace, desk.clone()));
    }
    if let Pace::Open(rate) = pace {
        let mut ticker = Ticker::new(rate)?;
        while !desk.is_stopped() {
            desk.put(ticker.tick().await?);
        }
        // One permit without a request for each worker: it ends after the last waiting request.
        desk.count.add_permits(count);
    } else {
        while !desk.is_stopped() {
            sleep(Duration::from_millis(2)).await;
        }
    }
    let all = async {
        while let Some(task) = tasks.join_next().await {
            task?;
        }
        Result::Ok(())
    };
    let is_done = timeout(patience, all).await.map_or(Ok(false), |done| done.map(|()| true))?;
    let asked = desk.next.get();
    let unanswered = if is_done { 0 } else { asked - desk.done.get() };
    Ok(Seen { phases: desk.phases.take(), elapsed: start.elapsed(), asked, unanswered })
}

async fn work<S: Script>(script: Rc<S>, mut worker: S::Worker, pace: Pace, desk: Rc<Desk>) {
    while let Some((number, due)) = desk.take(pace).await {
        let phase = desk.phase();
        let answer = script.ask(&mut worker, number).await;
        let took = due.elapsed();
        desk.done.set(desk.done.get() + 1);
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
