//! Handing the listening sockets from one process to the next.
//!
//! The successor prepares everything, binds a socket and waits. The running process connects to the
//! socket, sends its listening sockets, and goes on accepting until the successor does. Each step
//! needs the other's word. If one process crashes or hangs, the other serves. A successor that is too
//! late finishes the connections that it has accepted, and takes no others.
//!
//! ```text
//! successor                              running process
//! prepare, bind, wait        ◄─ connect  SIGQUIT
//!                            ◄─ addresses, descriptors
//! bind what is new, open the log
//! "ready"                    ─►
//!                            ◄─ "go"     or "no"; with ticket keys, key sets and accepted signatures
//! start the workers
//! "accepting"                ─►
//!                            ◄─ "yours"  or "no"; stop accepting, drain, exit
//! serve
//! ```
//!
//! Keys and state are attached to "go", and standard output and error to "yours". A process of a version
//! without them says and hears the same words.

mod conversation;
mod keys;
mod offer;
mod state;
mod take;

pub(super) use offer::{Patience, offer};
pub(super) use state::HandedState;
pub(super) use take::{Predecessor, Received, SuccessorSocket};

/// The most sockets handed over; the kernel's own limit for one message is 253.
const MAX_SOCKETS: usize = 128;

/// Bytes of the message that names the addresses; one takes at most 60.
const MAX_MESSAGE: usize = 16 * 1024;

const READY: &str = "ready";
const GO: &str = "go";
const ACCEPTING: &str = "accepting";
const YOURS: &str = "yours";
const NO: &str = "no";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, Read, Write};
    use std::mem::MaybeUninit;
    use std::net::Ipv4Addr;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::{Path, PathBuf};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::conversation::Conversation;
    use super::*;
    use crate::server::listener::BoundListener;
    use crate::tls::Tickets;

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(50);

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("approov-gateway-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("upgrade.sock")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn listener() -> BoundListener {
        BoundListener::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a listener")
    }

    fn tickets() -> Tickets {
        Tickets::new(0).expect("randomness")
    }

    /// A running process that offers one socket.
    fn running(path: &Path, patience: Patience) -> JoinHandle<io::Result<i32>> {
        let path = path.to_owned();
        thread::spawn(move || {
            offer(&path, &[&listener()], &tickets(), HandedState::default, patience, || false)
        })
    }

    /// Sends a listener, which is the first message of [`offer`].
    fn send_listener(stream: &UnixStream, listener: &BoundListener) {
        let descriptors = [listener.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let message = format!("{}\n", listener.address());
        let message = [IoSlice::new(message.as_bytes())];
        sendmsg(stream, &message, &mut control, SendFlags::empty()).expect("sent");
    }

    #[test]
    fn the_same_sockets_arrive_and_both_know_it() {
        let folder = Folder::new("arrive");
        let path = folder.socket();
        let waiting = SuccessorSocket::bind(&path, None).expect("binds");
        let (first, second) = (listener(), listener());
        let addresses = [first.address(), second.address()];
        let tickets = tickets();
        let running = thread::spawn({
            let (path, tickets) = (path.clone(), tickets.clone());
            move || {
                offer(&path, &[&first, &second], &tickets, HandedState::default, Patience::default(), || {
                    false
                })
            }
        });
        let mut received = waiting.receive(LONG, || false).expect("arrives");
        for ((address, socket), expected) in received.sockets.iter().zip(addresses) {
            assert_eq!(*address, expected);
            assert_eq!(socket.local_addr().expect("bound"), expected);
        }
        assert_eq!(received.sockets.len(), 2);
        let keys = received.predecessor.ready(|| false).expect("go");
        assert_eq!(keys, (Some(tickets.export()), Some(HandedState::default())));
        assert!(!running.is_finished());
        let streams = received.predecessor.accepting(|| false).expect("yours").expect("both");
        let identity = |fd: &dyn AsFd| rustix::fs::fstat(fd.as_fd()).map(|stat| (stat.st_dev, stat.st_ino));
        assert_eq!(
            streams.each_ref().map(|fd| identity(fd)),
            [identity(&io::stdout()), identity(&io::stderr())]
        );
        running.join().expect("no panic").expect("is told");
        drop(waiting);
        assert!(!path.exists());
    }

    #[test]
    fn a_successor_that_knows_of_no_keys_hears_the_same_words() {
        let folder = Folder::new("no-keys");
        let socket = UnixListener::bind(folder.socket()).expect("binds");
        let running = running(&folder.socket(), Patience::default());
        let (mut stream, _) = socket.accept().expect("a running process");
        let mut addresses = [0; 64];
        assert!(stream.read(&mut addresses).expect("addresses") > 0);
        let mut heard = String::new();
        stream.write_all(b"ready\n").expect("said");
        let mut words = BufReader::new(stream);
        words.read_line(&mut heard).expect("heard");
        words.get_mut().write_all(b"accepting\n").expect("said");
        words.read_to_string(&mut heard).expect("heard");
        assert_eq!(heard, "go\nyours\n");
        running.join().expect("no panic").expect("is told");
    }

    #[test]
    fn a_running_process_that_has_no_keys_or_other_things_hands_over_all_the_same() {
        let folder = Folder::new("other-keys");
        let waiting = SuccessorSocket::bind(&folder.socket(), None).expect("binds");
        for attached in
            [None, Some(OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").expect("binds")))]
        {
            let mut stream = UnixStream::connect(folder.socket()).expect("connects");
            send_listener(&stream, &listener());
            let mut received = waiting.receive(LONG, || false).expect("arrives");
            match attached {
                None => stream.write_all(b"go\n").expect("said"),
                Some(other) => Conversation::new(stream.try_clone().expect("another handle"))
                    .and_then(|mut conversation| conversation.say_with(GO, &[other.as_fd()]))
                    .expect("said"),
            }
            assert_eq!(received.predecessor.ready(|| false).expect("go"), (None, None));
            stream.write_all(b"yours\n").expect("said");
            received.predecessor.accepting(|| false).expect("yours");
        }
    }

    #[test]
    fn a_successor_that_dies_is_an_error_and_not_a_handover() {
        let folder = Folder::new("dies");
        for is_ready in [false, true] {
            let waiting = SuccessorSocket::bind(&folder.socket(), None).expect("binds");
            let running = running(&folder.socket(), Patience::default());
            let mut received = waiting.receive(LONG, || false).expect("arrives");
            if is_ready {
                received.predecessor.ready(|| false).expect("go");
            }
            drop(received);
            let error = running.join().expect("no panic").expect_err("the successor does not accept");
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_successor_that_is_late_hears_that_it_is() {
        let folder = Folder::new("late");
        let waiting = SuccessorSocket::bind(&folder.socket(), None).expect("binds");
        let late = running(&folder.socket(), Patience { ready: SHORT, accepting: LONG });
        let mut received = waiting.receive(LONG, || false).expect("arrives");
        let error = late.join().expect("no panic").expect_err("it did not wait");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(received.predecessor.ready(|| false).expect_err("no").kind(), ErrorKind::TimedOut);
        let later = running(&folder.socket(), Patience { ready: LONG, accepting: SHORT });
        let mut received = waiting.receive(LONG, || false).expect("arrives");
        received.predecessor.ready(|| false).expect("go");
        let error = later.join().expect("no panic").expect_err("it did not wait");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(received.predecessor.accepting(|| false).expect_err("no").kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_successor_takes_the_place_of_a_running_process_that_dies() {
        let folder = Folder::new("orphan");
        let waiting = SuccessorSocket::bind(&folder.socket(), None).expect("binds");
        let stream = UnixStream::connect(folder.socket()).expect("connects");
        send_listener(&stream, &listener());
        let mut received = waiting.receive(LONG, || false).expect("arrives");
        drop(stream);
        received.predecessor.ready(|| false).expect("no other process serves");
        received.predecessor.accepting(|| false).expect("no other process serves");
    }

    #[test]
    fn a_running_process_that_is_asked_to_end_takes_its_offer_back() {
        let folder = Folder::new("takes-back");
        let path = folder.socket();
        let waiting = SuccessorSocket::bind(&path, None).expect("binds");
        let running = thread::spawn({
            let path = path.clone();
            move || {
                offer(&path, &[&listener()], &tickets(), HandedState::default, Patience::default(), || true)
            }
        });
        let mut received = waiting.receive(LONG, || false).expect("arrives");
        let error = running.join().expect("no panic").expect_err("it ends");
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert_eq!(received.predecessor.ready(|| false).expect_err("no").kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn nobody_waiting_is_an_error_and_a_stale_socket_is_cleared_away() {
        let folder = Folder::new("no-process");
        let path = folder.socket();
        let offer =
            || offer(&path, &[&listener()], &tickets(), HandedState::default, Patience::default(), || false);
        assert_eq!(offer().expect_err("no process listens").kind(), ErrorKind::NotFound);
        drop(UnixListener::bind(&path).expect("binds"));
        assert!(path.exists());
        assert_eq!(offer().expect_err("no process listens").kind(), ErrorKind::ConnectionRefused);
        assert!(!path.exists());
        drop(UnixListener::bind(&path).expect("binds"));
        let waiting = SuccessorSocket::bind(&path, None).expect("takes the stale one's place");
        let error = SuccessorSocket::bind(&path, None).expect_err("one successor at a time");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let error = waiting.receive(Duration::ZERO, || false).expect_err("no process connected");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_waiting_successor_ends_when_asked_to() {
        let folder = Folder::new("asked");
        let waiting = SuccessorSocket::bind(&folder.socket(), None).expect("binds");
        let error = waiting.receive(LONG, || true).expect_err("no process connected");
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }
}
