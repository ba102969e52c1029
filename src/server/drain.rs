//! The end of a process: handing over, draining, leaving.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::signals::Signal;
use super::{Server, Worker, handover};

/// How often a draining process looks whether it is idle.
const POLL: Duration = Duration::from_millis(10);

/// How long a kept-alive connection without a request is left open at SIGTERM: its next request
/// may be on the way, and is answered with `Connection: close`.
const IDLE_AT_TERMINATION: Duration = Duration::from_millis(100);

/// The same after an upgrade, where nobody waits for the end: long enough for an app that thinks
/// between two requests, short enough for an operator who watches.
const IDLE_AT_UPGRADE: Duration = Duration::from_millis(2500);

/// What became of the sockets.
pub(super) enum Offer {
    /// A successor accepts connections on them.
    Taken,
    /// Nobody does; this process serves on.
    Refused,
    /// A signal to end came meanwhile.
    Interrupted(Signal),
}

impl Server {
    /// SIGQUIT: hands the listening sockets to the successor that waits for them.
    pub(super) fn offer_sockets(&mut self) -> Offer {
        let Some(path) = self.upgrade_sock.clone() else {
            log::warn!("SIGQUIT: server.upgrade_sock is not configured, nobody can take over; serving on");
            return Offer::Refused;
        };
        let sockets = self.sockets.clone();
        let shown = path.display().to_string();
        // On a thread that the end of the process need not wait for.
        let (answer, mut offer) = oneshot::channel();
        thread::spawn(move || answer.send(handover::offer(&path, &sockets.all())));
        let signals = &mut self.signals;
        let offer = self.runtime.block_on(async {
            loop {
                tokio::select! {
                    offered = &mut offer => return match offered {
                        Ok(Ok(())) => Offer::Taken,
                        Ok(Err(error)) => {
                            log::warn!("SIGQUIT: no successor took the sockets at {shown}: {error}; serving on");
                            Offer::Refused
                        }
                        Err(error) => {
                            log::error!("SIGQUIT: the handover failed: {error}; serving on");
                            Offer::Refused
                        }
                    },
                    signal = signals.next() => match signal {
                        Signal::Terminate | Signal::Interrupt => return Offer::Interrupted(signal),
                        Signal::Hangup => log::warn!("SIGHUP: ignored in the middle of a handover"),
                        Signal::Quit | Signal::User1 => {}
                    },
                }
            }
        });
        if let (Offer::Refused, Some(pid_file)) = (&offer, &self.pid_file) {
            // A successor that failed late has put its own in place.
            if let Err(error) = pid_file.restore() {
                log::error!("cannot write the pid file: {error}");
            }
        }
        offer
    }

    /// After a handover: the successor accepts, what is in flight here ends here.
    pub(super) fn retire(mut self) {
        log::info!("a successor accepts connections; draining, at most {:?}", self.grace_period);
        // It has written its own.
        self.pid_file = None;
        let _ = self.stop_admin.send(true);
        self.drain(IDLE_AT_UPGRADE);
    }

    /// SIGTERM: stops accepting and lets what is in flight end.
    pub(super) fn terminate(self) {
        log::info!("SIGTERM: draining, at most {:?}", self.grace_period);
        self.notifier.tell("STOPPING=1");
        self.drain(IDLE_AT_TERMINATION);
    }

    fn drain(mut self, idle: Duration) {
        self.readiness.set_draining();
        // Fails only when every worker has ended by itself.
        let _ = self.stop.send(true);
        // With the workers' own handles gone too, connections are refused and do not wait in vain.
        drop(self.sockets);
        let start = Instant::now();
        let workers = &self.workers;
        let grace_period = self.grace_period;
        let is_done = |after: Duration| {
            after >= grace_period
                || workers.iter().all(Worker::is_empty)
                || after >= idle && workers.iter().all(Worker::is_idle)
        };
        let signals = &mut self.signals;
        self.runtime.block_on(async {
            while !is_done(start.elapsed()) {
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    signal = signals.next() => {
                        if matches!(signal, Signal::Terminate | Signal::Interrupt) {
                            log::info!("second signal: stopping at once");
                            return;
                        }
                    }
                }
            }
        });
        let unfinished: usize = self.workers.iter().map(Worker::requests).sum();
        if unfinished > 0 {
            log::warn!("{unfinished} requests were not finished in time");
        }
        log::info!("stopped");
    }
}
