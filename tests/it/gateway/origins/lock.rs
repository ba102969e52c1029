//! Origins that accept the gateway only: client certificates and secret headers.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};

use super::{Reloadable, config, counted, get};
use crate::harness::tls::{Authority, Identity};
use crate::harness::{Folder, Gateway, Message, Origin, Setup, Then, tokens};

/// A server named `localhost` that requires a certificate issued by `clients`.
pub fn demanding(servers: &Authority, clients: &Authority) -> Arc<ServerConfig> {
    let identity = Identity::new(servers, &["localhost"]);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(identity.chain.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
        )
        .unwrap();
    Arc::new(config)
}

/// The authorities of the origin and of its clients, and the folder with the gateway's files.
struct Lock {
    servers: Authority,
    clients: Authority,
    folder: Arc<Folder>,
}

impl Lock {
    fn new() -> Self {
        let (servers, clients) = (Authority::named("servers"), Authority::named("clients"));
        let folder = Arc::new(Folder::new());
        folder.write("ca.pem", &servers.pem);
        let lock = Self { servers, clients, folder };
        lock.issue();
        lock
    }

    /// Writes a new certificate for the gateway.
    fn issue(&self) {
        self.folder.identity("gateway", &Identity::new(&self.clients, &["gateway.test"]));
    }

    fn config(&self, origin: &Origin, more: &str) -> String {
        config(
            &format!(
                "domain: \"{}\", tls: {{ ca_file: ca.pem, client_certificate: \
                 {{ certificate_file: gateway.pem, private_key_file: gateway.key }} }}{more}",
                origin.url()
            ),
            "",
        )
    }
}

fn kinds(origin: &Origin) -> Vec<HandshakeKind> {
    origin.handshakes().iter().map(|handshake| handshake.kind).collect()
}

#[test]
fn every_worker_sends_the_client_certificate_and_resumes_sessions() {
    let lock = Lock::new();
    let origin = Origin::scripted_with_tls(demanding(&lock.servers, &lock.clients), |exchange| {
        exchange.body()?;
        exchange.answer("200 OK", "hello")?;
        Ok(Then::Close)
    });
    let running = Reloadable::start(&lock.folder, &lock.config(&origin, ""));
    for _ in 0..8 {
        running.gateway.assert_serves(&origin);
    }
    let kinds = kinds(&origin);
    assert_eq!(kinds.len(), 8, "each request has its own connection");
    assert!(matches!(kinds[0], HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest), "{kinds:?}");
    assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{kinds:?}");
    assert!(origin.handshakes().iter().all(|handshake| handshake.has_client_certificate));
}

#[test]
fn without_a_client_certificate_the_origin_refuses_the_gateway() {
    let lock = Lock::new();
    let origin = Origin::with_tls(demanding(&lock.servers, &lock.clients));
    let config = config(&format!("domain: \"{}\"", origin.url()), "");
    let gateway = Setup::bare().config(&config).file("SSL_CERT_FILE", &lock.servers.pem).start();
    assert_eq!(gateway.ask(&get("/")).status, 502);
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn an_unchanged_reload_keeps_connections_and_a_new_certificate_replaces_them() {
    let lock = Lock::new();
    let origin = Origin::with_tls(demanding(&lock.servers, &lock.clients));
    let config = lock.config(&origin, "");
    let mut running = Reloadable::start(&lock.folder, &config);
    for _ in 0..4 {
        running.gateway.assert_serves(&origin);
    }
    running.reload(&config);
    for _ in 0..4 {
        running.gateway.assert_serves(&origin);
    }
    assert!(origin.connections() <= 2, "each of the two workers keeps its connection");
    lock.issue();
    running.reload(&config);
    let before = origin.connections();
    for _ in 0..4 {
        running.gateway.assert_serves(&origin);
    }
    let handshakes = origin.handshakes();
    assert!(origin.connections() > before, "the old certificate's connections are not used any more");
    assert_ne!(
        handshakes[before].kind,
        HandshakeKind::Resumed,
        "sessions of the old certificate are not resumed"
    );
}

#[test]
fn health_checks_send_the_client_certificate_and_the_secret() {
    let lock = Lock::new();
    lock.folder.write("secret", "a-secret-of-the-origin");
    let origin = Origin::with_tls(demanding(&lock.servers, &lock.clients));
    let more = ", secret_header: { name: X-Origin-Secret, value_file: secret }, \
                health_check: { path: /healthz, interval: 100ms, timeout: 20s }";
    let running = Reloadable::start(&lock.folder, &lock.config(&origin, more));
    origin.wait_until("two checks", |record| record.requests.len() >= 2);
    assert_eq!(counted(&running.gateway, "healthy_addresses", &[]), 1.0);
    for check in origin.requests() {
        assert_eq!(
            (check.target.as_str(), check.values("x-origin-secret")),
            ("/healthz", vec!["a-secret-of-the-origin"])
        );
    }
    assert!(origin.handshakes().iter().all(|handshake| handshake.has_client_certificate));
}

/// The origin accepts the next value only, on every path: it has finished its half of the rotation.
#[test]
fn an_origin_that_has_switched_to_the_next_secret_passes_its_health_checks() {
    let origin = Origin::scripted(|exchange| {
        exchange.body()?;
        let is_known = exchange.request.values("x-origin-secret-next") == [SECOND];
        exchange.answer(if is_known { "200 OK" } else { "401 Unauthorized" }, "")
    });
    let folder = Arc::new(Folder::new());
    folder.write("secret", FIRST);
    folder.write("next", SECOND);
    let origin_config = format!(
        "domain: \"{}\", secret_header: {{ name: X-Origin-Secret, value_file: secret, next_value_file: next }}, \
         health_check: {{ path: /healthz, interval: 100ms, timeout: 20s, healthy_threshold: 1, \
         unhealthy_threshold: 1 }}",
        origin.url()
    );
    let running = Reloadable::start(&folder, &config(&origin_config, ""));
    origin.wait_until("two checks", |record| record.requests.len() >= 2);
    assert_eq!(counted(&running.gateway, "healthy_addresses", &[]), 1.0);
    assert_eq!(running.gateway.ask(&get("/")).status, 200);
    for request in origin.requests() {
        assert_eq!(request.values("x-origin-secret"), [FIRST], "{}", request.target);
        assert_eq!(request.values("x-origin-secret-next"), [SECOND], "{}", request.target);
    }
}

/// Two origins: `api` has a secret header, and `open` gets the requests to `/open/`.
fn with_secret(secret: &Origin, open: &Origin, more: &str) -> String {
    let origin = format!(
        "domain: \"{}\", secret_header: {{ name: X-Origin-Secret, value_file: secret{more} }}",
        secret.url()
    );
    config(
        &origin,
        &format!(
            "  open: {{ domain: \"{}\" }}\nroutes:\n  - {{ path: /open/, origin: open }}\n  - {{ path: /, origin: api }}\n",
            open.url()
        ),
    )
}

const FIRST: &str = "the-first-secret-of-the-origin";
const SECOND: &str = "the-second-secret-of-the-origin";

fn secrets(origin: &Origin) -> Vec<String> {
    let request = origin.requests().pop().unwrap();
    ["x-origin-secret", "x-origin-secret-next"]
        .into_iter()
        .flat_map(|name| {
            request.values(name).into_iter().map(move |value| format!("{name}: {value}")).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn clients_cannot_send_the_secret_header() {
    let (secret, open) = (Origin::new(), Origin::new());
    let folder = Arc::new(Folder::new());
    folder.write("secret", format!("{FIRST}\n"));
    folder.write("next", SECOND);
    let config = with_secret(&secret, &open, ", next_value_file: next");
    let running = Reloadable::start(&folder, &config);
    let expected = [format!("x-origin-secret: {FIRST}"), format!("x-origin-secret-next: {SECOND}")];
    for (name, value) in [
        ("X-Unrelated", "x"),
        ("X-Origin-Secret", FIRST),
        ("x-origin-secret", "guess"),
        ("X_Origin_Secret", FIRST),
        ("X.Origin-Secret", FIRST),
        ("X-Origin-Secret-Next", SECOND),
        ("x_origin_secret_next", "guess"),
        ("Connection", "X-Origin-Secret"),
        ("Connection", "close, x-origin-secret-next"),
    ] {
        for (target, origin) in [("/", &secret), ("/open/", &open)] {
            let response = running.gateway.ask(&get(target).field(name, value).field("X-Other", "stays"));
            assert_eq!(response.status, 200, "{name}: {value}");
            let request = origin.requests().pop().unwrap();
            assert_eq!(request.values("x-other"), ["stays"]);
            let is_secret = |field: &&(String, String)| {
                let name = field.0.to_ascii_lowercase().replace(['_', '.'], "-");
                name.starts_with("x-origin-secret")
            };
            let fields = request.fields.iter().filter(is_secret).count();
            match target {
                "/" => assert_eq!((secrets(origin), fields), (expected.to_vec(), 2), "{name}: {value}"),
                _ => assert_eq!(fields, 0, "{name}: {value}"),
            }
        }
    }
    let (stdout, stderr) = (running.gateway.stdout(), running.gateway.stderr());
    for text in [&stdout, &stderr, &running.gateway.metrics().text.into_bytes()] {
        let text = String::from_utf8_lossy(text);
        assert!(!text.contains(FIRST) && !text.contains(SECOND), "{text}");
    }
}

#[test]
fn a_secret_header_is_rotated_by_its_files() {
    let (secret, open) = (Origin::new(), Origin::new());
    let folder = Arc::new(Folder::new());
    folder.write("secret", FIRST);
    let usual = with_secret(&secret, &open, "");
    let rotating = with_secret(&secret, &open, ", next_value_file: next");
    let mut running = Reloadable::start(&folder, &usual);
    let ask = |gateway: &Gateway| {
        assert_eq!(gateway.ask(&Message::get("/").token(&tokens::valid())).status, 200);
        secrets(&secret)
    };
    assert_eq!(ask(&running.gateway), [format!("x-origin-secret: {FIRST}")]);
    folder.write("next", SECOND);
    running.reload(&rotating);
    assert_eq!(
        ask(&running.gateway),
        [format!("x-origin-secret: {FIRST}"), format!("x-origin-secret-next: {SECOND}")]
    );
    folder.write("secret", SECOND);
    running.reload(&usual);
    assert_eq!(ask(&running.gateway), [format!("x-origin-secret: {SECOND}")]);
}
