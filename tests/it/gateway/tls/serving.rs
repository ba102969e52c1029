//! Clients of a TLS listener.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio_rustls::TlsConnector;

use super::wire::Client as Trust;
use super::{Folder, Identity, certificates};
use crate::harness::tls::Authority;
use crate::harness::{
    Client, Gateway, Http2Client, Message, Origin, Setup, config_before, eventually, get, has_program,
    http2_runtime, run, run_with_input, tokens,
};

pub const NAME: &str = "api.example.com";

/// A gateway with a TLS listener: its files, the authority of its certificates, and its origin.
pub struct Edge {
    pub folder: Folder,
    pub authority: Authority,
    pub origin: Origin,
}

impl Edge {
    pub fn new() -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        folder.identity("own", &Identity::new(&authority, &[NAME]));
        folder.identity("other", &Identity::new(&authority, &["*.other.test"]));
        Self { folder, authority, origin: Origin::new() }
    }

    /// A listener with two certificates, further `tls` settings, and further settings.
    pub fn config(&self, more_tls: &str, more: &str) -> String {
        let named = |name: &str| format!("{{ certificate_file: {name}.pem, private_key_file: {name}.key }}");
        let tls = certificates(&[named("own"), named("other")]);
        config_before(
            &self.origin,
            &format!("listeners: [ {{ address: \"127.0.0.1:0\", tls: {{ {tls}{more_tls} }}{more} }} ]\n"),
        )
    }

    pub fn start(&self, config: &str) -> Gateway {
        let path = self.folder.write("gateway.yaml", config);
        Setup::bare()
            .without("GATEWAY_LISTEN")
            .env("GATEWAY_THREADS", "2")
            .env("GATEWAY_CONFIG", path.to_str().unwrap())
            .start()
    }

    pub fn trust(&self) -> Trust {
        Trust::trusting(&self.authority)
    }
}

pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Client {
    Client::try_connect_tls(address, config.clone(), name, b"").unwrap()
}

pub fn http2(address: SocketAddr, config: &Arc<ClientConfig>, name: &'static str) -> Http2Client {
    let runtime = http2_runtime();
    let stream = runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        TlsConnector::from(config.clone()).connect(name.try_into().unwrap(), tcp).await.unwrap()
    });
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    Http2Client::over(runtime, stream)
}

#[test]
fn requests_over_tls_are_verified_and_forwarded_as_https() {
    let edge = Edge::new();
    let gateway = edge.start(&edge.config("", ""));
    let config = edge.trust().alpn(&["http/1.1"]).build();
    let mut client = connect(gateway.address(), &config, NAME);
    for round in 0..3 {
        assert_eq!(client.ask(&get("/one")).text(), "hello", "{round}");
        assert_eq!(client.ask(&Message::get("/refused")).status, 401);
    }
    let body = vec![b'b'; 300_000];
    assert_eq!(client.ask(&Message::post("/body", body.clone()).token(&tokens::valid())).status, 200);
    let mut client = http2(gateway.address(), &edge.trust().alpn(&["h2", "http/1.1"]).build(), NAME);
    assert_eq!(client.ask(&get("/two")).text(), "hello");
    assert_eq!(client.ask(&Message::post("/body", body.clone()).token(&tokens::valid())).status, 200);
    assert_eq!(client.ask(&Message::get("/refused")).status, 401);
    for request in edge.origin.requests() {
        assert_eq!(request.values("x-forwarded-proto"), ["https"], "{}", request.target);
        assert_eq!(request.values("x-forwarded-for"), ["127.0.0.1"]);
        assert!(request.target != "/body" || request.body == body);
    }
    assert_eq!(edge.origin.requests().len(), 6);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/two");
    let expected = (&"2".into(), &"1.3".into());
    assert_eq!((&entry["network.protocol.version"], &entry["tls.protocol.version"]), expected);
}

#[test]
fn the_certificate_matches_the_requested_name() {
    let edge = Edge::new();
    let gateway = edge.start(&edge.config(", unknown_name: reject", ""));
    let config = edge.trust().build();
    assert_eq!(connect(gateway.address(), &config, NAME).ask(&get("/")).status, 200);
    assert_eq!(connect(gateway.address(), &config, "a.other.test").ask(&get("/")).status, 200);
    assert!(Client::try_connect_tls(gateway.address(), config, "unknown.test", b"").is_err());
    gateway.wait_for_count("approov_gateway_tls_handshakes_total", &[("result", "failed")], 1.0);
    gateway.wait_for_count("approov_gateway_tls_handshakes_total", &[("result", "full")], 2.0);
}

#[test]
fn sessions_are_resumed_on_any_worker_and_counted() {
    let edge = Edge::new();
    let gateway = edge.start(&edge.config("", ""));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let config = edge.trust().version(version).build();
        let kinds: Vec<_> = (0..8)
            .map(|_| {
                let mut client = connect(gateway.address(), &config, NAME);
                assert_eq!(client.ask(&get("/")).status, 200);
                client.tls().handshake_kind().unwrap()
            })
            .collect();
        assert_eq!(kinds[0], HandshakeKind::Full, "{version:?}");
        assert_eq!(kinds[1..], [HandshakeKind::Resumed; 7], "{version:?}");
    }
    gateway.wait_for_count("approov_gateway_tls_handshakes_total", &[("result", "resumed")], 14.0);
}

#[test]
fn a_reload_takes_a_new_certificate_and_keeps_open_connections() {
    let edge = Edge::new();
    let gateway = edge.start(&edge.config("", ""));
    let config = edge.trust().build();
    let mut open = connect(gateway.address(), &config, NAME);
    assert_eq!(open.ask(&get("/")).status, 200);
    let leaf = |client: &Client| client.tls().peer_certificates().unwrap()[0].to_vec();
    let before = leaf(&open);
    let expiry = |gateway: &Gateway| {
        let labels = [("listener", "127.0.0.1:0"), ("certificate", NAME)];
        gateway.metrics().sum("approov_gateway_certificate_expiry_timestamp_seconds", &labels)
    };
    let expiry_before = expiry(&gateway);
    assert!(expiry_before > 2e9, "{expiry_before}");
    let renewed = Identity::with(&edge.authority, &[NAME], |params| {
        params.not_after = rcgen::date_time_ymd(2099, 1, 1);
    });
    edge.folder.identity("own", &renewed);
    gateway.signal("HUP");
    gateway.wait_for_message("configuration reloaded, generation 2");
    assert_eq!(open.ask(&get("/")).status, 200);
    let fresh = connect(gateway.address(), &edge.trust().build(), NAME);
    assert_ne!(leaf(&fresh), before);
    assert_ne!(expiry(&gateway), expiry_before);
    // A session from before the reload is resumed, because the names are unchanged.
    let resumed = connect(gateway.address(), &config, NAME);
    assert_eq!(resumed.tls().handshake_kind(), Some(HandshakeKind::Resumed));
    // A reload with a private key that does not match changes nothing.
    edge.folder.write("own.key", Identity::new(&edge.authority, &[NAME]).key);
    gateway.signal("HUP");
    gateway.wait_for_message("the private key does not fit the certificate");
    assert_eq!(leaf(&connect(gateway.address(), &edge.trust().build(), NAME)), leaf(&fresh));
}

#[test]
fn required_client_certificates_are_verified_and_their_subject_is_logged() {
    let edge = Edge::new();
    let clients = Authority::named("clients");
    edge.folder.write("clients.pem", &clients.pem);
    let demand = ", client_certificates: { mode: required, ca_file: clients.pem }";
    let gateway = edge.start(&edge.config(demand, ""));
    let known = Identity::with(&clients, &["device.test"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let mut client = connect(gateway.address(), &edge.trust().identity(&known).build(), NAME);
    assert_eq!(client.ask(&get("/known")).status, 200);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/known");
    assert_eq!(entry["tls.client.subject"], "CN=leaf");
    let stranger = Identity::new(&edge.authority, &["device.test"]);
    for trust in [edge.trust(), edge.trust().identity(&stranger)] {
        // In TLS 1.3 the client learns of the refusal at its first read.
        let refused = Client::try_connect_tls(gateway.address(), trust.build(), NAME, b"")
            .and_then(|mut client| client.try_send(get("/stranger").bytes()).map(|()| client))
            .and_then(|mut client| client.try_response_to("GET").map(drop));
        assert!(refused.is_err());
    }
    assert_eq!(edge.origin.requests().len(), 1);
}

#[test]
fn clear_text_on_a_tls_listener_is_refused() {
    let edge = Edge::new();
    let gateway = edge.start(&edge.config("", ""));
    let mut client = Client::connect(gateway.address());
    client.send(get("/").bytes());
    let answer = client.read_to_end();
    assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
    assert_eq!(edge.origin.bytes(), 0);
    let mut client = connect(gateway.address(), &edge.trust().build(), NAME);
    assert_eq!(client.ask(&get("/")).status, 200);
}

#[test]
fn strict_transport_security_is_in_every_answer_over_tls() {
    let edge = Edge::new();
    let more = ", hsts: { max_age: 24h, include_subdomains: true } }, { address: \"127.0.0.2:0\"";
    let gateway = edge.start(&edge.config("", more));
    let expected = ["max-age=86400; includeSubDomains"];
    let mut client = connect(gateway.address(), &edge.trust().build(), NAME);
    for (message, status) in [(get("/"), 200), (Message::get("/"), 401)] {
        let response = client.ask(&message);
        assert_eq!(
            (response.status, response.values("strict-transport-security")),
            (status, expected.to_vec())
        );
    }
}

#[test]
fn a_clear_text_request_is_redirected_to_https_with_host_path_and_query() {
    let origin = Origin::new();
    let config =
        config_before(&origin, "listeners: [ { address: \"127.0.0.1:0\", redirect_to_https: true } ]\n");
    let gateway = Setup::bare().without("GATEWAY_LISTEN").config(&config).start();
    let mut client = gateway.connect();
    for (host, target, location) in [
        ("api.example.com", "/a%20b?c=d", "https://api.example.com/a%20b?c=d"),
        ("api.example.com:8080", "/", "https://api.example.com/"),
        ("[::1]:8080", "//evil.test/x", "https://[::1]//evil.test/x"),
        ("[::1]", "/", "https://[::1]/"),
    ] {
        let response = client.ask(&get(target).host(host));
        assert_eq!((response.status, response.values("location")), (308, vec![location]), "{host}");
    }
    assert_eq!(client.ask(&Message::post("/", "body").token(&tokens::valid())).status, 308);
    assert_eq!(origin.bytes(), 0);
    // The client's own value is ignored.
    assert_eq!(client.ask(&get("/").field("x-forwarded-proto", "https")).status, 308);
}

#[test]
fn tls_1_2_can_be_disabled() {
    let edge = Edge::new();
    let gateway = edge.start(&edge.config(", min_version: 1.3", ""));
    let old = edge.trust().version(&rustls::version::TLS12).build();
    assert!(Client::try_connect_tls(gateway.address(), old, NAME, b"").is_err());
    let mut client = connect(gateway.address(), &edge.trust().build(), NAME);
    assert_eq!(client.ask(&get("/")).status, 200);
    assert_eq!(client.tls().protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn hundreds_of_unfinished_handshakes_do_not_stop_honest_requests() {
    let edge = Edge::new();
    let gateway = edge.start(&edge.config("", ""));
    let silent: Vec<_> = (0..500).map(|_| std::net::TcpStream::connect(gateway.address()).unwrap()).collect();
    let mut client = connect(gateway.address(), &edge.trust().build(), NAME);
    assert_eq!(client.ask(&get("/")).status, 200);
    drop(silent);
}

#[test]
fn curl_speaks_both_versions_of_http_and_openssl_resumes() {
    if !has_program("curl") || !has_program("openssl") {
        return;
    }
    let edge = Edge::new();
    let gateway = edge.start(&edge.config("", ""));
    let root = edge.folder.write("root.pem", &edge.authority.pem);
    let root = root.to_str().unwrap();
    let address = gateway.address();
    for (version, shown) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            version,
            "--cacert",
            root,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{http_version}",
        ])
        .args(["--resolve", &format!("{NAME}:{}:127.0.0.1", address.port())])
        .args(["-H", &format!("Approov-Token: {}", tokens::valid())])
        .arg(format!("https://{NAME}:{}/curl", address.port()));
        let exit = run(&mut curl);
        assert_eq!(exit.stdout, format!("200 {shown}"), "{exit:?}");
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let session = edge.folder.path("session");
        let session = session.to_str().unwrap();
        let openssl = |rest: &[&str]| {
            let mut command = Command::new("openssl");
            command
                .args(["s_client", "-connect", &address.to_string(), "-servername", NAME])
                .args(["-CAfile", root, "-verify_return_error", version, "-ign_eof"])
                .args(rest);
            let request = Message::get("/").field("Connection", "close").bytes();
            run_with_input(&mut command, &request).stdout
        };
        let first = openssl(&["-sess_out", session]);
        assert!(first.contains("HTTP/1.1 401"), "{first}");
        let second = openssl(&["-sess_in", session]);
        assert!(second.contains("Reused, TLSv1."), "{version}: {second}");
    }
    eventually("two resumed handshakes", || {
        let resumed = gateway.metrics().sum("approov_gateway_tls_handshakes_total", &[("result", "resumed")]);
        (resumed >= 2.0).then_some(())
    });
}
