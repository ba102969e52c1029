//! The side of the running process, which offers its sockets.

use std::fs;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::conversation::{Conversation, MESSAGE_WITHIN, asked, refuse_strangers};
use super::{ACCEPTING, GO, HandedState, MAX_MESSAGE, MAX_SOCKETS, NO, READY, YOURS, keys};
use crate::server::listener::BoundListener;
use crate::tls::Tickets;

/// How long the successor may take for each step. It has prepared everything slow before it waits for the
/// sockets.
#[derive(Clone, Copy)]
pub(in crate::server) struct Patience {
    /// The time from receiving the sockets to the word "ready".
    pub ready: Duration,
    /// The time from the word "go" to the word "accepting".
    pub accepting: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { ready: Duration::from_secs(10), accepting: Duration::from_secs(5) }
    }
}

/// Sends `listeners`, and later the keys of `tickets`, to the successor that waits at `path`. Returns the
/// process id of the successor once it accepts connections and knows that this process will end.
///
/// # Errors
/// If no successor waits, if it does not reach the point of accepting, or if this process is asked to end.
/// Then nothing has changed: the successor finishes the connections that it has accepted, and takes no
/// others.
pub(in crate::server) fn offer(
    path: &Path,
    listeners: &[&BoundListener],
    tickets: &Tickets,
    state: impl Fn() -> HandedState,
    patience: Patience,
    asked_to_end: impl Fn() -> bool,
) -> io::Result<i32> {
    let stream = UnixStream::connect(path).inspect_err(|error| remove_stale(path, error))?;
    refuse_strangers(&stream, None)?;
    let successor_id = socket_peercred(&stream)?.pid.as_raw_nonzero().get();
    stream.set_write_timeout(Some(MESSAGE_WITHIN))?;
    send(&stream, listeners)?;
    let mut successor = Conversation::new(stream)?;
    let outcome = converse(&mut successor, tickets, state, patience, asked_to_end);
    if outcome.is_err() {
        // Without this message, a slow successor would assume that this process has ended.
        let _ = successor.say(NO);
    }
    // A successor that was killed leaves its socket behind.
    if outcome.is_err()
        && let Err(error) = UnixStream::connect(path)
    {
        remove_stale(path, &error);
    }
    outcome.map(|()| successor_id)
}

fn converse(
    successor: &mut Conversation,
    tickets: &Tickets,
    state: impl Fn() -> HandedState,
    patience: Patience,
    asked_to_end: impl Fn() -> bool,
) -> io::Result<()> {
    let expect = |successor: &mut Conversation, word: &str, patience: Duration, missed: &str| match successor
        .hear(Some(patience), &asked_to_end)
    {
        Ok(Some(heard)) if heard == word => Ok(()),
        Ok(Some(_)) => Err(io::Error::new(ErrorKind::InvalidData, "it is of another version")),
        Ok(None) => Err(io::Error::new(ErrorKind::UnexpectedEof, format!("it ended before it {missed}"))),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            Err(io::Error::new(ErrorKind::TimedOut, format!("within {patience:?} it has not {missed}")))
        }
        Err(error) => Err(error),
    };
    expect(successor, READY, patience.ready, "prepared everything")?;
    if asked_to_end() {
        return Err(asked());
    }
    match keys::enclose(&tickets.export()) {
        Ok(keys) => match state().enclose() {
            // The keys come last: an older version, which knows no state, reads only the last descriptor.
            Ok(state) => successor.say_with(GO, &[state.as_fd(), keys.as_fd()])?,
            Err(error) => {
                log::warn!("the successor gets no state: {error}");
                successor.say_with(GO, &[keys.as_fd()])?;
            }
        },
        Err(error) => {
            log::warn!("the successor gets no ticket keys and no state, and resumes no TLS session: {error}");
            successor.say(GO)?;
        }
    }
    expect(successor, ACCEPTING, patience.accepting, "accepted connections")?;
    // A successor that `upgrade` has started logs to the same streams. It could not open them by itself:
    // `/proc/PID/fd` of a process that may not be dumped is readable by root only.
    successor.say_with(YOURS, &[io::stdout().as_fd(), io::stderr().as_fd()])
}

fn send(successor: &UnixStream, listeners: &[&BoundListener]) -> io::Result<()> {
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.address().to_string()).collect();
    let message = format!("{}\n", addresses.join(" "));
    let descriptors: Vec<BorrowedFd<'_>> = listeners.iter().map(|listener| listener.as_fd()).collect();
    if descriptors.len() > MAX_SOCKETS || message.len() > MAX_MESSAGE {
        return Err(io::Error::other(format!("at most {MAX_SOCKETS} listeners can be handed over")));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("the listeners do not fit into one message"));
    }
    rustix::net::sendmsg(successor, &[IoSlice::new(message.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Removes the socket at `path` if `error` says that no process listens there.
fn remove_stale(path: &Path, error: &io::Error) {
    if error.kind() == ErrorKind::ConnectionRefused {
        // The next successor recognises a socket that stays behind as stale.
        let _ = fs::remove_file(path);
    }
}
