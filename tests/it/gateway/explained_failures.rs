//! An origin's failure in words: in the access log, in one warning, on the status page, and in
//! `check --connect`. Thirteen mistakes of operators and failures of origins, a test for each:
//!
//! 1. nothing listens at the address;
//! 2. the name has no address;
//! 3. `https` to a port of HTTP, 4. which waits for a request;
//! 5. `http` to a port of TLS;
//! 6. the certificate is self-signed, 7. of an unknown authority, 8. for another name, 9. expired,
//!    10. not valid yet;
//! 11. another protocol than HTTP is spoken there;
//! 12. the connection is closed before the answer;
//! 13. there is no answer in time.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;

use crate::harness::tls::Authority;
use crate::harness::{Gateway, Origin, Setup, Then, get, tokens};

/// A TLS server with the certificate of these parameters, self-signed if there is no authority.
fn server(authority: Option<&Authority>, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    change(&mut params);
    let certificate = match authority {
        Some(authority) => authority.issue(&params, &key),
        None => params.self_signed(&key).unwrap(),
    };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()));
    Arc::new(config.unwrap())
}

fn before(domain: &str, authority: &Authority) -> Setup {
    Setup::bare()
        .env("APPROOV_SECRET_BASE64", tokens::SECRET_BASE64)
        .env("API_DOMAIN", domain)
        .file("SSL_CERT_FILE", &authority.pem)
}

/// The page that tells operators what the explanations mean.
const PAGE: &str = include_str!("../../../docs/operate/troubleshooting.md");

/// Asserts that the access log, the diagnostics and the status page explain the failure of a request with `words`.
/// The first of `words` must be on [`PAGE`]. If `is_found`, `check --connect` must find the failure too.
fn assert_explained(domain: &str, authority: &Authority, words: &[&str], is_found: bool) -> Gateway {
    let gateway = before(domain, authority).start();
    assert_eq!(gateway.ask(&get("/")).status / 100, 5, "{domain}");
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/");
    let message = entry["error.message"].as_str().unwrap_or_else(|| panic!("no message: {entry}"));
    assert!(PAGE.contains(words[0]), "{}", words[0]);
    for word in words {
        assert!(message.contains(word), "{domain}: {word}: {message}");
    }
    gateway.wait_for_message(&format!("WARN  origin api: {message}"));
    // The status page says it first.
    let status: serde_json::Value = serde_json::from_slice(&gateway.admin("/status.json").body).unwrap();
    assert_eq!(status["state"], "degraded");
    assert!(status["reason"].as_str().unwrap().contains(message), "{status}");
    // Once, however often it happens.
    for _ in 0..3 {
        gateway.ask(&get("/"));
    }
    gateway.wait_for_requests(&[("verdict", "accepted")], 4.0);
    let log = String::from_utf8(gateway.stderr()).unwrap();
    assert_eq!(log.matches(message).count(), 1, "{log}");
    if is_found {
        let check = before(domain, authority).arguments(&["check", "--connect"]).run_to_exit();
        assert_eq!(check.status.code(), Some(78), "{}", check.stdout);
        assert!(check.stderr.contains(message), "{}\n{}", message, check.stderr);
    }
    gateway
}

fn https(origin: &Origin) -> String {
    format!("https://localhost:{}", origin.port())
}

#[test]
fn refused_connection_is_explained() {
    let (origin, authority) = (Origin::refusing(), Authority::new());
    let gateway = assert_explained(
        &origin.url(),
        &authority,
        &["refuses connections", "check that the API runs"],
        true,
    );
    let entry = &gateway.entries()[0];
    assert_eq!(entry["network.peer.address"], "127.0.0.1");
    assert_eq!(entry["network.peer.port"], origin.port());
}

#[test]
fn name_without_address_is_explained() {
    let authority = Authority::new();
    assert_explained("http://api.invalid", &authority, &["has no address", "api.invalid", "DNS"], true);
}

/// An HTTP server that answers 400 to anything, as most do to a TLS handshake.
fn plain_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    port
}

#[test]
fn https_to_an_http_port_is_explained() {
    let (port, authority) = (plain_server(), Authority::new());
    let hint = format!("write http://localhost:{port}");
    assert_explained(&format!("https://localhost:{port}"), &authority, &["does not speak TLS", &hint], true);
}

#[test]
fn https_to_a_server_that_waits_for_a_request_is_explained() {
    let origin = Origin::new();
    let config = crate::harness::config_before(&origin, "")
        .replace("http://", "https://")
        .replace("\" }\n", "\", connect_timeout: 300ms }\n");
    let gateway = Setup::bare().config(&config).start();
    assert_eq!(gateway.ask(&get("/")).status, 504);
    let words = "does not finish the TLS handshake within 300ms; if it does not speak TLS, write http://";
    gateway.wait_for_message(words);
    let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 504);
    assert!(entry["error.message"].as_str().unwrap().contains(words), "{entry}");
    let check = Setup::bare().config(&config).arguments(&["check", "--connect"]).run_to_exit();
    assert_eq!(check.status.code(), Some(78));
    assert!(check.stderr.contains(words), "{}", check.stderr);
}

#[test]
fn http_to_a_tls_port_is_explained() {
    let authority = Authority::new();
    let origin = Origin::with_tls(server(Some(&authority), |_| {}));
    let domain = format!("http://localhost:{}", origin.port());
    assert_explained(&domain, &authority, &["speaks TLS", &format!("write {}", https(&origin))], true);
}

#[test]
fn self_signed_certificate_is_explained() {
    let authority = Authority::new();
    let origin = Origin::with_tls(server(None, |_| {}));
    assert_explained(&https(&origin), &authority, &["is self-signed", "tls.ca_file of origin api"], true);
}

#[test]
fn certificate_of_an_authority_itself_is_explained() {
    let authority = Authority::new();
    let origin = Origin::with_tls(server(None, |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }));
    assert_explained(&https(&origin), &authority, &["an authority's own", "CA:FALSE"], true);
}

#[test]
fn unknown_authority_is_explained() {
    let authority = Authority::new();
    let origin = Origin::with_tls(server(Some(&Authority::named("Another root")), |_| {}));
    assert_explained(
        &https(&origin),
        &authority,
        &["authority that is not in the system's certificates (SSL_CERT_FILE, if", "tls.ca_file"],
        true,
    );
}

#[test]
fn certificate_for_another_name_is_explained() {
    let authority = Authority::new();
    let origin = Origin::with_tls(authority.server_named("other.test"));
    assert_explained(
        &https(&origin),
        &authority,
        &["is for other.test, not for", "localhost", "tls.server_name"],
        true,
    );
}

#[test]
fn expired_certificate_is_explained() {
    let authority = Authority::new();
    let origin = Origin::with_tls(server(Some(&authority), |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }));
    assert_explained(&https(&origin), &authority, &["has expired at", "2021-01-01", "renew it"], true);
}

#[test]
fn certificate_that_is_not_valid_yet_is_explained() {
    let authority = Authority::new();
    let origin = Origin::with_tls(server(Some(&authority), |params| {
        params.not_before = date_time_ymd(2990, 1, 1);
        params.not_after = date_time_ymd(2991, 1, 1);
    }));
    assert_explained(&https(&origin), &authority, &["is not valid yet", "clock"], true);
}

#[test]
fn answer_that_is_not_http_is_explained() {
    let authority = Authority::new();
    let origin = Origin::troubled(|exchange| {
        exchange.send("220 mail.example ESMTP ready\r\n")?;
        Ok(Then::Close)
    });
    assert_explained(&origin.url(), &authority, &["not an HTTP response", "check what listens there"], true);
}

#[test]
fn connection_that_is_closed_is_explained() {
    let authority = Authority::new();
    let origin = Origin::troubled(|_| Ok(Then::Close));
    assert_explained(&origin.url(), &authority, &["the connection before its response is complete"], true);
}

#[test]
fn silent_origin_is_explained() {
    let (origin, authority) = (Origin::scripted(|exchange| exchange.wait_for_hangup()), Authority::new());
    let config = crate::harness::config_before(&origin, "").replace("\" }\n", "\", read_timeout: 200ms }\n");
    let gateway = Setup::bare().config(&config).start();
    assert_eq!(gateway.ask(&get("/")).status, 504);
    let entry = gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 504);
    let message = entry["error.message"].as_str().unwrap();
    assert!(message.contains("sends nothing for 200ms") && message.contains("read_timeout"), "{message}");
    assert!(PAGE.contains("sends nothing for"));
    let check = Setup::bare().config(&config).arguments(&["check", "--connect"]).run_to_exit();
    assert_eq!(check.status.code(), Some(78));
    assert!(check.stderr.contains("sends nothing for 200ms"), "{}", check.stderr);
    drop(authority);
}

#[test]
fn check_connect_tells_what_an_origin_answers() {
    let (origin, authority) = (Origin::new(), Authority::new());
    let check = before(&origin.url(), &authority).arguments(&["check", "--connect"]).run_to_exit();
    assert_eq!(check.status.code(), Some(0), "{}", check.stderr);
    assert!(check.stdout.contains("answers 200"), "{}", check.stdout);
    assert_eq!(origin.targets(), ["/"]);
}

#[test]
fn address_that_was_asked_is_logged_with_every_request() {
    let origin = Origin::new();
    let gateway = crate::harness::gateway_before(&origin);
    assert_eq!(gateway.ask(&get("/")).status, 200);
    assert_eq!(gateway.ask(&crate::harness::Message::get("/refused")).status, 401);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/");
    assert_eq!(entry["network.peer.port"], origin.port());
    assert_eq!(entry.get("error.message"), None);
    let refused = gateway.wait_for_entry(|entry| entry["url.path"] == "/refused");
    assert_eq!(refused.get("network.peer.address"), None);
}

#[test]
fn file_of_authorities_that_cannot_be_read_stops_the_start() {
    let authority = Authority::new();
    let origin = Origin::with_tls(authority.server_named("localhost"));
    let setup = |file: &str| before(&https(&origin), &authority).env("SSL_CERT_FILE", file);
    for command in ["run", "check"] {
        let exit = setup("/nonexistent/ca.pem").arguments(&[command]).run_to_exit();
        assert_eq!(exit.status.code(), Some(78), "{}", exit.stderr);
        assert!(exit.stderr.contains("SSL_CERT_FILE: /nonexistent/ca.pem cannot be read"), "{}", exit.stderr);
        let exit = setup("Cargo.toml").arguments(&[command]).run_to_exit();
        assert!(exit.stderr.contains("SSL_CERT_FILE: Cargo.toml has no certificate"), "{}", exit.stderr);
    }
    // An origin without TLS needs no authorities.
    let plain = before("http://127.0.0.1:1", &authority).env("SSL_CERT_FILE", "/nonexistent/ca.pem");
    assert_eq!(plain.arguments(&["check"]).run_to_exit().status.code(), Some(0));
}
