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
}

/// All of them, caught from the start: none has its default effect any more.
pub(super) struct Signals {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    user1: unix::Signal,
    /// Process 1 only, which inherits the orphans of its container.
    child: Option<unix::Signal>,
}

/// Whether this is the first process of a container: when it ends, so does all of that.
pub(super) fn is_first_process() -> bool {
    std::process::id() == 1
}

impl Signals {
    /// Catches them. Must run inside an event loop.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            hangup: unix::signal(SignalKind::hangup())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: unix::signal(SignalKind::quit())?,
            terminate: unix::signal(SignalKind::terminate())?,
            user1: unix::signal(SignalKind::user_defined1())?,
            child: is_first_process().then(|| unix::signal(SignalKind::child())).transpose()?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        loop {
            return tokio::select! {
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.terminate.recv() => Signal::Terminate,
                _ = self.quit.recv() => Signal::Quit,
                _ = self.hangup.recv() => Signal::Hangup,
                _ = self.user1.recv() => Signal::User1,
                () = orphan(&mut self.child) => {
                    // Each has ended already; nobody else would ever ask.
                    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
                    continue;
                }
            };
        }
    }

    /// Whether one has come that ends a process which does not serve yet; the others are dropped.
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

/// Waits for the end of a child, which the gateway starts none of.
async fn orphan(child: &mut Option<unix::Signal>) {
    match child {
        Some(child) => drop(child.recv().await),
        None => std::future::pending().await,
    }
}
