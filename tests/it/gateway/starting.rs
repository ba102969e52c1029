//! Refused starts: message and exit status.

use crate::harness::{Exit, Message, Origin, Setup, config_before, gateway_before, tokens};

/// Asserts that the start was refused with status 78 and a message that contains each of `named`.
fn assert_refused(exit: &Exit, named: &[&str]) {
    assert_eq!(exit.status.code(), Some(78), "{}", exit.stderr);
    for name in named {
        assert!(exit.stderr.contains(name), "{name} is not named:\n{}", exit.stderr);
    }
    assert!(!exit.stderr.contains("panicked"), "{}", exit.stderr);
    assert!(!exit.stderr.contains("listening on"), "{}", exit.stderr);
}

#[test]
fn bad_values_in_the_environment_are_refused_and_named() {
    let short = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [7; 31]);
    let cases = [
        ("APPROOV_SECRET_BASE64", ""),
        ("APPROOV_SECRET_BASE64", "not base64!"),
        ("APPROOV_SECRET_BASE64", short.as_str()),
        ("APPROOV_SECRET_BASE64", "your-approov-secret-in-base64-here"),
        ("API_DOMAIN", ""),
        ("API_DOMAIN", "https://"),
        ("API_DOMAIN", "https://api.test/v1"),
        ("API_DOMAIN", "https://api.test?x"),
        ("API_DOMAIN", "https://user:pass@api.test"),
        ("API_DOMAIN", "ftp://api.test"),
        ("API_DOMAIN", "api.test:99999"),
        ("API_DOMAIN", "api test"),
        ("APPROOV_VERIFICATION_STRATEGY", "none"),
        ("APPROOV_VERIFICATION_STRATEGY", "Token-Bindings"),
        ("APPROOV_TOKEN_HEADER_NAME", "Approov Token"),
        ("APPROOV_BINDING_HEADER_NAME", "Authorization,,X"),
        ("APPROOV_BINDING_CLAIM_NAME", "exp"),
        ("GATEWAY_LISTEN", "nowhere"),
        ("GATEWAY_LISTEN", "127.0.0.1"),
        ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:99999"),
        ("GATEWAY_THREADS", "0"),
        ("GATEWAY_THREADS", "many"),
        ("GATEWAY_CONFIG", "/nonexistent/gateway.yaml"),
    ];
    let origin = Origin::new();
    for (variable, value) in cases {
        let exit = Setup::before(&origin).env(variable, value).run_to_exit();
        let named = if variable == "GATEWAY_CONFIG" { value } else { variable };
        assert_refused(&exit, &[named]);
        if variable == "APPROOV_SECRET_BASE64" && !value.is_empty() {
            assert!(!exit.stderr.contains(value), "the secret is shown:\n{}", exit.stderr);
        }
    }
}

#[test]
fn a_start_without_secret_and_domain_names_both() {
    assert_refused(&Setup::bare().run_to_exit(), &["APPROOV_SECRET_BASE64", "API_DOMAIN"]);
    assert_refused(
        &Setup::bare().arguments(&["run"]).run_to_exit(),
        &["APPROOV_SECRET_BASE64", "API_DOMAIN"],
    );
}

#[test]
fn a_secret_file_that_cannot_be_read_is_refused_and_named() {
    let origin = Origin::new();
    let setup = || Setup::before(&origin).without("APPROOV_SECRET_BASE64");
    let missing = setup().env("APPROOV_SECRET_BASE64_FILE", "/nonexistent/secret").run_to_exit();
    assert_refused(&missing, &["APPROOV_SECRET_BASE64_FILE", "/nonexistent/secret"]);
    let empty = setup().file("APPROOV_SECRET_BASE64_FILE", "\n").run_to_exit();
    assert_refused(&empty, &["APPROOV_SECRET_BASE64_FILE"]);
}

#[test]
fn all_problems_of_the_file_are_reported_with_line_and_nearest_key() {
    let origin = Origin::new();
    let config = config_before(
        &origin,
        "routes:\n  - { path: /v1/, polcy: protect, origin: api }\n  - { path: /v2/, policy: protect, origin: appi }\n\
         rejection: { status: many }\n",
    );
    let exit = Setup::bare().config(&config).run_to_exit();
    assert_refused(&exit, &["yaml:6", "polcy", "policy", "yaml:7", "appi", "yaml:8", "status"]);
}

#[test]
fn a_file_that_is_not_yaml_is_refused_with_the_line() {
    let exit = Setup::bare().config("approov: {\n  keys: [\n").run_to_exit();
    assert_refused(&exit, &[".yaml:"]);
}

#[test]
fn check_reports_whether_run_would_start() {
    let origin = Origin::new();
    let good = Setup::before(&origin).arguments(&["check"]).run_to_exit();
    assert_eq!(good.status.code(), Some(0), "{}", good.stderr);
    let config = config_before(&origin, "");
    let good = Setup::bare().config(&config).arguments(&["check"]).run_to_exit();
    assert_eq!(good.status.code(), Some(0), "{}", good.stderr);
    let bad = Setup::before(&origin).env("API_DOMAIN", "a/b").arguments(&["check"]).run_to_exit();
    assert_refused(&bad, &["API_DOMAIN"]);
    let bad = Setup::bare().config(&format!("{config}listners: []\n")).arguments(&["check"]).run_to_exit();
    assert_refused(&bad, &["yaml:5", "listners", "listeners"]);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn check_fails_on_warnings_only_if_it_is_strict() {
    let origin = Origin::new();
    let suspicious = config_before(&origin, "") + "limits: { allow: [0.0.0.0/0] }\n";
    let check = |arguments: &[&str]| Setup::bare().config(&suspicious).arguments(arguments).run_to_exit();
    assert_eq!(check(&["check"]).status.code(), Some(0));
    assert_refused(&check(&["check", "--strict"]), &["limits.allow[0]", "a large part of all addresses"]);
    let json = check(&["check", "--format", "json"]);
    assert_eq!(json.status.code(), Some(0), "{}", json.stderr);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(report["problems"].as_array().map(Vec::len), Some(0));
    assert_eq!(report["warnings"][0]["key"], "limits.allow[0]");
    assert!(report["hints"][0].as_str().is_some_and(|hint| hint.contains("ES256")), "{report}");
    let strict = check(&["check", "--strict", "--format", "json"]);
    assert_eq!(strict.status.code(), Some(78));
    let bad = Setup::before(&origin)
        .env("API_DOMAIN", "a/b")
        .arguments(&["check", "--format", "json"])
        .run_to_exit();
    assert_eq!(bad.status.code(), Some(78));
    let report: serde_json::Value = serde_json::from_str(&bad.stdout).expect("JSON");
    assert_eq!(report["problems"][0]["variable"], "API_DOMAIN");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let origin = Origin::new();
    for arguments in
        [&["serve"][..], &["--no-such-option"], &["run", "extra"], &["run", "-c"], &["check", "-x"]]
    {
        let exit = Setup::before(&origin).arguments(arguments).run_to_exit();
        assert_eq!(exit.status.code(), Some(2), "{arguments:?}: {}", exit.stderr);
        assert!(exit.stderr.contains("--help"), "{arguments:?}: {}", exit.stderr);
    }
}

#[test]
fn help_and_version_exit_with_0() {
    for argument in ["--help", "--version"] {
        let exit = Setup::bare().arguments(&[argument]).run_to_exit();
        assert_eq!(exit.status.code(), Some(0));
        assert!(exit.stdout.contains("approov-gateway"), "{}", exit.stdout);
    }
}

#[test]
fn a_listen_address_in_use_is_named() {
    let origin = Origin::new();
    let first = gateway_before(&origin);
    for (variable, taken) in
        [("GATEWAY_LISTEN", first.address()), ("GATEWAY_ADMIN_LISTEN", first.admin_address())]
    {
        let exit = Setup::before(&origin).env(variable, &taken.to_string()).run_to_exit();
        assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
        assert!(exit.stderr.contains(&taken.to_string()), "{}", exit.stderr);
        assert!(exit.stderr.contains("in use"), "{}", exit.stderr);
        assert!(!exit.stderr.contains("panicked"), "{}", exit.stderr);
    }
    first.assert_serves(&origin);
}

#[test]
fn the_environment_overrides_the_file_named_by_the_option() {
    let (origin, other) = (Origin::new(), Origin::new());
    let config = format!("listeners: [ {{ address: nonsense }} ]\n{}", config_before(&other, ""));
    let exit = Setup::bare().config(&config).without("GATEWAY_LISTEN").run_to_exit();
    assert_refused(&exit, &["yaml:1"]);
    let gateway = Setup::bare().config(&config_before(&other, "")).env("API_DOMAIN", &origin.url()).start();
    gateway.assert_serves(&origin);
    assert_eq!(other.connections(), 0);
    assert_eq!(gateway.ask(&Message::get("/").token(&tokens::wrongly_signed())).status, 401);
}
