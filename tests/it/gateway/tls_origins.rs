//! Origins with TLS: certificate and name are verified.

use crate::harness::tls::Authority;
use crate::harness::{Message, Origin, Setup, config_before, tokens};

fn ask(setup: Setup) -> u16 {
    setup.start().ask(&Message::get("/").token(&tokens::valid())).status
}

#[test]
fn an_origin_with_a_valid_certificate_gets_requests_over_tls() {
    let authority = Authority::new();
    let origin = Origin::with_tls(authority.server_named("localhost"));
    let gateway = Setup::before(&origin).file("SSL_CERT_FILE", &authority.pem).start();
    for _ in 0..3 {
        gateway.assert_serves(&origin);
    }
    assert_eq!(origin.connections(), 1);
    let request = &origin.requests()[0];
    assert_eq!(request.values("host"), [origin.authority()]);
}

#[test]
fn a_domain_without_a_scheme_means_tls() {
    let authority = Authority::new();
    let origin = Origin::with_tls(authority.server_named("localhost"));
    let domain = format!("localhost:{}", origin.port());
    let setup = Setup::before(&origin).env("API_DOMAIN", &domain).file("SSL_CERT_FILE", &authority.pem);
    assert_eq!(ask(setup), 200);
    assert_eq!(origin.only_request().values("host"), [domain]);
}

#[test]
fn a_certificate_for_another_name_is_not_trusted() {
    let authority = Authority::new();
    for name in ["other.test", "*.localhost", "127.0.0.1"] {
        let origin = Origin::with_tls(authority.server_named(name));
        let setup = Setup::before(&origin).file("SSL_CERT_FILE", &authority.pem);
        assert_eq!(ask(setup), 502, "{name}");
        assert_eq!(origin.bytes(), 0, "{name}");
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_is_not_trusted() {
    let authority = Authority::new();
    let origin = Origin::with_tls(authority.server_named("localhost"));
    let setup = Setup::before(&origin).file("SSL_CERT_FILE", &Authority::new().pem);
    assert_eq!(ask(setup), 502);
    assert_eq!(origin.bytes(), 0);
}

#[test]
fn an_origin_named_by_its_address_needs_a_certificate_for_that_address() {
    let authority = Authority::new();
    for (name, status) in [("127.0.0.1", 200), ("localhost", 502)] {
        let origin = Origin::with_tls(authority.server_named(name));
        let domain = format!("https://127.0.0.1:{}", origin.port());
        let setup = Setup::before(&origin).env("API_DOMAIN", &domain).file("SSL_CERT_FILE", &authority.pem);
        assert_eq!(ask(setup), status, "{name}");
        assert_eq!(origin.requests().len(), usize::from(status == 200));
    }
}

#[test]
fn an_origin_that_does_not_speak_tls_gets_no_request() {
    let origin = Origin::new();
    let config = config_before(&origin, "").replace("http://127.0.0.1", "https://localhost");
    let config = config.replace("\" }\n", "\", connect_timeout: 300ms }\n");
    assert!(config.contains("https") && config.contains("300ms"));
    // The origin waits for the end of a head, and the gateway for the answer to its ClientHello.
    assert_eq!(ask(Setup::bare().config(&config)), 504);
    assert_eq!(origin.requests().len(), 0);
}
