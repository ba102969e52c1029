//! The side of the successor, which takes the sockets.

use std::fs;
use std::io::{self, ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::process::Uid;
use zeroize::Zeroizing;

use super::conversation::{Conversation, MESSAGE_WITHIN, POLL, asked, refuse_strangers};
use super::{ACCEPTING, GO, HandedState, MAX_MESSAGE, MAX_SOCKETS, READY, YOURS, keys};
use crate::clock;
use crate::server::private_socket::listen_privately;

/// The socket at which a successor waits for the running process.
#[derive(Debug)]
pub(in crate::server) struct SuccessorSocket {
    socket: UnixListener,
    path: PathBuf,
    future_user: Option<Uid>,
}

/// The sockets that the running process has sent. It waits for confirmation that they are in use.
#[derive(Debug)]
pub(in crate::server) struct Received {
    /// The sockets, each with its address.
    pub sockets: Vec<(SocketAddr, TcpListener)>,
    pub predecessor: Predecessor,
}

/// The ticket keys and the state of the running process.
pub(in crate::server) type HandedOver = (Option<Zeroizing<Vec<u8>>>, Option<HandedState>);

/// The process whose sockets were taken.
#[derive(Debug)]
pub(in crate::server) struct Predecessor(Conversation);

impl SuccessorSocket {
    /// Binds `path`. Only this user may use it, or `future_user` if this process is about to become that
    /// user, which the running process is already.
    ///
    /// # Errors
    /// If another successor waits there already, or the folder is not writable.
    pub fn bind(path: &Path, future_user: Option<Uid>) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(ErrorKind::AddrInUse, "another successor is waiting there"));
        }
        // No process listens, so the socket is stale.
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = listen_privately(path, future_user)?;
        let waiting = Self { socket, path: path.to_owned(), future_user };
        waiting.socket.set_nonblocking(true)?;
        Ok(waiting)
    }

    /// Waits for the running process, at most for `patience` and until `asked_to_end` returns true.
    ///
    /// # Errors
    /// If no process connected, if it sent no sockets, or if this process was asked to end.
    pub fn receive(
        &self,
        patience: Duration,
        mut asked_to_end: impl FnMut() -> bool,
    ) -> io::Result<Received> {
        let deadline = clock::now() + patience;
        loop {
            match self.socket.accept() {
                Ok((predecessor, _)) => {
                    predecessor.set_nonblocking(false)?;
                    // A process of another user must not end the wait.
                    if let Err(error) = refuse_strangers(&predecessor, self.future_user) {
                        log::warn!("{}: {error}", self.path.display());
                        continue;
                    }
                    // A process that only checks whether the socket is in use closes it at once.
                    if let Some(received) = receive_from(predecessor)? {
                        return Ok(received);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if clock::now() >= deadline {
                        let message = "no running process handed its sockets over";
                        return Err(io::Error::new(ErrorKind::TimedOut, message));
                    }
                    if asked_to_end() {
                        return Err(asked());
                    }
                    std::thread::sleep(POLL);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for SuccessorSocket {
    fn drop(&mut self) {
        // The file may be gone already. A file that stays behind is recognised as stale.
        let _ = fs::remove_file(&self.path);
    }
}

impl Predecessor {
    /// Says "ready" and waits for "go". Returns the keys of the predecessor's session tickets in the form of
    /// [`Tickets::export`](crate::tls::Tickets::export), and its state. Each is `None` if its version does not
    /// send it, or if it cannot be read.
    ///
    /// # Errors
    /// If the predecessor no longer waits, or this process was asked to end. This process must not accept
    /// connections then.
    pub fn ready(&mut self, asked_to_end: impl FnMut() -> bool) -> io::Result<HandedOver> {
        self.exchange(READY, GO, asked_to_end)?;
        let mut attached = self.0.take_attached();
        let keys = attached.pop().map(keys::disclose).transpose().unwrap_or_else(|error| {
            log::warn!("the ticket keys of the running process cannot be read: {error}");
            None
        });
        let state = attached.pop().map(HandedState::disclose).transpose().unwrap_or_else(|error| {
            log::warn!("the state of the running process cannot be read: {error}");
            None
        });
        Ok((keys, state))
    }

    /// Says "accepting" and waits for "yours". Returns the standard output and standard error of the
    /// predecessor, unless its version does not send them.
    ///
    /// # Errors
    /// If the predecessor continues to serve, or this process was asked to end. This process must then
    /// finish the connections that it has accepted, and take no others.
    pub fn accepting(&mut self, asked_to_end: impl FnMut() -> bool) -> io::Result<Option<[OwnedFd; 2]>> {
        self.exchange(ACCEPTING, YOURS, asked_to_end)?;
        Ok(self.0.take_attached().try_into().ok())
    }

    /// Waits without a time limit. A predecessor that hangs serves no request, and one that has given up
    /// says so. One that has ended has left everything to this process.
    fn exchange(&mut self, word: &str, answer: &str, asked_to_end: impl FnMut() -> bool) -> io::Result<()> {
        // If this cannot be sent, the last word of the other process can still be read.
        let _ = self.0.say(word);
        match self.0.hear(None, asked_to_end)? {
            Some(heard) if heard == answer => Ok(()),
            Some(_) => Err(io::Error::new(ErrorKind::TimedOut, "it did not wait any longer and serves on")),
            None => {
                log::warn!("the running process has ended in the middle of the handover; taking its place");
                Ok(())
            }
        }
    }
}

fn receive_from(predecessor: UnixStream) -> io::Result<Option<Received>> {
    predecessor.set_read_timeout(Some(MESSAGE_WITHIN))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut message = vec![0; MAX_MESSAGE];
    let received = rustix::net::recvmsg(
        &predecessor,
        &mut [IoSliceMut::new(&mut message)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let malformed = || io::Error::new(ErrorKind::InvalidData, "the message is no handover of this version");
    let text = std::str::from_utf8(&message[..received.bytes]).map_err(|_| malformed())?;
    let addresses = text.strip_suffix('\n').ok_or_else(malformed)?.split(' ');
    let addresses: Vec<SocketAddr> =
        addresses.map(str::parse).collect::<Result<_, _>>().map_err(|_| malformed())?;
    if addresses.len() != descriptors.len() {
        return Err(malformed());
    }
    let sockets = addresses.into_iter().zip(descriptors.into_iter().map(TcpListener::from)).collect();
    Ok(Some(Received { sockets, predecessor: Predecessor(Conversation::new(predecessor)?) }))
}
