//! The messages that the two processes of a handover exchange. A message is one word.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Uid, geteuid};

use crate::clock;

/// The time limit for sending or receiving one message.
pub(super) const MESSAGE_WITHIN: Duration = Duration::from_secs(5);

/// How often a waiting process checks whether it was asked to end.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// The most descriptors that are attached to a word.
const MAX_ATTACHED: usize = 2;

/// Longer than any word of the protocol, in bytes.
const MAX_WORD: usize = 32;

/// A connection between the two processes.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: UnixStream,
    /// The descriptors that came with the last word.
    attached: Vec<OwnedFd>,
}

impl Conversation {
    /// Starts a conversation on `stream`, after the sockets have been sent.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(POLL))?;
        stream.set_write_timeout(Some(MESSAGE_WITHIN))?;
        Ok(Self { stream, attached: Vec::new() })
    }

    /// Sends one word.
    ///
    /// # Errors
    /// If the other process has closed the connection.
    pub fn say(&mut self, word: &str) -> io::Result<()> {
        self.stream.write_all(format!("{word}\n").as_bytes())
    }

    /// Sends one word with attached descriptors, at most [`MAX_ATTACHED`]. A process that does not expect
    /// descriptors ignores them.
    ///
    /// # Errors
    /// If the other process has closed the connection.
    pub fn say_with(&mut self, word: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let word = format!("{word}\n");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_ATTACHED))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let sent =
            sendmsg(&self.stream, &[IoSlice::new(word.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
        self.stream.write_all(&word.as_bytes()[sent..])
    }

    /// The descriptors that came with the last word.
    pub fn take_attached(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.attached)
    }

    /// Receives the next word. `None` if the other process has closed the connection.
    ///
    /// # Errors
    /// `TimedOut` if no word came in time, `Interrupted` if this process was asked to end.
    pub fn hear(
        &mut self,
        patience: Option<Duration>,
        mut asked_to_end: impl FnMut() -> bool,
    ) -> io::Result<Option<String>> {
        let start = clock::now();
        let mut word = Vec::new();
        self.attached.clear();
        let mut byte = [0];
        loop {
            match self.receive(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) if byte == *b"\n" => return Ok(Some(String::from_utf8_lossy(&word).into_owned())),
                Ok(_) if word.len() == MAX_WORD => return Err(ErrorKind::InvalidData.into()),
                Ok(_) => word.extend(byte),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if asked_to_end() {
                        return Err(asked());
                    }
                    if patience.is_some_and(|patience| clock::since(start) >= patience) {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The other process closed the connection before it had read everything.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&mut self, byte: &mut [u8; 1]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_ATTACHED))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&self.stream, &mut [IoSliceMut::new(byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                self.attached.extend(descriptors);
            }
        }
        Ok(received.bytes)
    }
}

/// The error of a wait that was interrupted by a signal to end.
pub(super) fn asked() -> io::Error {
    io::Error::new(ErrorKind::Interrupted, "stopped by a signal")
}

/// Refuses a peer whose user is neither this one, nor root, nor the user that this process is about to
/// become. Every process that can write to the folder of the socket could wait there or connect.
pub(super) fn refuse_strangers(peer: &UnixStream, future_user: Option<Uid>) -> io::Result<()> {
    let theirs = socket_peercred(peer.as_fd())?.uid;
    if theirs == geteuid() || theirs.is_root() || Some(theirs) == future_user {
        Ok(())
    } else {
        Err(io::Error::new(ErrorKind::PermissionDenied, "the other process belongs to another user"))
    }
}
