//! Handing the listening sockets from one process to the next.
//!
//! The successor binds a socket and waits; the running process connects to it, sends its
//! listening sockets, and goes on accepting until the successor says that it accepts too. Whoever
//! crashes or hangs before that leaves the running process as it was.
//!
//! ```text
//! successor                              running process
//! bind, wait                 ◄─ connect  SIGQUIT
//!                            ◄─ addresses, descriptors
//! start the workers
//! "accepting\n"              ─►          stop accepting, drain, exit
//! ```

use std::fs;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use super::listener::BoundListener;

/// The most sockets handed over; the kernel's own limit for one message is 253.
const MAX_SOCKETS: usize = 128;

/// Bytes of the message that names the addresses; one takes at most 60.
const MAX_MESSAGE: usize = 16 * 1024;

/// How long the successor may take from the sockets to accepting.
const ACCEPTING_WITHIN: Duration = Duration::from_secs(30);

/// How long sending and receiving one message may take.
const MESSAGE_WITHIN: Duration = Duration::from_secs(5);

/// How often a waiting successor looks for its predecessor.
const POLL: Duration = Duration::from_millis(20);

const ACCEPTING: &str = "accepting\n";

/// The running process: sends `listeners` to the successor that waits at `path`, and returns once
/// that accepts.
///
/// # Errors
/// When nobody waits, or whoever waits does not come to accept. Nothing has changed then.
pub(super) fn offer(path: &Path, listeners: &[&BoundListener]) -> io::Result<()> {
    let successor = UnixStream::connect(path)?;
    refuse_strangers(&successor)?;
    successor.set_write_timeout(Some(MESSAGE_WITHIN))?;
    successor.set_read_timeout(Some(ACCEPTING_WITHIN))?;
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
    rustix::net::sendmsg(&successor, &[IoSlice::new(message.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    let mut reply = String::new();
    BufReader::new(&successor).read_line(&mut reply)?;
    if reply == ACCEPTING {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the successor ended before it accepted connections",
        ))
    }
}

/// The successor: waits at its socket for the running process.
#[derive(Debug)]
pub(super) struct Waiting {
    socket: UnixListener,
    path: PathBuf,
}

/// The sockets of the running process, which waits to hear that they are in use.
#[derive(Debug)]
pub(super) struct Received {
    /// Each with its address.
    pub sockets: Vec<(SocketAddr, TcpListener)>,
    predecessor: UnixStream,
}

impl Waiting {
    /// Binds `path`, which only this user may use.
    ///
    /// # Errors
    /// When another successor waits there already, or the folder is not writable.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another successor is waiting there"));
        }
        // What is left is stale: nobody listens.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Waits at most for `patience`, and for as long as nobody asks to end.
    ///
    /// # Errors
    /// When nobody came, or what came was no handover, or it was asked to end.
    pub fn receive(
        &self,
        patience: Duration,
        mut asked_to_end: impl FnMut() -> bool,
    ) -> io::Result<Received> {
        let deadline = Instant::now() + patience;
        loop {
            match self.socket.accept() {
                Ok((predecessor, _)) => {
                    predecessor.set_nonblocking(false)?;
                    // A stranger must not be able to end the wait for the true one.
                    if let Err(error) = refuse_strangers(&predecessor) {
                        log::warn!("{}: {error}", self.path.display());
                        continue;
                    }
                    // Somebody who only looks whether the socket is in use closes it at once.
                    if let Some(received) = receive_from(predecessor)? {
                        return Ok(received);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() >= deadline {
                        return Err(io::Error::new(
                            io::ErrorKind::TimedOut,
                            "no running process handed its sockets over",
                        ));
                    }
                    if asked_to_end() {
                        return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped by a signal"));
                    }
                    std::thread::sleep(POLL);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It may be gone already; a stale one is recognised anyway.
        let _ = fs::remove_file(&self.path);
    }
}

impl Received {
    /// Tells the predecessor that connections are accepted here.
    ///
    /// # Errors
    /// When the predecessor has gone meanwhile.
    pub fn acknowledge(mut self) -> io::Result<()> {
        self.predecessor.write_all(ACCEPTING.as_bytes())
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
    let malformed =
        || io::Error::new(io::ErrorKind::InvalidData, "the message is no handover of this version");
    let text = std::str::from_utf8(&message[..received.bytes]).map_err(|_| malformed())?;
    let addresses = text.strip_suffix('\n').ok_or_else(malformed)?.split(' ');
    let addresses: Vec<SocketAddr> =
        addresses.map(str::parse).collect::<Result<_, _>>().map_err(|_| malformed())?;
    if addresses.len() != descriptors.len() {
        return Err(malformed());
    }
    let sockets = addresses.into_iter().zip(descriptors.into_iter().map(TcpListener::from)).collect();
    Ok(Some(Received { sockets, predecessor }))
}

/// Both ends belong to one user, or to root.
fn refuse_strangers(peer: &UnixStream) -> io::Result<()> {
    let theirs = socket_peercred(peer.as_fd())?.uid;
    if theirs == rustix::process::geteuid() || theirs.is_root() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "the other process belongs to another user"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("approov-gateway-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn listener() -> BoundListener {
        BoundListener::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a listener")
    }

    #[test]
    fn the_same_sockets_arrive_and_both_know_it() {
        let path = folder("arrive").join("upgrade.sock");
        let waiting = Waiting::bind(&path).expect("binds");
        let (first, second) = (listener(), listener());
        let addresses = [first.address(), second.address()];
        let running = std::thread::spawn({
            let path = path.clone();
            move || offer(&path, &[&first, &second])
        });
        let received = waiting.receive(Duration::from_secs(10), || false).expect("arrives");
        for ((address, socket), expected) in received.sockets.iter().zip(addresses) {
            assert_eq!(*address, expected);
            assert_eq!(socket.local_addr().expect("bound"), expected);
        }
        assert_eq!(received.sockets.len(), 2);
        received.acknowledge().expect("is heard");
        running.join().expect("no panic").expect("is told");
        drop(waiting);
        assert!(!path.exists());
    }

    #[test]
    fn a_successor_that_dies_is_an_error_and_not_a_handover() {
        let path = folder("dies").join("upgrade.sock");
        let waiting = Waiting::bind(&path).expect("binds");
        let running = std::thread::spawn({
            let path = path.clone();
            move || offer(&path, &[&listener()])
        });
        drop(waiting.receive(Duration::from_secs(10), || false).expect("arrives"));
        let error = running.join().expect("no panic").expect_err("nobody accepts");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nobody_waiting_is_an_error_also_where_a_stale_socket_lies() {
        let path = folder("nobody").join("upgrade.sock");
        assert!(offer(&path, &[&listener()]).is_err());
        drop(UnixListener::bind(&path).expect("binds"));
        assert!(path.exists());
        assert!(offer(&path, &[&listener()]).is_err());
        let waiting = Waiting::bind(&path).expect("takes the stale one's place");
        assert_eq!(
            Waiting::bind(&path).expect_err("one successor at a time").kind(),
            io::ErrorKind::AddrInUse
        );
        assert_eq!(
            waiting.receive(Duration::ZERO, || false).expect_err("nobody came").kind(),
            io::ErrorKind::TimedOut
        );
    }

    #[test]
    fn a_waiting_successor_ends_when_asked_to() {
        let waiting = Waiting::bind(&folder("asked").join("upgrade.sock")).expect("binds");
        let error = waiting.receive(Duration::from_secs(10), || true).expect_err("nobody came");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
