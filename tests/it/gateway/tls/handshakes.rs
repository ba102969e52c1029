//! Handshakes: certificate, TLS version, ALPN protocol and key exchange group.

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};

use super::wire::{Client, connect};
use super::{Folder, Identity, certificates, tickets};
use crate::gateway::tls::configuration::rsa_key;
use crate::harness::tls::Authority;

#[test]
fn the_server_name_chooses_the_certificate() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let list = [
        folder.identity("default", &Identity::new(&authority, &["default.example"])),
        folder.identity("wild", &Identity::new(&authority, &["*.example.com", "example.com"])),
        folder.identity("exact", &Identity::new(&authority, &["api.example.com"])),
    ];
    let server = folder.server(&certificates(&list), &tickets());
    let client = Client::credulous().build();
    for (name, expected) in [
        ("api.example.com", "api.example.com"),
        ("API.Example.Com", "api.example.com"),
        ("www.example.com", "*.example.com"),
        ("example.com", "*.example.com"),
        ("a.b.example.com", "default.example"),
        ("unknown.example", "default.example"),
        ("default.example", "default.example"),
        // Clients do not send an address as server name.
        ("127.0.0.1", "default.example"),
    ] {
        assert_eq!(connect(&server, &client, name).client().names()[0], expected, "{name}");
    }
    let nameless = Client::credulous().without_server_name().build();
    assert_eq!(connect(&server, &nameless, "api.example.com").client().names(), ["default.example"]);
    // This client verifies the certificate.
    let strict = Client::trusting(&authority).build();
    assert!(connect(&server, &strict, "www.example.com").client.is_ok());
    assert!(connect(&server, &strict, "unknown.example").client.is_err());
}

#[test]
fn unknown_names_are_refused_in_the_handshake_if_configured() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let list = [folder.identity("own", &Identity::new(&authority, &["*.example.com"]))];
    let server = folder.server(&format!("{}, unknown_name: reject", certificates(&list)), &tickets());
    let client = Client::credulous().build();
    assert!(connect(&server, &client, "a.example.com").client.is_ok());
    for name in ["example.com", "a.b.example.com", "unknown.example", "127.0.0.1"] {
        let handshake = connect(&server, &client, name);
        assert!(handshake.client.unwrap_err().contains("alert"), "{name}");
        assert!(handshake.server.is_err(), "{name}");
    }
    let nameless = Client::credulous().without_server_name().build();
    assert!(connect(&server, &nameless, "a.example.com").server.is_err());
}

#[test]
fn serves_every_kind_of_key_to_clients_that_support_it() {
    let authority = Authority::new();
    let names = ["api.example.com"];
    let kinds = [
        ("ECDSA P-256", Identity::of(&authority, &names, &PKCS_ECDSA_P256_SHA256)),
        ("ECDSA P-384", Identity::of(&authority, &names, &PKCS_ECDSA_P384_SHA384)),
        ("Ed25519", Identity::of(&authority, &names, &PKCS_ED25519)),
        ("RSA 2048", Identity::with_key(&authority, &names, rsa_key(), |_| {})),
    ];
    for (kind, identity) in kinds {
        let folder = Folder::new();
        let server = folder.server(&certificates(&[folder.identity("own", &identity)]), &tickets());
        for version in [&TLS12, &TLS13] {
            let client = Client::trusting(&authority).version(version).build();
            let end = connect(&server, &client, "api.example.com").client();
            let certificate = approov_gateway::tls::Certificate::from_der(&end.peer[0]).unwrap();
            assert_eq!((&*certificate.key, end.version), (kind, version.version));
        }
    }
}

#[test]
fn one_name_with_two_kinds_of_key_serves_each_client_the_kind_it_supports() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let names = ["api.example.com"];
    let list = [
        folder.identity("ecdsa", &Identity::new(&authority, &names)),
        folder.identity("rsa", &Identity::with_key(&authority, &names, rsa_key(), |_| {})),
    ];
    let server = folder.server(&certificates(&list), &tickets());
    for (suites, name, expected) in [
        ("ECDHE_ECDSA", "api.example.com", "ECDSA P-256"),
        ("ECDHE_RSA", "api.example.com", "RSA 2048"),
        ("ECDHE_", "api.example.com", "ECDSA P-256"),
        ("ECDHE_RSA", "unknown.example", "RSA 2048"),
    ] {
        let client = Client::credulous().suites(suites).version(&TLS12).build();
        let end = connect(&server, &client, name).client();
        let certificate = approov_gateway::tls::Certificate::from_der(&end.peer[0]).unwrap();
        assert_eq!(&*certificate.key, expected, "{suites} {name}");
    }
}

#[test]
fn speaks_tls_1_3_and_1_2_or_1_3_alone() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let list = [folder.identity("own", &Identity::new(&authority, &["api.example.com"]))];
    let both = folder.server(&certificates(&list), &tickets());
    let newest = folder.server(&format!("{}, min_version: 1.3", certificates(&list)), &tickets());
    let client = || Client::trusting(&authority);
    let end = |server, client: Client| connect(server, &client.build(), "api.example.com");
    assert_eq!(end(&both, client()).client().version, ProtocolVersion::TLSv1_3);
    assert_eq!(end(&both, client().version(&TLS12)).client().version, ProtocolVersion::TLSv1_2);
    assert_eq!(end(&newest, client()).client().version, ProtocolVersion::TLSv1_3);
    let refused = end(&newest, client().version(&TLS12));
    assert!(refused.client.unwrap_err().contains("ProtocolVersion"), "{:?}", refused.server);
}

#[test]
fn http_2_is_preferred_unless_configured_otherwise() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let list = certificates(&[folder.identity("own", &Identity::new(&authority, &["api.example.com"]))]);
    let default = folder.server(&list, &tickets());
    let old_first = folder.server(&format!("{list}, alpn: [http/1.1, h2]"), &tickets());
    let old_only = folder.server(&format!("{list}, alpn: [http/1.1]"), &tickets());
    for (server, offered, expected) in [
        (&default, &["http/1.1", "h2"][..], Some("h2")),
        (&default, &["http/1.1"], Some("http/1.1")),
        (&default, &["h3", "http/1.1"], Some("http/1.1")),
        (&default, &[], None),
        (&old_first, &["h2", "http/1.1"], Some("http/1.1")),
        (&old_only, &["h2", "http/1.1"], Some("http/1.1")),
    ] {
        let client = Client::trusting(&authority).alpn(offered).build();
        let end = connect(server, &client, "api.example.com").client();
        assert_eq!(end.alpn.as_deref(), expected, "{offered:?}");
    }
    let client = Client::trusting(&authority).alpn(&["h2"]).build();
    assert!(connect(&old_only, &client, "api.example.com").client.is_err());
}

#[test]
fn clients_with_the_post_quantum_group_use_it_and_others_use_theirs() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let list = [folder.identity("own", &Identity::new(&authority, &["api.example.com"]))];
    let server = folder.server(&certificates(&list), &tickets());
    for (groups, expected, kind) in [
        (
            &[NamedGroup::X25519MLKEM768, NamedGroup::X25519][..],
            NamedGroup::X25519MLKEM768,
            HandshakeKind::Full,
        ),
        (&[NamedGroup::X25519MLKEM768], NamedGroup::X25519MLKEM768, HandshakeKind::Full),
        (&[NamedGroup::X25519], NamedGroup::X25519, HandshakeKind::Full),
        (&[NamedGroup::secp256r1], NamedGroup::secp256r1, HandshakeKind::Full),
        (&[NamedGroup::secp384r1], NamedGroup::secp384r1, HandshakeKind::Full),
        // The client's order decides. Its first guess may be wrong.
        (&[NamedGroup::X25519, NamedGroup::X25519MLKEM768], NamedGroup::X25519, HandshakeKind::Full),
        (
            &[NamedGroup::secp256r1MLKEM768, NamedGroup::X25519],
            NamedGroup::X25519,
            HandshakeKind::FullWithHelloRetryRequest,
        ),
    ] {
        let client = Client::trusting(&authority).groups(groups).build();
        let end = connect(&server, &client, "api.example.com").client();
        assert_eq!((end.group, end.kind), (Some(expected), kind), "{groups:?}");
    }
    let default = connect(&server, &Client::trusting(&authority).build(), "api.example.com").client();
    assert_eq!(default.group, Some(NamedGroup::X25519MLKEM768));
}
