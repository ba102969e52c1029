//! Keys and secrets: where they come from, and that none is shown.

use std::fs;
use std::path::PathBuf;

use approov_gateway::config::load_secrets;

use super::{SECRET, WITH_DOMAIN, WITH_SECRET, environment, lines, loaded, origin_files, refused};
use crate::harness::Folder;

/// Writes a key file of each kind and a configuration that names them.
fn keys(folder: &Folder) -> PathBuf {
    folder.write("secret", format!("{SECRET}\n"));
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key pair");
    folder.write("es256.pem", pair.public_key_pem());
    let pem = pair.public_key_pem().replace('\n', "\n        ");
    let text = format!(
        "origins: {{ api: {{ domain: api.example.com }} }}\n\
         approov:\n  keys:\n    - {{ id: current, secret_base64_file: secret }}\n    \
         - {{ id: team, algorithm: ES256, public_key_file: es256.pem }}\n    \
         - algorithm: ES256\n      public_key: |\n        {pem}\n"
    );
    folder.write("gateway.yaml", text)
}

#[test]
fn relative_key_files_are_found_next_to_the_configuration() {
    let folder = Folder::new();
    let file = keys(&folder);
    let settings = loaded(Some(&file), &[]);
    let keys: Vec<_> =
        settings.approov.verifier.keys().iter().map(|key| (key.id(), key.algorithm().label())).collect();
    assert_eq!(keys, [(Some("current"), "HS256"), (Some("team"), "ES256"), (None, "ES256")]);
    let secrets = load_secrets(Some(&file), &environment(&[])).expect("the secrets load");
    assert_eq!(secrets.iter().map(|secret| secret.id.as_deref()).collect::<Vec<_>>(), [Some("current")]);
}

#[test]
fn the_secret_of_the_environment_replaces_all_keys() {
    let folder = Folder::new();
    let file = keys(&folder);
    let settings = loaded(Some(&file), &[WITH_SECRET]);
    let keys: Vec<_> = settings.approov.verifier.keys().iter().map(|key| key.id()).collect();
    assert_eq!(keys, [None]);
}

#[test]
fn a_secret_file_works_like_the_variable() {
    let folder = Folder::new();
    let secret = folder.write("secret", format!("\n {SECRET} \r\n"));
    let path = secret.to_str().expect("a path that is text");
    let variable = ("APPROOV_SECRET_BASE64_FILE", path);
    assert_eq!(loaded(None, &[variable, WITH_DOMAIN]).approov.verifier.keys().len(), 1);
    for (content, part) in [
        (&b""[..], "the secret is empty"),
        (b"c2hvcnQ=", "5 bytes"),
        (b"\xff\xfe\x00", "something other than a short text"),
        (&[b'A'; 70_000], "is larger than 64KiB"),
    ] {
        folder.write("secret", content);
        let told = refused(None, &[variable, WITH_DOMAIN]);
        assert!(told.starts_with("APPROOV_SECRET_BASE64_FILE: ") && told.contains(part), "{told}");
    }
}

#[cfg(unix)]
#[test]
fn warns_about_secrets_that_other_users_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let secret = folder.write("secret", SECRET);
    let text = format!(
        "approov: {{ keys: [ {{ secret_base64: {SECRET} }} ] }}\norigins: {{ a: {{ domain: a.example }} }}\n"
    );
    let inline = folder.write("inline.yaml", text);
    let path = secret.to_str().expect("a path that is text");
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        for file in [&secret, &inline] {
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("the mode is set");
        }
        for settings in
            [loaded(None, &[("APPROOV_SECRET_BASE64_FILE", path), WITH_DOMAIN]), loaded(Some(&inline), &[])]
        {
            assert_eq!(settings.warnings.len(), warnings, "{mode:o}: {}", lines(&settings.warnings));
        }
    }
}

#[test]
fn settings_and_problems_never_show_a_secret() {
    let folder = Folder::new();
    let good = format!(
        "approov: {{ keys: [ {{ id: a, secret_base64: {SECRET} }} ] }}\norigins: {{ a: {{ domain: a.example }} }}\n"
    );
    let file = folder.write("good.yaml", &good);
    let shown = format!("{:#?}", loaded(Some(&file), &[]));
    assert!(shown.contains("\"a\"") && !shown.contains(SECRET), "{shown}");
    let secrets = load_secrets(Some(&file), &environment(&[])).expect("the secret loads");
    assert!(!format!("{secrets:?}").contains(SECRET));
    // The secret in a wrong place, or below an unknown key.
    for text in [
        format!("approov: {{ keys: [ {{ secret: {SECRET} }} ] }}"),
        format!("approov: {{ keys: [ {{ secret_base64:{SECRET} }} ] }}"),
        format!("approov: {{ keys: [ {SECRET} ] }}"),
        format!("approov: {{ keys: {SECRET} }}"),
        format!("approov: {{ keys: [ {{ algorithm: {SECRET} }} ] }}"),
        format!("approov: {{ keys: [ {{ public_key: {SECRET} }} ] }}"),
        format!("approov: {{ keys: [ {{ secret_base64: '{SECRET}*' }} ] }}"),
        format!("approov: {{ keys: [ {{ secret_base64: '{SECRET} {SECRET}' }} ] }}"),
        format!("approov: {SECRET}"),
        format!("{SECRET}: {SECRET}"),
        format!("{SECRET}\n{SECRET}: ["),
        format!("a: *{SECRET}"),
        format!("origins: {{ a: {{ domain: {SECRET} }} }}"),
        format!("origins: {{ {SECRET}: {{ domain: a.example }} }}"),
        format!("routes: [ {{ path: {SECRET}, origin: {SECRET}, hosts: [{SECRET}] }} ]"),
        format!("log: {{ access: {SECRET} }}"),
        format!("{SECRET}: 1\n{SECRET}: 2"),
    ] {
        let told = refused(Some(&folder.write("bad.yaml", &text)), &[]);
        assert!(!told.contains(SECRET), "{text}\n{told}");
    }
}

#[test]
fn unusable_files_of_an_origin_are_reported() {
    let folder = Folder::new();
    origin_files(&folder);
    let other = rcgen::KeyPair::generate().expect("a key");
    folder.write("other-key.pem", other.serialize_pem());
    folder.write("short", "too-short");
    folder.write("blanks", "two words are no value of a secret");
    let old = {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new([]).expect("parameters");
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        folder.write("old-key.pem", key.serialize_pem());
        params.self_signed(&key).expect("signed").pem()
    };
    folder.write("old.pem", old);
    let file = |origin: &str| {
        let text = format!("origins: {{ a: {{ domain: a.example, {origin} }} }}\n");
        folder.write("gateway.yaml", text)
    };
    let identity = |certificate: &str, key: &str| {
        format!(
            "tls: {{ client_certificate: {{ certificate_file: {certificate}, private_key_file: {key} }} }}"
        )
    };
    for (origin, told) in [
        ("tls: { ca_file: shop-secret }", "it has no certificate"),
        ("tls: { ca_file: missing.pem }", "cannot be read"),
        ("tls: { client_certificate: { certificate_file: gateway.pem } }", "private_key_file is missing"),
        ("tls: { client_certificate: { private_key_file: gateway-key.pem } }", "certificate_file is missing"),
        (&identity("gateway.pem", "gateway.pem"), "it has no private key"),
        (&identity("gateway.pem", "other-key.pem"), "the private key does not fit the certificate"),
        (&identity("old.pem", "old-key.pem"), "the certificate has expired"),
        ("secret_header: { name: X-S, value_file: short }", "fewer than 16 characters"),
        ("secret_header: { name: X-S, value_file: blanks }", "what no header can carry"),
        ("secret_header: { name: Host, value_file: origin-secret }", "proxies set or remove"),
        ("secret_header: { name: Approov-Token, value_file: origin-secret }", "has another meaning already"),
        ("secret_header: { value_file: origin-secret }", "name is missing"),
        ("secret_header: { name: X-S }", "value_file is missing"),
        ("approov: {}", "keys is missing"),
        ("approov: { keys: [] }", "the list is empty"),
        ("approov: { keys: [ { secret_base64_file: short } ] }", "short: "),
    ] {
        let text = refused(Some(&file(origin)), &[WITH_SECRET]);
        assert!(text.contains(told), "{origin}: {text}");
        assert!(!text.contains("too-short"), "{text}");
    }
    let same = "secret_header: { name: X-S, value_file: origin-secret, next_value_file: origin-secret }";
    let warnings = lines(&loaded(Some(&file(same)), &[WITH_SECRET]).warnings);
    assert!(warnings.contains("the rotation is over"), "{warnings}");
}

#[test]
fn no_general_key_is_needed_if_every_origin_has_keys() {
    let folder = Folder::new();
    origin_files(&folder);
    let own = "approov: { keys: [ { secret_base64_file: shop-secret } ] }";
    let one = format!("origins: {{ a: {{ domain: a.example, {own} }} }}\n");
    let settings = loaded(Some(&folder.write("one.yaml", &one)), &[]);
    assert!(settings.approov.verifier.keys().is_empty());
    let two = format!(
        "origins: {{ a: {{ domain: a.example, {own} }}, b: {{ domain: b.example }} }}\n\
         routes: [ {{ path: /a/, origin: a }}, {{ path: /b/, origin: b }} ]\n"
    );
    let told = refused(Some(&folder.write("two.yaml", &two)), &[]);
    assert!(told.contains("there is no key to verify tokens with"), "{told}");
}
