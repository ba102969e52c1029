//! Session resumption: after reloads, in other processes, after a handover of keys; and sessions that
//! are not resumed.

use std::sync::Arc;

use rustls::client::TicketRequest;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig};

use super::wire::{Client, connect};
use super::{Folder, Identity, certificates, tickets};
use crate::harness::tls::Authority;

const NAME: &str = "api.example.com";

fn kind(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> HandshakeKind {
    let handshake = connect(server, client, NAME);
    let (client, server) = (handshake.client.expect("the client"), handshake.server.expect("the server"));
    assert_eq!(client.kind, server.kind);
    client.kind
}

/// The folder of a listener, and its `tls` settings.
fn listener(authority: &Authority) -> (Folder, String) {
    let folder = Folder::new();
    let tls = certificates(&[folder.identity("own", &Identity::new(authority, &[NAME]))]);
    (folder, tls)
}

fn clients(authority: &Authority) -> [Arc<ClientConfig>; 2] {
    [&TLS12, &TLS13].map(|version| Client::trusting(authority).version(version).build())
}

#[test]
fn a_returning_client_resumes_its_session() {
    let authority = Authority::new();
    let (folder, tls) = listener(&authority);
    let server = folder.server(&tls, &tickets());
    for client in clients(&authority) {
        assert_eq!(kind(&server, &client), HandshakeKind::Full);
        for _ in 0..5 {
            assert_eq!(kind(&server, &client), HandshakeKind::Resumed);
        }
    }
}

/// Number of connections that a client resumes with the tickets of one handshake.
fn resumptions(server: &Arc<ServerConfig>, client: ClientConfig) -> usize {
    let client = Arc::new(client);
    assert_eq!(kind(server, &client), HandshakeKind::Full);
    // This server resumes sessions and issues no new tickets.
    let mut stingy = ServerConfig::clone(server);
    (stingy.send_tls13_tickets, stingy.max_tls13_tickets) = (0, 0);
    let stingy = Arc::new(stingy);
    (0..100).take_while(|_| kind(&stingy, &client) == HandshakeKind::Resumed).count()
}

#[test]
fn a_handshake_gives_the_number_of_tickets_that_the_client_requests() {
    let authority = Authority::new();
    let (folder, tls) = listener(&authority);
    let server = folder.server(&tls, &tickets());
    let client = || Arc::unwrap_or_clone(Client::trusting(&authority).version(&TLS13).build());
    assert_eq!(resumptions(&server, client()), 2);
    for (asked, given) in [(0, 0), (1, 1), (3, 3), (200, 4)] {
        let mut client = client();
        client.send_ticket_request =
            Some(TicketRequest { new_session_count: asked, resumption_count: asked });
        assert_eq!(resumptions(&server, client), given, "{asked} tickets requested");
    }
}

#[test]
fn early_data_is_not_offered() {
    let authority = Authority::new();
    let (folder, tls) = listener(&authority);
    let server = folder.server(&tls, &tickets());
    let mut client = Arc::unwrap_or_clone(Client::trusting(&authority).version(&TLS13).build());
    client.enable_early_data = true;
    let client = Arc::new(client);
    assert_eq!(kind(&server, &client), HandshakeKind::Full);
    let mut next = ClientConnection::new(client.clone(), NAME.try_into().unwrap()).unwrap();
    assert!(next.early_data().is_none());
    assert_eq!(kind(&server, &client), HandshakeKind::Resumed);
}

#[test]
fn a_reload_with_a_renewed_certificate_keeps_sessions() {
    let authority = Authority::new();
    let (folder, tls) = listener(&authority);
    let own = tickets();
    let before = folder.server(&tls, &own);
    let clients = clients(&authority);
    for client in &clients {
        assert_eq!(kind(&before, client), HandshakeKind::Full);
    }
    folder.identity("own", &Identity::new(&authority, &[NAME]));
    let after = folder.server(&tls, &own);
    for client in &clients {
        assert_eq!(kind(&after, client), HandshakeKind::Resumed);
    }
    let other_process = folder.server(&tls, &tickets());
    for client in &clients {
        assert_eq!(kind(&other_process, client), HandshakeKind::Full);
    }
}

#[test]
fn a_successor_with_the_ticket_keys_of_its_predecessor_resumes_sessions() {
    let authority = Authority::new();
    let (folder, tls) = listener(&authority);
    let own = tickets();
    let before = folder.server(&tls, &own);
    let of_successor = tickets();
    let after = folder.server(&tls, &of_successor);
    assert!(of_successor.adopt(&own.export(), 0));
    for client in clients(&authority) {
        assert_eq!(kind(&before, &client), HandshakeKind::Full);
        assert_eq!(kind(&after, &client), HandshakeKind::Resumed);
    }
}

#[test]
fn processes_with_the_same_ticket_keys_resume_each_other_s_sessions_while_keys_rotate() {
    let authority = Authority::new();
    let (folder, tls) = listener(&authority);
    for (name, seed) in [("old", 1), ("new", 2)] {
        let mut bytes = [0; 80];
        aws_lc_rs::rand::fill(&mut bytes).unwrap();
        bytes[0] = seed;
        folder.write(name, bytes);
    }
    let server = |keys: &str| folder.server(&format!("{tls}, ticket_keys: [{keys}]"), &tickets());
    for (first, second, expected) in [
        ("old", "old", HandshakeKind::Resumed),
        ("old", "new, old", HandshakeKind::Resumed),
        ("new, old", "old, new", HandshakeKind::Resumed),
        ("new, old", "new", HandshakeKind::Resumed),
        ("new, old", "old", HandshakeKind::Full),
        ("old", "new", HandshakeKind::Full),
    ] {
        for client in clients(&authority) {
            assert_eq!(kind(&server(first), &client), HandshakeKind::Full);
            assert_eq!(kind(&server(second), &client), expected, "[{first}] then [{second}]");
        }
    }
}

#[test]
fn a_listener_for_other_names_does_not_resume_a_session() {
    let authority = Authority::new();
    let (folder, tls) = listener(&authority);
    let own = tickets();
    let server = folder.server(&tls, &own);
    let (elsewhere, _) = listener(&authority);
    let list = [elsewhere.identity("own", &Identity::new(&authority, &[NAME, "www.example.com"]))];
    let other = elsewhere.server(&certificates(&list), &own);
    for client in clients(&authority) {
        assert_eq!(kind(&server, &client), HandshakeKind::Full);
        assert_eq!(kind(&other, &client), HandshakeKind::Full);
        assert_eq!(kind(&other, &client), HandshakeKind::Resumed);
    }
}
