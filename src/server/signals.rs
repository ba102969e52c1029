//! The signals of a server.

use std::io;

use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{self, SignalKind};

/// A signal that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Hangup,
    Interrupt,
    Quit,
    Terminate,
    User1,
    User2,
}

/// The signals that the server handles. None of them has its default effect.
pub(super) struct Signals {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
    /// `Some` in process 1 only, which becomes the parent of every orphan in its container.
    child: Option<unix::Signal>,
}

/// Whether this is the first process of a container. The container ends with it.
pub(super) fn is_first_process() -> bool {
    std::process::id() == 1
}

impl Signals {
    /// Starts to catch the signals. Must be called inside an event loop.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            hangup: unix::signal(SignalKind::hangup())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: unix::signal(SignalKind::quit())?,
            terminate: unix::signal(SignalKind::terminate())?,
            user1: unix::signal(SignalKind::user_defined1())?,
            user2: unix::signal(SignalKind::user_defined2())?,
            child: is_first_process().then(|| unix::signal(SignalKind::child())).transpose()?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        loop {
            return tokio::select! {
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.terminate.recv() => Signal::Terminate,
                _ = self.quit.recv() => Signal::Quit,
                _ = self.hangup.recv() => Signal::Hangup,
                _ = self.user1.recv() => Signal::User1,
                _ = self.user2.recv() => Signal::User2,
                () = orphan(&mut self.child) => {
                    // Reaps children that have ended; no other process does.
                    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
                    continue;
                }
            };
        }
    }

    /// Whether a signal to end has arrived before the process serves. Drops other signals.
    pub async fn asks_to_end(&mut self) -> bool {
        loop {
            tokio::select! {
                biased;
                signal = self.next() => {
                    if matches!(signal, Signal::Interrupt | Signal::Terminate) {
                        return true;
                    }
                }
                () = std::future::ready(()) => return false,
            }
        }
    }
}

/// Waits for the end of a child. Every orphan of the container becomes a child of process 1.
async fn orphan(child: &mut Option<unix::Signal>) {
    match child {
        Some(child) => drop(child.recv().await),
        None => std::future::pending().await,
    }
}
