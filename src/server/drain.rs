//! The end of a process: handing over, draining, leaving.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::handover::{self, Patience};
use super::signals::{Signal, Signals, is_first_process};
use super::{Server, Worker, reopen};
use crate::telemetry::AccessLogWriter;

/// How often a draining process looks whether it is idle.
const POLL: Duration = Duration::from_millis(10);

/// How long a kept-alive connection without a request is left open at SIGTERM: its next request
/// may be on the way, and is answered with `Connection: close`.
const IDLE_AT_TERMINATION: Duration = Duration::from_millis(100);

/// The same after an upgrade, where nobody waits for the end. A connection that is closed while a
/// request is on its way fails that request, so this is long: whoever asks again meanwhile is told
/// with the answer to connect anew, and what is closed in the end has been silent for all of it.
/// Other proxies close such connections at once. It bounds how long an upgrade takes.
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
        if is_first_process() {
            log::warn!(
                "SIGQUIT: this is process 1, whose end would end its container and the successor; serving on"
            );
            return Offer::Refused;
        }
        let offer = self.offer_at(&path);
        if let (Offer::Refused, Some(pid_file)) = (&offer, &self.pid_file) {
            // A successor of another version may have put its own in place before it failed.
            if let Err(error) = pid_file.restore() {
                log::error!("cannot write the pid file: {error}");
            }
        }
        offer
    }

    fn offer_at(&mut self, path: &Path) -> Offer {
        let (is_asked_to_end, sockets) = (Arc::new(AtomicBool::new(false)), self.sockets.clone());
        let tickets = self.tickets.clone();
        let (answer, mut offered) = oneshot::channel();
        thread::spawn({
            let (path, is_asked_to_end) = (path.to_owned(), is_asked_to_end.clone());
            let asked_to_end = move || is_asked_to_end.load(Ordering::Relaxed);
            let offer =
                move || handover::offer(&path, &sockets.all(), &tickets, Patience::default(), asked_to_end);
            move || answer.send(offer())
        });
        let (signals, reloading, access_log) = (&mut self.signals, &self.reloading, &self.access_log);
        let mut ending = None;
        let outcome = self.runtime.block_on(async {
            loop {
                tokio::select! {
                    outcome = &mut offered => return outcome.unwrap_or_else(|error| Err(io::Error::other(error))),
                    signal = signals.next() => match signal {
                        Signal::Terminate | Signal::Interrupt => {
                            // The offer is taken back, lest the successor goes on alone.
                            ending = ending.or(Some(signal));
                            is_asked_to_end.store(true, Ordering::Relaxed);
                        }
                        Signal::Hangup => reloading.order("SIGHUP"),
                        Signal::User1 => reopen(access_log),
                        Signal::Quit => {}
                    },
                }
            }
        });
        match (outcome, ending) {
            (_, Some(signal)) => Offer::Interrupted(signal),
            (Ok(()), None) => Offer::Taken,
            (Err(error), None) => {
                let shown = path.display();
                log::warn!("SIGQUIT: no successor took the sockets at {shown}: {error}; serving on");
                Offer::Refused
            }
        }
    }

    /// After a handover: the successor accepts, what is in flight here ends here.
    pub(super) fn retire(mut self) {
        log::info!("a successor accepts connections; draining, at most {:?}", self.reloading.grace_period());
        // Its own is there already, or about to be.
        if let Some(pid_file) = self.pid_file.take() {
            pid_file.leave();
        }
        let _ = self.stop_admin.send(true);
        self.drain(IDLE_AT_UPGRADE);
    }

    /// SIGTERM: stops accepting and lets what is in flight end.
    pub(super) fn terminate(self) {
        log::info!("SIGTERM: draining, at most {:?}", self.reloading.grace_period());
        self.notifier.tell("STOPPING=1");
        self.drain(IDLE_AT_TERMINATION);
    }

    /// A handover that failed after connections were accepted: those are served to their end.
    pub(super) fn withdraw(self) {
        let _ = self.stop_admin.send(true);
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
        let grace_period = self.reloading.grace_period();
        let is_done = |after: Duration| {
            after >= grace_period
                || workers.iter().all(Worker::is_empty)
                || after >= idle && workers.iter().all(Worker::is_idle)
        };
        let (signals, access_log) = (&mut self.signals, &self.access_log);
        let is_hurried = self.runtime.block_on(async {
            while !is_done(start.elapsed()) {
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    signal = signals.next() => match signal {
                        Signal::Terminate | Signal::Interrupt => {
                            log::info!("second signal: stopping at once");
                            return true;
                        }
                        Signal::User1 => reopen(access_log),
                        Signal::Hangup | Signal::Quit => {}
                    },
                }
            }
            false
        });
        let unfinished: usize = self.workers.iter().map(Worker::requests).sum();
        if unfinished > 0 {
            log::warn!("{unfinished} requests were not finished in time");
        }
        let deadline = if is_hurried { start } else { start + grace_period };
        end(self.runtime, self.signals, self.access_log_writer, deadline);
    }

    /// SIGINT: neither requests nor a stalled reader of the access log are waited for.
    pub(super) fn stop_at_once(self) {
        log::info!("SIGINT: stopping at once");
        end(self.runtime, self.signals, self.access_log_writer, Instant::now());
    }
}

/// Writes the access log to its end, until `deadline` or a signal to end.
fn end(runtime: Runtime, mut signals: Signals, writer: AccessLogWriter, deadline: Instant) {
    writer.close();
    runtime.block_on(async {
        while !writer.is_done() && Instant::now() < deadline {
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
    drop(writer);
    log::info!("stopped");
    // A name that is being resolved holds one of its threads, and the end must not wait for that.
    runtime.shutdown_background();
}
