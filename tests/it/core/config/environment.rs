//! The environment, alone and over a file.

use std::path::Path;
use std::time::Duration;

use approov_gateway::approov::Strategy;
use approov_gateway::config::{AccessLog, load_approov, load_secrets};
use approov_gateway::policy::{PathPattern, Policy};

use super::{WITH_DOMAIN, WITH_SECRET, environment, lines, loaded, refused};
use crate::harness::Folder;

#[test]
fn the_environment_alone_is_enough() {
    let settings = loaded(None, &[WITH_SECRET, WITH_DOMAIN]);
    assert_eq!(lines(&settings.warnings), "");
    assert_eq!(settings.file, None);
    assert!(settings.server.threads >= 1);
    assert_eq!(settings.listeners.len(), 1);
    assert_eq!(settings.listeners[0].address.to_string(), "127.0.0.1:8787");
    assert_eq!(settings.admin.address.to_string(), "127.0.0.1:8788");
    assert_eq!(settings.approov.token_header, "approov-token");
    assert_eq!(settings.approov.binding_headers, ["authorization"]);
    assert!(!settings.approov.forward_token);
    assert_eq!((settings.rejection.status.as_u16(), &settings.rejection.body[..]), (401, &b"{}"[..]));
    assert_eq!(settings.origins.len(), 1);
    assert_eq!(settings.origins[0].name.as_ref(), "api");
    let [route] = settings.routes.routes() else { panic!("{:?}", settings.routes) };
    assert_eq!((route.policy, route.strategy, route.origin), (Policy::Protect, Strategy::Token, 0));
    assert_eq!(route.path, PathPattern::Prefix("/".into()));
    assert!(settings.routes.find("GET", b"", b"/any/../path", None).is_ok_and(|found| found.is_some()));
    assert_eq!(settings.log.access, AccessLog::Json);
}

#[test]
fn without_anything_the_two_required_variables_are_named() {
    let told = refused(None, &[]);
    assert!(told.contains("API_DOMAIN") && told.contains("APPROOV_SECRET_BASE64"), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[test]
fn the_environment_overrides_the_file() {
    let file = Path::new("tests/config/good/everything.yaml");
    let settings = loaded(
        Some(file),
        &[
            WITH_SECRET,
            ("API_DOMAIN", "http://localhost:9"),
            ("APPROOV_TOKEN_HEADER_NAME", "X-Approov-Token"),
            ("APPROOV_BINDING_HEADER_NAME", "Authorization , X-Device"),
            ("APPROOV_BINDING_CLAIM_NAME", "bound"),
            ("APPROOV_VERIFICATION_STRATEGY", "token"),
            ("GATEWAY_LISTEN", "127.0.0.1:1"),
            ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:2"),
            ("GATEWAY_THREADS", "7"),
        ],
    );
    assert_eq!((settings.origins[0].name.as_ref(), settings.origins[0].port), ("main", 9));
    assert_eq!(
        settings.origins[0].timeouts.connect,
        Duration::from_secs(1),
        "other settings of the origin are kept"
    );
    assert_eq!(settings.approov.token_header, "x-approov-token");
    assert_eq!(settings.approov.binding_headers, ["authorization", "x-device"]);
    assert!(format!("{:?}", settings.approov.verifier).contains("claim: \"bound\", headers: 2"));
    assert_eq!(settings.routes.routes()[0].strategy, Strategy::Token);
    assert_eq!(settings.listeners.len(), 1);
    assert_eq!(settings.listeners[0].address.port(), 1);
    assert_eq!(settings.admin.address.to_string(), "127.0.0.1:2");
    assert_eq!(settings.server.threads, 7);
}

#[test]
fn a_variable_that_replaces_listeners_with_tls_is_reported() {
    let tls = "tls: { certificates: [ { certificate_file: own.pem, private_key_file: own.key } ] }";
    let text = format!("listeners: [ {{ address: \"127.0.0.1:8443\", {tls} }} ]\n");
    let folder = Folder::new();
    let file = folder.write("gateway.yaml", text);
    let settings = loaded(Some(&file), &[WITH_SECRET, WITH_DOMAIN, ("GATEWAY_LISTEN", "127.0.0.1:1")]);
    assert!(settings.listeners[0].tls.is_none());
    assert_eq!(
        lines(&settings.warnings),
        "GATEWAY_LISTEN: it replaces listeners of the file, and drops their tls; \
         unset it, or make sure that another proxy does what they did"
    );
}

#[test]
fn the_file_is_named_by_argument_or_by_variable() {
    let file = "tests/config/good/everything.yaml";
    let settings = loaded(None, &[WITH_SECRET, ("GATEWAY_CONFIG", file)]);
    assert_eq!(settings.file.as_deref(), Some(Path::new(file)));
    let other = Path::new("tests/config/good/routes.yaml");
    let settings = loaded(Some(other), &[WITH_SECRET, ("GATEWAY_CONFIG", file)]);
    assert_eq!(settings.file.as_deref(), Some(other));
    let told = refused(None, &[WITH_SECRET, ("GATEWAY_CONFIG", "/nonexistent.yaml")]);
    assert!(told.starts_with("/nonexistent.yaml: the configuration file cannot be read"), "{told}");
}

#[test]
fn both_names_of_the_binding_strategy_are_accepted_and_no_others() {
    for word in ["token-binding", "token-with-binding"] {
        let settings = loaded(None, &[WITH_SECRET, WITH_DOMAIN, ("APPROOV_VERIFICATION_STRATEGY", word)]);
        assert_eq!(settings.routes.routes()[0].strategy, Strategy::TokenBinding, "{word}");
    }
    for word in ["binding", "TOKEN", "token ", "none", ""] {
        refused(None, &[WITH_SECRET, WITH_DOMAIN, ("APPROOV_VERIFICATION_STRATEGY", word)]);
    }
}

#[test]
fn the_token_header_cannot_be_a_bound_header() {
    let authorization = ("APPROOV_TOKEN_HEADER_NAME", "Authorization");
    loaded(None, &[WITH_SECRET, WITH_DOMAIN, authorization]);
    let bound = ("APPROOV_VERIFICATION_STRATEGY", "token-binding");
    let told = refused(None, &[WITH_SECRET, WITH_DOMAIN, authorization, bound]);
    assert!(told.starts_with("APPROOV_TOKEN_HEADER_NAME: "), "{told}");
}

#[test]
fn commands_that_need_no_origin_do_not_require_one() {
    let secret = environment(&[WITH_SECRET]);
    assert_eq!(load_secrets(None, &secret).expect("a secret").len(), 1);
    assert_eq!(load_approov(None, &secret).expect("a verifier").0.verifier.keys().len(), 1);
    assert!(load_secrets(None, &environment(&[])).is_err());
}
