//! TLS to origins: trusted authorities, names, key exchange and session resumption.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig, SupportedProtocolVersion};

use super::{Reloadable, config, get};
use crate::harness::tls::{Authority, Identity};
use crate::harness::{Folder, Origin, Setup, Then};

fn server(authority: &Authority, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let identity = Identity::new(authority, &["localhost"]);
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(identity.chain.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
        )
        .unwrap();
    Arc::new(config)
}

#[test]
fn the_key_exchange_with_an_origin_is_post_quantum() {
    let authority = Authority::new();
    let origin = Origin::with_tls(server(&authority, &[&TLS13, &TLS12]));
    let gateway = Setup::before(&origin).file("SSL_CERT_FILE", &authority.pem).start();
    gateway.assert_serves(&origin);
    let [handshake] = &origin.handshakes()[..] else { panic!("{:?}", origin.handshakes()) };
    assert_eq!(handshake.version, ProtocolVersion::TLSv1_3);
    assert_eq!(handshake.group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(handshake.kind, HandshakeKind::Full, "without HelloRetryRequest");
    assert_eq!(handshake.server_name.as_deref(), Some("localhost"));
    assert!(!handshake.has_client_certificate);
}

#[test]
fn sessions_are_resumed_in_both_versions() {
    for version in [&TLS13, &TLS12] {
        let authority = Authority::new();
        let origin = Origin::scripted_with_tls(server(&authority, &[version]), |exchange| {
            exchange.body()?;
            exchange.answer("200 OK", "hello")?;
            Ok(Then::Close)
        });
        let gateway = Setup::before(&origin).file("SSL_CERT_FILE", &authority.pem).start();
        for _ in 0..4 {
            gateway.assert_serves(&origin);
        }
        let kinds: Vec<_> = origin.handshakes().iter().map(|handshake| handshake.kind).collect();
        assert_eq!(kinds.len(), 4, "{version:?}");
        assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{version:?}: {kinds:?}");
    }
}

#[test]
fn an_origins_own_authority_replaces_the_public_ones() {
    let (own, system) = (Authority::named("own"), Authority::named("system"));
    let folder = Arc::new(Folder::new());
    let file = folder.write("ca.pem", &own.pem);
    for (authority, has_file, status) in
        [(&own, true, 200), (&system, true, 502), (&own, false, 502), (&system, false, 200)]
    {
        let origin = Origin::with_tls(authority.server_named("localhost"));
        let tls =
            if has_file { format!(", tls: {{ ca_file: \"{}\" }}", file.display()) } else { String::new() };
        let config = config(&format!("domain: \"{}\"{tls}", origin.url()), "");
        let gateway = Setup::bare().config(&config).file("SSL_CERT_FILE", &system.pem).start();
        assert_eq!(gateway.ask(&get("/")).status, status);
        assert_eq!(origin.requests().len(), usize::from(status == 200));
    }
}

#[test]
fn the_certificate_is_verified_against_the_configured_server_name() {
    let authority = Authority::new();
    for (name, status) in [("api.internal", 200), ("localhost", 502)] {
        let origin = Origin::with_tls(authority.server_named(name));
        let config =
            config(&format!("domain: \"{}\", tls: {{ server_name: api.internal }}", origin.url()), "");
        let gateway = Setup::bare().config(&config).file("SSL_CERT_FILE", &authority.pem).start();
        assert_eq!(gateway.ask(&get("/")).status, status, "{name}");
        if status == 200 {
            assert_eq!(origin.handshakes()[0].server_name.as_deref(), Some("api.internal"));
            assert_eq!(origin.only_request().values("host"), [origin.authority()]);
        }
    }
}

#[test]
fn a_pooled_tls_connection_that_the_origin_closed_costs_no_request() {
    let authority = Authority::new();
    // The origin closes its first connection when the second request arrives on it.
    let origin = Origin::scripted_with_tls(authority.server_named("localhost"), |exchange| {
        exchange.body()?;
        if exchange.request.connection == 0 && exchange.request.target != "/1" {
            return Ok(Then::Close);
        }
        exchange.answer("200 OK", "hello")
    });
    let gateway = Setup::before(&origin).file("SSL_CERT_FILE", &authority.pem).start();
    assert_eq!(gateway.ask(&get("/1")).text(), "hello");
    assert_eq!(gateway.ask(&get("/2")).text(), "hello");
    assert_eq!(origin.targets(), ["/1", "/2", "/2"]);
}

#[test]
fn an_answer_without_framing_and_without_close_notify_is_not_a_clean_end() {
    let authority = Authority::new();
    let origin = Origin::scripted_with_tls(authority.server_named("localhost"), |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonly a part of it")?;
        Ok(Then::Close)
    });
    let gateway = Setup::before(&origin).file("SSL_CERT_FILE", &authority.pem).start();
    let mut client = gateway.connect();
    client.send(get("/").bytes());
    assert!(client.try_response_to("GET").is_err(), "the answer may have been truncated");
}

#[test]
fn a_reload_takes_a_changed_authority() {
    let (old, new) = (Authority::named("old"), Authority::named("new"));
    let folder = Arc::new(Folder::new());
    folder.write("ca.pem", &old.pem);
    let origin = Origin::with_tls(new.server_named("localhost"));
    let config = config(&format!("domain: \"{}\", tls: {{ ca_file: ca.pem }}", origin.url()), "");
    let mut running = Reloadable::start(&folder, &config);
    assert_eq!(running.gateway.ask(&get("/")).status, 502);
    folder.write("ca.pem", &new.pem);
    running.reload(&config);
    assert_eq!(running.gateway.ask(&get("/")).status, 200);
}
