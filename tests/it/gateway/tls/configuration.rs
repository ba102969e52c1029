//! Certificate files: which load, the problems of those that do not, and the output of `check`.

use std::time::{Duration, SystemTime};

use approov_gateway::cli::check::summary;
use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rcgen::{CertificateParams, CustomExtension, KeyPair};

use super::{Folder, Identity, certificates, pem};
use crate::harness::tls::Authority;

const NAME: &str = "api.example.com";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An RSA key. rcgen can sign with one but cannot generate one.
pub fn rsa_key() -> KeyPair {
    let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    KeyPair::try_from(der.as_ref()).unwrap()
}

fn in_days(days: u32) -> SystemTime {
    SystemTime::now() + days * DAY
}

/// The only problem of this certificate list, without its place.
fn problem(folder: &Folder, list: &[String]) -> String {
    let told = folder.load(&certificates(list), "").map(|_| ()).unwrap_err();
    assert_eq!(told.lines().count(), 1, "{told}");
    told.strip_prefix("gateway.yaml:1: listeners[0].tls.").expect("the place").to_owned()
}

#[test]
fn private_keys_load_in_every_usual_format() {
    let authority = Authority::new();
    let rsa = Identity::with_key(&authority, &[NAME], rsa_key(), |_| {});
    let ecdsa = Identity::new(&authority, &[NAME]);
    let pkcs1 = pem("RSA PRIVATE KEY", &pkcs1(&rsa.key));
    let sec1 = pem("EC PRIVATE KEY", &sec1(&ecdsa.key));
    // The format of `openssl ecparam -genkey`: the curve's parameters precede the key.
    let sec1 =
        format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{sec1}");
    let both = format!("{}{}", ecdsa.chain, ecdsa.key);
    for (name, chain, key, kind) in [
        ("pkcs8", &ecdsa.chain, &ecdsa.key, "ECDSA P-256"),
        ("rsa-pkcs8", &rsa.chain, &rsa.key, "RSA 2048"),
        ("rsa-pkcs1", &rsa.chain, &pkcs1, "RSA 2048"),
        ("sec1", &ecdsa.chain, &sec1, "ECDSA P-256"),
        ("one-file", &both, &both, "ECDSA P-256"),
    ] {
        let folder = Folder::new();
        let identity = Identity { chain: chain.clone(), key: key.clone(), public_key: Vec::new() };
        let list = [folder.identity(name, &identity)];
        let settings = folder.load(&certificates(&list), "").unwrap_or_else(|told| panic!("{name}: {told}"));
        let tls = settings.listeners[0].tls.as_ref().unwrap();
        assert_eq!(&*tls.identities[0].certificate().key, kind, "{name}");
        assert_eq!(settings.listeners[0].tls_files.len(), 2);
    }
}

/// The PKCS#1 key (RFC 8017 §A.1.2) inside a PKCS#8 key of this size, which starts at byte 26.
fn pkcs1(pkcs8: &str) -> Vec<u8> {
    KeyPair::from_pem(pkcs8).unwrap().serialized_der()[26..].to_vec()
}

/// The SEC1 key (RFC 5915) inside a PKCS#8 key.
fn sec1(pkcs8: &str) -> Vec<u8> {
    let key = KeyPair::from_pem(pkcs8).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.serialized_der()).unwrap();
    let der: EcPrivateKeyRfc5915Der<'_> = key.private_key().as_der().unwrap();
    der.as_ref().to_vec()
}

#[test]
fn a_key_that_does_not_match_is_reported() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let (one, other) = (Identity::new(&authority, &[NAME]), Identity::new(&authority, &[NAME]));
    let mixed = Identity { chain: one.chain, key: other.key, public_key: Vec::new() };
    assert_eq!(
        problem(&folder, &[folder.identity("own", &mixed)]),
        "certificates[0].private_key_file: the private key does not fit the certificate; \
         name the key that the certificate was requested with"
    );
}

#[test]
fn files_without_a_certificate_or_key_are_reported() {
    let authority = Authority::new();
    let good = Identity::new(&authority, &[NAME]);
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                         DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let two = format!("{}{}", good.key, Identity::new(&authority, &[NAME]).key);
    let broken_chain = pem("CERTIFICATE", b"garbage");
    let broken_key = pem("PRIVATE KEY", b"garbage");
    let no_base64 = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
    for (chain, key, expected) in [
        (&*good.key, &*good.key, "certificate_file: own.pem: it has no certificate; give it PEM texts"),
        ("", &good.key, "certificate_file: own.pem: it has no certificate; "),
        (&broken_chain, &good.key, "certificate_file: own.pem: its certificate 1 cannot be read; copy"),
        (no_base64, &good.key, "certificate_file: own.pem: it is not PEM: "),
        (&good.chain, &good.chain, "private_key_file: own.key: it has no private key; give it a PEM text"),
        (&good.chain, &encrypted, "private_key_file: own.key: its private key is encrypted"),
        (&good.chain, old_encrypted, "private_key_file: own.key: its private key is encrypted"),
        (&good.chain, &two, "private_key_file: own.key: it has several private keys; keep the one"),
        (&good.chain, &broken_key, "private_key_file: own.key: its private key is damaged, or of an unsupp"),
    ] {
        let folder = Folder::new();
        let identity = Identity { chain: chain.to_owned(), key: key.to_owned(), public_key: Vec::new() };
        let told = problem(&folder, &[folder.identity("own", &identity)]);
        assert!(told.starts_with(&format!("certificates[0].{expected}")), "{told}");
    }
}

#[test]
fn a_chain_must_be_in_order_without_gaps() {
    let root = Authority::named("root");
    let upper = root.intermediate("upper");
    let lower = upper.intermediate("lower");
    let leaf = || Identity::new(&lower, &[NAME]);
    let (upper, lower, root) = (&upper.pem, &lower.pem, &root.pem);
    for (behind, expected) in [
        (vec![], None),
        (vec![lower], None),
        (vec![lower, upper], None),
        (vec![lower, upper, root], None),
        (vec![upper, lower], Some("its certificate 1 was not issued by its certificate 2; put the server's")),
        (vec![lower, root], Some("its certificate 2 was not issued by its certificate 3; put")),
        (vec![lower, lower], Some("its certificate 2 was not issued by its certificate 3; put")),
    ] {
        let folder = Folder::new();
        let chain: String = behind.into_iter().map(String::as_str).collect();
        let list = [folder.identity("own", &leaf().followed_by(&chain))];
        match expected {
            None => assert_eq!(folder.warnings(&certificates(&list), ""), ""),
            Some(expected) => {
                let told = problem(&folder, &list);
                let expected = format!("certificates[0].certificate_file: own.pem: {expected}");
                assert!(told.starts_with(&expected), "{told}");
            }
        }
    }
}

#[test]
fn an_issuer_with_the_same_name_and_another_key_is_not_accepted() {
    let (folder, one, other) = (Folder::new(), Authority::named("authority"), Authority::named("authority"));
    let list = [folder.identity("own", &Identity::new(&one, &[NAME]).followed_by(&other.pem))];
    assert!(problem(&folder, &list).contains("its certificate 1 was not issued by its certificate 2"));
}

#[test]
fn the_private_key_of_an_issuer_is_reported() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let leaf = Identity::new(&authority, &[NAME]).followed_by(&authority.pem);
    let mixed = Identity { key: authority.issuer.key().serialize_pem(), ..leaf };
    assert_eq!(
        problem(&folder, &[folder.identity("own", &mixed)]),
        "certificates[0].private_key_file: the private key is that of certificate 2 of the chain; \
         name the key that the certificate was requested with"
    );
}

#[test]
fn an_expired_certificate_is_a_problem_and_one_that_expires_soon_a_warning() {
    let authority = Authority::new();
    let until = |time: SystemTime| {
        Identity::with(&authority, &[NAME], |params: &mut CertificateParams| params.not_after = time.into())
    };
    let folder = Folder::new();
    let list = [folder.identity("own", &until(SystemTime::now() - Duration::from_secs(2)))];
    let told = problem(&folder, &list);
    let start = "certificates[0].certificate_file: own.pem: the certificate has expired on ";
    assert!(told.starts_with(start) && told.ends_with("; renew it"), "{told}");
    for (days, warns) in [(1, true), (20, true), (22, false), (400, false)] {
        let list = [folder.identity("own", &until(in_days(days)))];
        let warnings = folder.warnings(&certificates(&list), "");
        assert_eq!(warnings.contains("own.pem: the certificate expires on "), warns, "{days}: {warnings}");
        assert_eq!(warnings.lines().count(), usize::from(warns), "{warnings}");
    }
    let early = Identity::with(&authority, &[NAME], |params| params.not_before = in_days(1).into());
    let warnings = folder.warnings(&certificates(&[folder.identity("own", &early)]), "");
    assert!(warnings.contains("own.pem: the certificate is not valid before "), "{warnings}");
}

#[test]
fn names_without_a_route_are_reported() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let names = ["api.example.com", "old.example.com", "*.cdn.example.com", "*.example.org"];
    let list = [folder.identity("own", &Identity::new(&authority, &names))];
    let routes = "routes:\n  - { path: /, hosts: [api.example.com, a.cdn.example.com] }\n  \
                  - { path: /, hosts: [\"*.example.org\"], policy: deny }\n";
    let warnings = folder.warnings(&certificates(&list), routes);
    let unserved = |name: &str| {
        format!(
            "gateway.yaml:1: listeners[0].tls.certificates[0].certificate_file: own.pem: no route serves \
             `{name}`; add the name to a route's hosts, or have the certificate without it"
        )
    };
    assert_eq!(warnings, [unserved("old.example.com"), unserved("*.example.org")].join("\n"));
    assert_eq!(folder.warnings(&certificates(&list), ""), "", "a route without hosts serves every name");
}

#[test]
fn suspicious_certificates_are_reported() {
    let authority = Authority::new();
    let nameless = Identity::new(&authority, &[]);
    let by_address = Identity::new(&authority, &["192.0.2.1"]);
    // caIssuers (RFC 5280 §4.2.2.1) at http://ca.example.com
    let issuers =
        [&b"\x30\x23\x30\x21\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x15"[..], b"http://ca.example.com"];
    let public = Identity::with(&authority, &[NAME], |params| {
        let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
        params.custom_extensions = vec![CustomExtension::from_oid_content(&oid, issuers.concat())];
    });
    for (identities, more, expected) in [
        (vec![&nameless], "", "own0.pem: the certificate has no names (subjectAltName)"),
        (vec![&by_address], ", unknown_name: reject", "own0.pem: the certificate has no DNS name"),
        (vec![&public], "", "own0.pem: there is no intermediate certificate; append it"),
        (
            vec![
                &Identity::new(&authority, &["a.example", "b.example"]),
                &Identity::new(&authority, &["b.example"]),
            ],
            "",
            "listeners[0].tls.certificates[1]: listeners[0].tls.certificates[0] has all its names, and its kind",
        ),
    ] {
        let folder = Folder::new();
        let list: Vec<_> = identities
            .iter()
            .enumerate()
            .map(|(index, identity)| folder.identity(&format!("own{index}"), identity))
            .collect();
        let warnings = folder.warnings(&format!("{}{more}", certificates(&list)), "");
        assert!(warnings.contains(expected) && warnings.lines().count() == 1, "{expected}\n{warnings}");
    }
}

#[cfg(unix)]
#[test]
fn warns_about_keys_that_other_users_can_read() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let list = [folder.identity("own", &Identity::new(&authority, &[NAME]))];
    let mut bytes = [0; 48];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    folder.write("ticket.key", bytes);
    let tls = format!("{}, ticket_keys: [ticket.key]", certificates(&list));
    assert_eq!(folder.warnings(&tls, ""), "");
    folder.set_mode("own.key", 0o644);
    folder.set_mode("ticket.key", 0o644);
    let warnings = folder.warnings(&tls, "");
    for file in ["own.key", "ticket.key"] {
        assert!(warnings.contains(&format!("everyone on this machine can read the secret in {file}")));
    }
    assert_eq!(warnings.lines().count(), 2, "{warnings}");
}

#[test]
fn check_shows_certificates_and_settings_never_a_key() {
    let (folder, authority) = (Folder::new(), Authority::named("clients"));
    let own = Identity::with(&authority, &[NAME, "*.example.com"], |params| {
        params.not_after = rcgen::date_time_ymd(2999, 12, 31);
    });
    folder.write("clients.pem", &authority.pem);
    let tls = format!(
        "{}, min_version: 1.3, unknown_name: reject, \
         client_certificates: {{ mode: optional, ca_file: clients.pem }}",
        certificates(&[folder.identity("own", &own)])
    );
    let settings = folder.load(&tls, "").unwrap_or_else(|told| panic!("{told}"));
    let text = summary(&settings);
    for expected in [
        "listener       127.0.0.1:0: TLS 1.3, h2 and http/1.1, unknown names rejected\n\
         certificate    api.example.com, *.example.com (ECDSA P-256), expires 2999-12-31T00:00:00Z\n",
        "certificates   of clients optional, from clients\n",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let shown = format!("{settings:?}");
    let secret: String = own.key.lines().skip(1).take(1).collect();
    assert!(shown.contains("api.example.com") && !shown.contains(&secret), "{shown}");
}
