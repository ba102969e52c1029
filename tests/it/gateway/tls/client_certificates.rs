//! Client certificates: requested, verified, and not bypassed by session tickets.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use approov_gateway::tls::{Certificate, client_certificate};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, KeyIdMethod,
    RevokedCertParams, SanType, SerialNumber,
};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ServerConfig};

use super::wire::{Client, End, Handshake, connect};
use super::{Folder, Identity, certificates, tickets};
use crate::harness::tls::Authority;

const NAME: &str = "api.example.com";
const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A listener with one authority for client certificates.
struct Listener {
    folder: Folder,
    tls: String,
    servers: Authority,
    clients: Authority,
}

impl Listener {
    fn new() -> Self {
        let (folder, servers, clients) =
            (Folder::new(), Authority::named("servers"), Authority::named("clients"));
        let tls = certificates(&[folder.identity("own", &Identity::new(&servers, &[NAME]))]);
        folder.write("clients.pem", &clients.pem);
        Self { folder, tls, servers, clients }
    }

    fn with(&self, client_certificates: &str) -> String {
        format!("{}, client_certificates: {{ {client_certificates} }}", self.tls)
    }

    fn server(&self, mode: &str) -> Arc<ServerConfig> {
        self.folder.server(&self.with(&format!("mode: {mode}, ca_file: clients.pem")), &tickets())
    }

    fn client(&self, identity: Option<&Identity>) -> Client {
        let client = Client::trusting(&self.servers);
        match identity {
            Some(identity) => client.identity(identity),
            None => client,
        }
    }

    /// Writes a revocation list with these serial numbers that is valid `until` a time.
    fn write_list(&self, revoked: &[u64], until: SystemTime) {
        let params = CertificateRevocationListParams {
            this_update: (SystemTime::now() - Duration::from_secs(7200)).into(),
            next_update: until.into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: (SystemTime::now() - Duration::from_secs(3600)).into(),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.clients.issuer).unwrap();
        self.folder.write("clients.crl", list.pem().unwrap());
    }
}

/// The certificate of a device.
fn device(authority: &Authority, serial: u64) -> Identity {
    Identity::with(authority, &[], |params| name_device(params, serial))
}

fn name_device(params: &mut CertificateParams, serial: u64) {
    params.serial_number = Some(SerialNumber::from(serial));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
    params.distinguished_name.push(DnType::CommonName, "till 7");
    params.subject_alt_names = vec![
        SanType::URI("spiffe://example.com/till/7".try_into().unwrap()),
        SanType::Rfc822Name("till@example.com".try_into().unwrap()),
        SanType::DnsName("Till-7.example.com".try_into().unwrap()),
    ];
}

fn verified(end: &End) -> Option<Certificate> {
    client_certificate(Some(&end.peer)).unwrap()
}

fn admits(handshake: Handshake) -> bool {
    let admitted = handshake.server.is_ok();
    assert_eq!(handshake.client.is_ok(), admitted, "{:?} {:?}", handshake.client, handshake.server);
    admitted
}

#[test]
fn each_mode_admits_the_right_clients() {
    let listener = Listener::new();
    let known = device(&listener.clients, 7);
    let unknown = device(&Authority::named("clients"), 7);
    for (mode, none, good, bad) in
        [("off", true, true, true), ("optional", true, true, false), ("required", false, true, false)]
    {
        let server = listener.server(mode);
        for (identity, expected) in [(None, none), (Some(&known), good), (Some(&unknown), bad)] {
            for version in VERSIONS {
                let client = listener.client(identity).version(version).build();
                assert_eq!(admits(connect(&server, &client, NAME)), expected, "{mode} {version:?}");
            }
        }
    }
}

#[test]
fn a_verified_certificate_identifies_the_client() {
    let listener = Listener::new();
    let server = listener.server("optional");
    let client = listener.client(Some(&device(&listener.clients, 7))).build();
    let mut kinds = Vec::new();
    // A resumed session has the certificate of the first handshake.
    for _ in 0..2 {
        let end = connect(&server, &client, NAME).server();
        let certificate = verified(&end).expect("a certificate");
        assert_eq!(&*certificate.subject, "CN=till 7,O=Example\\, Inc.");
        assert_eq!(certificate.common_name.as_deref(), Some("till 7"));
        assert_eq!(&*certificate.uris[0], "spiffe://example.com/till/7");
        assert_eq!(&*certificate.emails[0], "till@example.com");
        assert_eq!(&*certificate.dns_names[0], "till-7.example.com");
        assert_eq!(certificate.fingerprint.to_string().len(), 64);
        assert!(certificate.is_valid_at(1_800_000_000) && !certificate.is_valid_at(1));
        kinds.push(end.kind);
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
    let anonymous = connect(&server, &listener.client(None).build(), NAME).server();
    assert_eq!(verified(&anonymous), None);
}

#[test]
fn server_certificates_and_expired_ones_are_refused() {
    let listener = Listener::new();
    let server = listener.server("required");
    let server_s = Identity::with(&listener.clients, &[NAME], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let expired = Identity::with(&listener.clients, &[], |params| {
        name_device(params, 8);
        params.not_after = (SystemTime::now() - Duration::from_secs(60)).into();
    });
    for identity in [server_s, expired] {
        assert!(!admits(connect(&server, &listener.client(Some(&identity)).build(), NAME)));
    }
}

#[test]
fn revoked_certificates_and_unknown_statuses_are_refused() {
    let listener = Listener::new();
    listener.write_list(&[8], SystemTime::now() + Duration::from_secs(3600));
    let tls = listener.with("mode: required, ca_file: clients.pem, crl_file: clients.crl");
    let server = listener.folder.server(&tls, &tickets());
    for (serial, expected) in [(7, true), (8, false)] {
        let client = listener.client(Some(&device(&listener.clients, serial))).build();
        assert_eq!(admits(connect(&server, &client, NAME)), expected, "{serial}");
    }
    // The revocation list does not cover certificates of another issuer.
    let intermediate = listener.clients.intermediate("tills");
    let below = device(&intermediate, 7).followed_by(&intermediate.pem);
    assert!(!admits(connect(&server, &listener.client(Some(&below)).build(), NAME)));
    let without_list = listener.server("required");
    assert!(admits(connect(&without_list, &listener.client(Some(&below)).build(), NAME)));
}

/// The kind of the second handshake, on another server of the same process.
fn kind_at(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Option<HandshakeKind> {
    connect(server, client, NAME).server.ok().map(|end| end.kind)
}

#[test]
fn a_session_ticket_does_not_replace_a_required_certificate() {
    let listener = Listener::new();
    let own = tickets();
    listener.write_list(&[], SystemTime::now() + Duration::from_secs(3600));
    let server = |rest: &str| listener.folder.server(&listener.with(rest), &own);
    let plain = listener.folder.server(&listener.tls, &own);
    let optional = server("mode: optional, ca_file: clients.pem");
    let required = server("mode: required, ca_file: clients.pem");
    let listed = server("mode: required, ca_file: clients.pem, crl_file: clients.crl");
    for version in VERSIONS {
        for first in [&plain, &optional] {
            let client = listener.client(None).version(version).build();
            assert_eq!(kind_at(first, &client), Some(HandshakeKind::Full));
            assert_eq!(kind_at(first, &client), Some(HandshakeKind::Resumed));
            assert_eq!(kind_at(&required, &client), None);
        }
        // With a certificate the server accepts the client in a full handshake.
        let known = device(&listener.clients, 7);
        let client = listener.client(Some(&known)).version(version).build();
        assert_eq!(kind_at(&optional, &client), Some(HandshakeKind::Full));
        assert_eq!(kind_at(&required, &client), Some(HandshakeKind::Full));
        assert_eq!(kind_at(&required, &client), Some(HandshakeKind::Resumed));
        // With a new revocation list the ticket is not accepted.
        assert_eq!(kind_at(&listed, &client), Some(HandshakeKind::Full));
        listener.write_list(&[7], SystemTime::now() + Duration::from_secs(3600));
        let relisted = server("mode: required, ca_file: clients.pem, crl_file: clients.crl");
        assert_eq!(kind_at(&relisted, &client), None);
        listener.write_list(&[], SystemTime::now() + Duration::from_secs(3600));
    }
}

#[test]
fn an_outdated_revocation_list_stops_the_start() {
    let listener = Listener::new();
    listener.write_list(&[], SystemTime::now() - Duration::from_secs(60));
    let tls = listener.with("mode: required, ca_file: clients.pem, crl_file: clients.crl");
    let told = listener.folder.load(&tls, "").map(|_| ()).unwrap_err();
    let start = "gateway.yaml:1: listeners[0].tls.client_certificates.crl_file: \
                 clients.crl: a revocation list is outdated since ";
    assert!(told.starts_with(start) && told.lines().count() == 1, "{told}");
}

#[test]
fn unusable_authorities_and_revocation_lists_are_reported() {
    let listener = Listener::new();
    let key = Identity::new(&listener.clients, &[]).key;
    let garbage = super::pem("CERTIFICATE", b"garbage");
    let bad_list = super::pem("X509 CRL", b"garbage");
    for (authorities, list, expected) in [
        (&*key, None, "ca_file: ca: it has no certificate; give it PEM texts"),
        (&garbage, None, "ca_file: ca: its certificate 1 cannot be read; copy"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", None, "ca_file: ca: it is not PEM: "),
        (&listener.clients.pem, Some(&*key), "crl_file: crl: it has no revocation list; give it PEM texts"),
        (&listener.clients.pem, Some(&bad_list), "crl_file: crl: its revocation list cannot be read: "),
    ] {
        listener.folder.write("ca", authorities);
        let mut section = "mode: required, ca_file: ca".to_owned();
        if let Some(list) = list {
            listener.folder.write("crl", list);
            section += ", crl_file: crl";
        }
        let told = listener.folder.load(&listener.with(&section), "").map(|_| ()).unwrap_err();
        let expected = format!("gateway.yaml:1: listeners[0].tls.client_certificates.{expected}");
        assert!(told.starts_with(&expected) && told.lines().count() == 1, "{told}");
    }
}
