//! Routes with conditions on the client certificate.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use approov_gateway::tls::Certificate;
use rcgen::{DistinguishedName, DnType, ExtendedKeyUsagePurpose, SanType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};

use super::Identity;
use super::serving::{Edge, NAME, connect, http2};
use crate::harness::tls::Authority;
use crate::harness::{Client, Gateway, Message, Setup, eventually, get, tokens};

const ROUTES: &str = "routes:
  - { name: till, path: /tills/, client_certificate: { subject: [\"CN=till 7,O=Example\\\\, Inc.\"] } }
  - { name: no-till, path: /tills/, policy: deny }
  - { name: partner, path: /partners/, client_certificate: any, policy: open }
  - { name: guest, path: /partners/ }
  - { name: dns, path: /dns, client_certificate: { dns: [TILL-7.example.com, till-8.example.com] } }
  - { name: uri, path: /uri, client_certificate: { uri: [\"spiffe://example.com/till/7\"] } }
  - { name: email, path: /email, client_certificate: { email: [till@example.com] } }
  - { name: both, path: /both, client_certificate: { dns: [till-7.example.com], uri: [\"spiffe://example.com/till/8\"] } }
  - { name: pinned, path: /pinned, client_certificate: { sha256: [FINGERPRINT] } }
";

fn device(authority: &Authority, number: u8, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Identity {
    Identity::with(authority, &[], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
        params.distinguished_name.push(DnType::CommonName, format!("till {number}"));
        params.subject_alt_names = vec![
            SanType::URI(format!("spiffe://example.com/till/{number}").try_into().unwrap()),
            SanType::Rfc822Name("till@example.com".try_into().unwrap()),
            SanType::DnsName(format!("Till-{number}.example.com").try_into().unwrap()),
        ];
        change(params);
    })
}

/// A listener that requests certificates of one authority, and routes.
struct Shop {
    edge: Edge,
    clients: Authority,
}

impl Shop {
    fn new() -> Self {
        let (edge, clients) = (Edge::new(), Authority::named("clients"));
        edge.folder.write("clients.pem", &clients.pem);
        Self { edge, clients }
    }

    fn device(&self, number: u8) -> Identity {
        device(&self.clients, number, |_| {})
    }

    fn config(&self, routes: &str) -> String {
        self.edge.config(", client_certificates: { mode: optional, ca_file: clients.pem }", "") + routes
    }

    fn start(&self, routes: &str) -> Gateway {
        self.edge.start(&self.config(routes))
    }

    fn client(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let trust = self.edge.trust();
        identity.map_or(self.edge.trust(), |identity| trust.identity(identity)).build()
    }

    fn connect(&self, gateway: &Gateway, identity: Option<&Identity>) -> Client {
        connect(gateway.address(), &self.client(identity), NAME)
    }
}

fn with_fingerprint_of(identity: &Identity) -> String {
    let der = CertificateDer::from_pem_slice(identity.chain.as_bytes()).unwrap();
    ROUTES.replace("FINGERPRINT", &Certificate::from_der(&der).unwrap().fingerprint.to_string())
}

#[test]
fn a_route_accepts_only_the_certificates_that_it_names() {
    let shop = Shop::new();
    let (seven, eight) = (shop.device(7), shop.device(8));
    let gateway = shop.start(&with_fingerprint_of(&seven));
    for (path, by_seven, by_eight, by_none) in [
        ("/tills/x", 200, 401, 401),
        ("/partners/x", 200, 200, 200),
        ("/dns", 200, 200, 404),
        ("/uri", 200, 404, 404),
        ("/email", 200, 200, 404),
        ("/both", 404, 404, 404),
        ("/pinned", 200, 404, 404),
    ] {
        for (identity, expected) in [(Some(&seven), by_seven), (Some(&eight), by_eight), (None, by_none)] {
            let before = shop.edge.origin.requests().len();
            let response = shop.connect(&gateway, identity).ask(&get(path));
            assert_eq!(response.status, expected, "{path}");
            let arrived = shop.edge.origin.requests().len() - before;
            assert_eq!(arrived, usize::from(expected == 200), "{path}");
        }
    }
    for (route, policy, verdict, count) in [
        ("till", "protect", "accepted", 1.0),
        ("no-till", "deny", "denied", 2.0),
        ("partner", "open", "open", 2.0),
        ("guest", "protect", "accepted", 1.0),
        ("none", "deny", "denied", 9.0),
    ] {
        gateway.wait_for_requests(&[("route", route), ("policy", policy), ("verdict", verdict)], count);
    }
    let denied = gateway.wait_for_entry(|entry| entry["approov.route"] == "no-till");
    assert_eq!(denied["tls.client.subject"], "CN=till 8,O=Example\\, Inc.");
}

#[test]
fn a_certificate_can_replace_a_token_or_be_required_with_it() {
    let shop = Shop::new();
    let seven = shop.device(7);
    let gateway = shop.start(&with_fingerprint_of(&seven));
    let (mut till, mut guest) = (shop.connect(&gateway, Some(&seven)), shop.connect(&gateway, None));
    assert_eq!(till.ask(&Message::get("/partners/x")).status, 200);
    assert_eq!(guest.ask(&Message::get("/partners/x")).status, 401);
    assert_eq!(till.ask(&Message::get("/tills/x")).status, 401);
    assert_eq!(till.ask(&Message::get("/tills/x").token(&tokens::wrongly_signed())).status, 401);
    assert_eq!(till.ask(&get("/tills/x")).status, 200);
    assert_eq!(shop.edge.origin.targets(), ["/partners/x", "/tills/x"]);
}

#[test]
fn resumed_sessions_and_http_2_keep_the_certificate() {
    let shop = Shop::new();
    let seven = shop.device(7);
    let gateway = shop.start(&with_fingerprint_of(&seven));
    for version in [&TLS12, &TLS13] {
        for (identity, expected) in [(Some(&seven), 200), (None, 401)] {
            let trust = shop.edge.trust().version(version);
            let client =
                identity.map_or(shop.edge.trust().version(version), |own| trust.identity(own)).build();
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let mut connection = connect(gateway.address(), &client, NAME);
                assert_eq!(connection.ask(&get("/tills/x")).status, expected, "{version:?} {kind:?}");
                assert_eq!(connection.tls().handshake_kind(), Some(kind), "{version:?}");
            }
        }
    }
    for (identity, expected) in [(Some(&seven), 200), (None, 401)] {
        let trust = shop.edge.trust().alpn(&["h2"]);
        let client = identity.map_or(shop.edge.trust().alpn(&["h2"]), |own| trust.identity(own)).build();
        let mut connection = http2(gateway.address(), &client, NAME);
        let pending: Vec<_> = (0..10).map(|_| connection.send(&get("/tills/x"))).collect();
        for pending in pending {
            assert_eq!(connection.response(pending).status, expected);
        }
    }
}

#[test]
fn a_certificate_that_expires_on_an_open_connection_is_not_accepted() {
    let shop = Shop::new();
    let gateway = shop.start(ROUTES.split("  - { name: dns").next().unwrap());
    let until = SystemTime::now() + Duration::from_secs(8);
    let short = device(&shop.clients, 7, |params| params.not_after = until.into());
    let mut connection = shop.connect(&gateway, Some(&short));
    assert_eq!(connection.ask(&get("/tills/x")).status, 200);
    let refused = eventually("the end of the certificate", || {
        // The number of requests on a connection is limited.
        thread::sleep(Duration::from_millis(50));
        let status = connection.ask(&get("/tills/x")).status;
        (status != 200).then_some(status)
    });
    assert!(SystemTime::now() >= until - Duration::from_secs(1) && refused == 401, "{refused}");
}

#[test]
fn a_reload_applies_to_the_next_request_of_an_open_connection() {
    let shop = Shop::new();
    let seven = shop.device(7);
    let routes = |number: u8| {
        format!("routes: [ {{ path: /, client_certificate: {{ dns: [till-{number}.example.com] }} }} ]\n")
    };
    let gateway = shop.start(&routes(7));
    let mut connection = shop.connect(&gateway, Some(&seven));
    assert_eq!(connection.ask(&get("/")).status, 200);
    shop.edge.folder.write("gateway.yaml", shop.config(&routes(8)));
    gateway.signal("HUP");
    gateway.wait_for_message("configuration reloaded, generation 2");
    assert_eq!(connection.ask(&get("/")).status, 404);
    assert_eq!(shop.edge.origin.requests().len(), 1);
}

#[test]
fn header_fields_cannot_replace_a_certificate() {
    let shop = Shop::new();
    let routes = "routes: [ { path: /, client_certificate: any } ]\n";
    let plain = "listeners: [ { address: \"127.0.0.1:0\" }, ";
    let gateway = shop.edge.start(&shop.config(routes).replace("listeners: [ ", plain));
    // The first listener is in clear text.
    let pem = shop.device(7).chain.replace('\n', " ");
    let subject = "CN=till 7,O=Example\\, Inc.";
    for field in
        ["X-Client-Cert", "X-SSL-Client-Cert", "X-Forwarded-Client-Cert", "Client-Cert", "X-Client-DN"]
    {
        for value in [&*pem, subject, "SUCCESS", &format!("Subject=\"{subject}\"")] {
            assert_eq!(gateway.ask(&get("/").field(field, value)).status, 404, "{field}");
        }
    }
    assert_eq!(shop.edge.origin.bytes(), 0);
}

#[test]
fn check_shows_the_certificates_of_a_route_and_explains_with_a_certificate() {
    let shop = Shop::new();
    let seven = shop.device(7);
    let config = shop.edge.folder.write("gateway.yaml", shop.config(&with_fingerprint_of(&seven)));
    shop.edge.folder.write("till.pem", &seven.chain);
    let certificate = shop.edge.folder.path("till.pem");
    let check = |arguments: &[&str]| {
        let arguments = [&["check", "-c", config.to_str().unwrap()], arguments].concat();
        Setup::bare().without("GATEWAY_LISTEN").arguments(&arguments).run_to_exit()
    };
    let summary = check(&[]);
    let line =
        "route 1        /tills/* with a client certificate (subject CN=till 7,O=Example\\, Inc.): protect";
    assert!(summary.stdout.contains(line), "{}{}", summary.stdout, summary.stderr);
    assert!(!summary.stdout.contains("warning        "), "{}", summary.stdout);
    let with = ["--client-certificate", certificate.to_str().unwrap()];
    let (without, with) = (
        check(&["--explain", "GET", "/tills/x"]),
        check(&[&["--explain", "GET", "/tills/x"], &with[..]].concat()),
    );
    assert!(without.stdout.contains("route     no-till (number 2 of 9: /tills/*)"), "{}", without.stdout);
    assert!(
        without.stdout.contains("hint      some routes look at the client's certificate"),
        "{}",
        without.stdout
    );
    assert!(
        with.stdout.contains("client    CN=till 7,O=Example\\, Inc., if that is verified"),
        "{}",
        with.stdout
    );
    assert!(with.stdout.contains("route     till (number 1 of 9: "), "{}", with.stdout);
    assert!(!with.stdout.contains("hint "), "{}", with.stdout);
    let bad = check(&["--explain", "GET", "/", "--client-certificate", config.to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(2), "{}", bad.stdout);
    assert!(bad.stderr.contains("gateway.yaml: it has no certificate"), "{}", bad.stderr);
}

#[test]
fn only_the_first_certificate_of_a_client_counts() {
    let shop = Shop::new();
    let (seven, eight) = (shop.device(7), shop.device(8));
    let gateway = shop.start(&with_fingerprint_of(&seven));
    let forged = Identity { chain: format!("{}{}", eight.chain, seven.chain), ..eight };
    for path in ["/tills/x", "/uri", "/pinned"] {
        let status = |identity| shop.connect(&gateway, Some(identity)).ask(&get(path)).status;
        assert_eq!(status(&seven), 200, "{path}");
        assert!(matches!(status(&forged), 401 | 404), "{path}");
    }
}

#[test]
fn an_authority_with_the_same_name_and_another_key_is_refused() {
    let shop = Shop::new();
    let gateway = shop.start(&with_fingerprint_of(&shop.device(7)));
    let forged = device(&Authority::named("clients"), 7, |_| {});
    let refused = Client::try_connect_tls(gateway.address(), shop.client(Some(&forged)), NAME, b"")
        .and_then(|mut client| client.try_send(get("/tills/x").bytes()).map(|()| client))
        .and_then(|mut client| client.try_response_to("GET").map(drop));
    assert!(refused.is_err());
    assert_eq!(shop.edge.origin.bytes(), 0);
}
