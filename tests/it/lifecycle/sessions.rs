//! TLS sessions survive an upgrade: the successor resumes sessions of its predecessor.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use base64::Engine;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};

use crate::gateway::tls::wire;
use crate::harness::tls::{Authority, Identity};
use crate::harness::{Client, Folder, Gateway, Origin, get};

const NAME: &str = "api.example.com";
const HANDSHAKES: &str = "approov_gateway_tls_handshakes_total";

/// The files and the origin of a gateway with a TLS listener.
struct Edge {
    folder: Folder,
    authority: Authority,
    origin: Origin,
}

impl Edge {
    fn new() -> Self {
        let (folder, authority, origin) = (Folder::new(), Authority::new(), Origin::new());
        let own = Identity::new(&authority, &[NAME]);
        folder.write("own.pem", &own.chain);
        folder.write("own.key", &own.key);
        Self { folder, authority, origin }
    }

    fn config(&self, more_tls: &str) -> String {
        let certificates = "certificates: [ { certificate_file: own.pem, private_key_file: own.key } ]";
        let tls = format!("{{ address: \"127.0.0.1:0\", tls: {{ {certificates}{more_tls} }} }}");
        self.folder.config(&self.origin, "").replacen("{ address: \"127.0.0.1:0\" }", &tls, 1)
    }

    /// Starts a successor of `old` with this configuration and waits for the handover.
    fn upgrade(&self, old: &mut Gateway, config: &str) -> Gateway {
        let config = config.replacen("127.0.0.1:0", &old.address().to_string(), 1);
        let config = config.replacen("127.0.0.1:0", &old.admin_address().to_string(), 1);
        self.folder.write("next.yaml", &config);
        let mut new = self.folder.setup("next.yaml", &["run", "--upgrade"]).launch();
        new.wait_for_message("waiting for the sockets of the running process");
        old.signal("QUIT");
        new.wait_until_listening();
        assert_eq!(old.wait_for_exit().code(), Some(0));
        new
    }

    fn clients(&self) -> [Arc<ClientConfig>; 2] {
        [&TLS12, &TLS13].map(|version| wire::Client::trusting(&self.authority).version(version).build())
    }
}

/// The kind of the handshake of a connection with one request.
fn kind(gateway: &Gateway, client: &Arc<ClientConfig>) -> HandshakeKind {
    let mut connection = Client::try_connect_tls(gateway.address(), client.clone(), NAME, b"").unwrap();
    assert_eq!(connection.ask(&get("/")).status, 200);
    connection.tls().handshake_kind().unwrap()
}

#[test]
fn a_tls_session_survives_an_upgrade() {
    let edge = Edge::new();
    let config = edge.config("");
    let clients = edge.clients();
    let mut running = edge.folder.start(&config);
    for client in &clients {
        assert_eq!(kind(&running, client), HandshakeKind::Full);
    }
    // Sessions survive further upgrades, even if the client did not connect in between.
    let early = edge.clients();
    for client in &early {
        assert_eq!(kind(&running, client), HandshakeKind::Full);
    }
    for upgrade in 1..=2 {
        running = edge.upgrade(&mut running, &config);
        for client in &clients {
            assert_eq!(kind(&running, client), HandshakeKind::Resumed, "{upgrade}");
        }
        running.wait_for_count(HANDSHAKES, &[("result", "resumed")], 2.0);
    }
    for client in &early {
        assert_eq!(kind(&running, client), HandshakeKind::Resumed);
    }
    assert_eq!(running.metrics().sum(HANDSHAKES, &[("result", "full")]), 0.0);
}

#[test]
fn ticket_keys_from_a_file_survive_an_upgrade() {
    let edge = Edge::new();
    let mut bytes = [0; 80];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    std::fs::write(edge.folder.path("ticket.key"), bytes).unwrap();
    let (shared, own) = (edge.config(", ticket_keys: [ticket.key]"), edge.config(""));
    let mut running = edge.folder.start(&shared);
    let clients = edge.clients();
    for client in &clients {
        assert_eq!(kind(&running, client), HandshakeKind::Full);
    }
    running = edge.upgrade(&mut running, &shared);
    for client in &clients {
        assert_eq!(kind(&running, client), HandshakeKind::Resumed);
    }
    // The keys come from the file. Without it the sessions are not resumed, although a handover passes
    // keys too.
    running = edge.upgrade(&mut running, &own);
    for client in &clients {
        assert_eq!(kind(&running, client), HandshakeKind::Full);
    }
    running = edge.upgrade(&mut running, &own);
    for client in &clients {
        assert_eq!(kind(&running, client), HandshakeKind::Resumed);
    }
}

#[test]
fn a_successor_that_requires_certificates_resumes_no_earlier_session() {
    let edge = Edge::new();
    edge.folder.write("clients.pem", &Authority::named("clients").pem);
    let mut running = edge.folder.start(&edge.config(""));
    let clients = edge.clients();
    for client in &clients {
        assert_eq!(kind(&running, client), HandshakeKind::Full);
    }
    let demanding = edge.config(", client_certificates: { mode: optional, ca_file: clients.pem }");
    running = edge.upgrade(&mut running, &demanding);
    for client in &clients {
        assert_eq!(kind(&running, client), HandshakeKind::Full);
    }
}

#[test]
fn a_predecessor_without_ticket_keys_can_be_replaced() {
    let edge = Edge::new();
    let config = edge.config("");
    let mut old = edge.folder.start(&config);
    let clients = edge.clients();
    assert_eq!(kind(&old, &clients[0]), HandshakeKind::Full);
    // The test forwards the messages of both processes, without the attached descriptors.
    let successor_s = edge.folder.path("next.sock");
    let next =
        config.replace(&edge.folder.path("sock").display().to_string(), &successor_s.display().to_string());
    let next = next.replacen("127.0.0.1:0", &old.address().to_string(), 1);
    edge.folder.write("next.yaml", next.replacen("127.0.0.1:0", &old.admin_address().to_string(), 1));
    let mut new = edge.folder.setup("next.yaml", &["run", "--upgrade"]).launch();
    new.wait_for_message("waiting for the sockets of the running process");
    let waiting = UnixListener::bind(edge.folder.path("sock")).unwrap();
    old.signal("QUIT");
    let (mut from_old, _) = waiting.accept().unwrap();
    let mut to_new = UnixStream::connect(successor_s).unwrap();
    let (addresses, sockets) = receive(&from_old, 256);
    send(&to_new, &addresses, &sockets);
    for words in [["ready\n", "go\n"], ["accepting\n", "yours\n"]] {
        let [said, answered] = words.map(str::as_bytes);
        assert_eq!(exactly(&mut to_new, said.len()), said);
        from_old.write_all(said).unwrap();
        assert_eq!(exactly(&mut from_old, answered.len()), answered);
        to_new.write_all(answered).unwrap();
    }
    new.wait_until_listening();
    assert_eq!(old.wait_for_exit().code(), Some(0));
    new.wait_for_message("the ticket keys of the running process were not handed over");
    for client in &clients {
        assert_eq!(kind(&new, client), HandshakeKind::Full);
        assert_eq!(kind(&new, client), HandshakeKind::Resumed);
    }
}

#[test]
fn ticket_keys_go_to_the_successor_only_and_into_no_log() {
    let edge = Edge::new();
    edge.folder.write("gateway.yaml", edge.config(""));
    let old = edge.folder.setup("gateway.yaml", &["run"]).env("RUST_LOG", "trace").start();
    let waiting = UnixListener::bind(edge.folder.path("sock")).unwrap();
    old.signal("QUIT");
    let (mut successor, _) = waiting.accept().unwrap();
    let (_, sockets) = receive(&successor, 256);
    assert_eq!(sockets.len(), 2);
    successor.write_all(b"ready\n").unwrap();
    let (word, mut attached) = receive(&successor, 3);
    // The state of the process comes first, and the keys last.
    assert_eq!((word.as_slice(), attached.len()), (&b"go\n"[..], 2));
    let mut keys = Vec::new();
    std::fs::File::from(attached.remove(1)).read_to_end(&mut keys).unwrap();
    // The message has a version, the time of rotation and one key.
    assert_eq!(keys.len(), 1 + 8 + 32);
    drop(successor);
    old.wait_for_message("SIGQUIT: no successor took the sockets");
    let log = [old.stdout(), old.stderr()].concat();
    let log = String::from_utf8_lossy(&log).to_lowercase();
    let key = &keys[9..];
    let hexadecimal: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(key).to_lowercase();
    for shown in [&hexadecimal[..16], &base64[..16], format!("{:?}", &key[..6]).trim_matches(['[', ']'])] {
        assert!(!log.contains(shown), "{shown} is in the log");
    }
}

/// Receives up to `room` bytes and the descriptors that come with them.
fn receive(stream: &UnixStream, room: usize) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; room];
    let received =
        recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::empty()).unwrap();
    bytes.truncate(received.bytes);
    let descriptors = control.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    (bytes, descriptors.flatten().collect())
}

fn send(stream: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) {
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let bytes = [IoSlice::new(bytes)];
    sendmsg(stream, &bytes, &mut control, SendFlags::empty()).unwrap();
}

fn exactly(stream: &mut UnixStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}
