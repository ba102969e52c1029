//! The signals of a server.

use std::io;

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
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.quit.recv() => Signal::Quit,
            _ = self.hangup.recv() => Signal::Hangup,
            _ = self.user1.recv() => Signal::User1,
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
