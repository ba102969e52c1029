//! The end of a process: hand the sockets over, drain, close the logs.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::handover::{self, HandedState, Patience};
use super::reload::Ending;
use super::signals::{Signal, Signals, is_first_process};
use super::{Server, WorkerThread, reopen};
use crate::clock;
use crate::otlp::Exporter;
use crate::telemetry::AccessLogWriter;

/// How often a draining process checks whether it is idle.
const POLL: Duration = Duration::from_millis(10);

/// How long the end of the process waits for the last spans.
const LAST_EXPORT: Duration = Duration::from_secs(3);

/// How long a kept-alive connection without a request is left open at SIGTERM: its next request
/// may be on the way, and is answered with `Connection: close`.
const IDLE_AT_TERMINATION: Duration = Duration::from_millis(100);

/// How long a kept-alive connection without a request is left open after an upgrade. No operator
/// waits for this end, so the time is long: closing a connection fails a request that is on its way.
/// A client that sends another request in this time gets `Connection: close` with the answer.
const IDLE_AT_UPGRADE: Duration = Duration::from_millis(2500);

/// The result of offering the sockets.
pub(super) enum Offer {
    /// The successor with this process id accepts connections on the sockets.
    Taken(i32),
    /// No successor took the sockets. This process continues to serve.
    Refused,
    /// A signal to end came during the offer.
    Interrupted(Signal),
}

impl Server {
    /// SIGQUIT: hands the listening sockets to the successor that waits for them.
    pub(super) fn offer_sockets(&mut self) -> Offer {
        let Some(path) = self.upgrade_sock.clone() else {
            log::warn!(
                "SIGQUIT: server.upgrade_sock is not configured, no process can take over; serving on"
            );
            return Offer::Refused;
        };
        if is_first_process() {
            log::warn!(
                "SIGQUIT: this is process 1, whose end would end its container and the successor; serving on"
            );
            return Offer::Refused;
        }
        let offer = self.offer_at(&path);
        if let (Offer::Refused, Some(pid_file)) = (&offer, &mut self.pid_file) {
            // A successor may have put its own pid file in place before it failed.
            if let Err(error) = pid_file.restore() {
                log::error!("cannot write the pid file: {error}");
            }
        }
        offer
    }

    fn offer_at(&mut self, path: &Path) -> Offer {
        let (is_asked_to_end, sockets) = (Arc::new(AtomicBool::new(false)), self.sockets.clone());
        let (tickets, key_sets, shared) = (self.tickets.clone(), self.key_sets.clone(), self.shared.clone());
        let state = move || HandedState {
            key_sets: key_sets.export(),
            replays: shared.snapshot.load().export_replays(),
        };
        let (answer, mut offered) = oneshot::channel();
        thread::spawn({
            let (path, is_asked_to_end) = (path.to_owned(), is_asked_to_end.clone());
            let asked_to_end = move || is_asked_to_end.load(Ordering::Relaxed);
            let offer = move || {
                handover::offer(&path, &sockets.all(), &tickets, state, Patience::default(), asked_to_end)
            };
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
                            // Takes the offer back. Otherwise the successor would go on alone.
                            ending = ending.or(Some(signal));
                            is_asked_to_end.store(true, Ordering::Relaxed);
                        }
                        Signal::Hangup => reloading.order("SIGHUP"),
                        Signal::User1 => reopen(access_log),
                        // A handover is in progress already.
                        Signal::Quit | Signal::User2 => {}
                    },
                }
            }
        });
        match (outcome, ending) {
            (_, Some(signal)) => Offer::Interrupted(signal),
            (Ok(successor), None) => Offer::Taken(successor),
            (Err(error), None) => {
                let shown = path.display();
                log::warn!("SIGQUIT: no successor took the sockets at {shown}: {error}; serving on");
                Offer::Refused
            }
        }
    }

    /// After a handover: the successor accepts new connections, this process finishes its requests.
    pub(super) fn retire(mut self, successor: i32) {
        // systemd accepts this message from the main process even with `NotifyAccess=main`.
        self.notifier.tell(&format!("MAINPID={successor}"));
        log::info!("audit: the listening sockets were handed to a successor, ordered by SIGQUIT");
        log::info!(
            "a successor accepts connections; draining, at most {:?}",
            self.reloading.ending().grace_period
        );
        if let Some(pid_file) = &mut self.pid_file {
            pid_file.leave();
        }
        let _ = self.stop_admin.send(true);
        self.drain(IDLE_AT_UPGRADE);
    }

    /// SIGTERM: stops accepting and finishes the requests in flight.
    pub(super) fn terminate(mut self) {
        let Ending { drain_delay, grace_period } = self.reloading.ending();
        self.notifier.tell("STOPPING=1");
        self.readiness.set_draining();
        if drain_delay > Duration::ZERO {
            log::info!("SIGTERM: accepting connections for another {drain_delay:?}, then draining");
            if self.is_hurried_within(drain_delay) {
                log::info!("second signal: stopping at once");
                return end(self.runtime, self.signals, self.access_log_writer, self.exporter, clock::now());
            }
        }
        log::info!("SIGTERM: draining, at most {grace_period:?}");
        self.drain(IDLE_AT_TERMINATION);
    }

    /// Waits for this time. Returns early, with true, if a second signal to end arrives.
    fn is_hurried_within(&mut self, time: Duration) -> bool {
        let (signals, access_log) = (&mut self.signals, &self.access_log);
        let waiting = async {
            loop {
                match signals.next().await {
                    Signal::Terminate | Signal::Interrupt => return,
                    Signal::User1 => reopen(access_log),
                    Signal::Hangup | Signal::Quit | Signal::User2 => {}
                }
            }
        };
        self.runtime.block_on(async { tokio::time::timeout(time, waiting).await.is_ok() })
    }

    /// After a handover that failed late: finishes the requests of the connections that were accepted.
    pub(super) fn withdraw(self) {
        let _ = self.stop_admin.send(true);
        self.drain(IDLE_AT_TERMINATION);
    }

    fn drain(mut self, idle: Duration) {
        self.readiness.set_draining();
        // Sending fails only if every worker has ended.
        let _ = self.stop.send(true);
        // Closes the last handle of the sockets. New connections are then refused at once.
        drop(self.sockets);
        let start = clock::now();
        let workers = &self.workers;
        let grace_period = self.reloading.ending().grace_period;
        let is_done = |after: Duration| {
            after >= grace_period
                || workers.iter().all(WorkerThread::is_empty)
                || after >= idle && workers.iter().all(WorkerThread::is_idle)
        };
        let (signals, access_log) = (&mut self.signals, &self.access_log);
        let is_hurried = self.runtime.block_on(async {
            while !is_done(clock::since(start)) {
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    signal = signals.next() => match signal {
                        Signal::Terminate | Signal::Interrupt => {
                            log::info!("second signal: stopping at once");
                            return true;
                        }
                        Signal::User1 => reopen(access_log),
                        Signal::Hangup | Signal::Quit | Signal::User2 => {}
                    },
                }
            }
            if !workers.iter().all(WorkerThread::is_empty) {
                // Gives the connections on HTTP/2 a moment for their last frames.
                tokio::time::sleep(POLL).await;
            }
            false
        });
        let unfinished: usize = self.workers.iter().map(WorkerThread::requests).sum();
        if unfinished > 0 {
            log::warn!("{unfinished} requests were not finished in time");
        }
        let deadline = if is_hurried { start } else { start + grace_period };
        end(self.runtime, self.signals, self.access_log_writer, self.exporter, deadline);
    }

    /// SIGINT: waits neither for requests nor for a stalled reader of the access log.
    pub(super) fn stop_at_once(self) {
        log::info!("SIGINT: stopping at once");
        end(self.runtime, self.signals, self.access_log_writer, self.exporter, clock::now());
    }
}

/// Exports the last spans and writes the remaining lines of the access log, until `deadline` or a signal to end.
fn end(
    runtime: Runtime,
    mut signals: Signals,
    writer: AccessLogWriter,
    exporter: Option<Exporter>,
    deadline: Instant,
) {
    let start = clock::now();
    if let Some(exporter) = &exporter {
        exporter.close();
    }
    writer.close();
    let has_spans = || exporter.as_ref().is_some_and(|exporter| !exporter.is_done());
    let must_wait = |after: Duration| !writer.is_done() || after < LAST_EXPORT && has_spans();
    runtime.block_on(async {
        while clock::now() < deadline && must_wait(clock::since(start)) {
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
    if start < deadline && has_spans() {
        log::warn!("the collector has not taken the last spans; they are lost");
    }
    drop(writer);
    log::info!("stopped");
    // Does not wait for the threads of the runtime: one of them may be resolving a name, which can take
    // long.
    runtime.shutdown_background();
}
