//! The words that the two processes of a handover exchange.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Uid, geteuid};

/// How long sending and receiving one message may take.
pub(super) const MESSAGE_WITHIN: Duration = Duration::from_secs(5);

/// How often somebody who waits looks whether it was asked to end.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// Longer than any word.
const MAX_WORD: usize = 32;

/// A connection between both.
#[derive(Debug)]
pub(super) struct Conversation(UnixStream);

impl Conversation {
    /// Begins on `stream`, after the descriptors have passed.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(POLL))?;
        stream.set_write_timeout(Some(MESSAGE_WITHIN))?;
        Ok(Self(stream))
    }

    /// Says one word.
    ///
    /// # Errors
    /// When the other has hung up.
    pub fn say(&mut self, word: &str) -> io::Result<()> {
        self.0.write_all(format!("{word}\n").as_bytes())
    }

    /// The next word; `None` when the other has hung up.
    ///
    /// # Errors
    /// `TimedOut` when none came in time, and `Interrupted` when it was asked to end.
    pub fn hear(
        &mut self,
        patience: Option<Duration>,
        mut asked_to_end: impl FnMut() -> bool,
    ) -> io::Result<Option<String>> {
        let start = Instant::now();
        let mut word = Vec::new();
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) if byte == *b"\n" => return Ok(Some(String::from_utf8_lossy(&word).into_owned())),
                Ok(_) if word.len() == MAX_WORD => return Err(ErrorKind::InvalidData.into()),
                Ok(_) => word.extend(byte),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if asked_to_end() {
                        return Err(asked());
                    }
                    if patience.is_some_and(|patience| start.elapsed() >= patience) {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It hung up before it had read everything.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The error of a wait that was broken off.
pub(super) fn asked() -> io::Error {
    io::Error::new(ErrorKind::Interrupted, "stopped by a signal")
}

/// Whoever may write to the socket's folder could wait there or connect. Only this user, root,
/// and the user that this process is about to become are dealt with.
pub(super) fn refuse_strangers(peer: &UnixStream, future_user: Option<Uid>) -> io::Result<()> {
    let theirs = socket_peercred(peer.as_fd())?.uid;
    if theirs == geteuid() || theirs.is_root() || Some(theirs) == future_user {
        Ok(())
    } else {
        Err(io::Error::new(ErrorKind::PermissionDenied, "the other process belongs to another user"))
    }
}
