//! SIGHUP: a new configuration while requests are in progress.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{assert_echoes, gated};
use crate::harness::{DEADLINE, Folder, Gate, Gateway, Message, Origin, eventually, get, tokens};

const NEXT_SECRET: &[u8; 64] = b"another secret of the tests, which has exactly sixty-four bytes.";

pub(super) fn next_token() -> String {
    tokens::signed_with(NEXT_SECRET, &json!({ "exp": tokens::in_seconds(60) }))
}

pub(super) fn with_next_secret(config: &str) -> String {
    config.replace(tokens::SECRET_BASE64, &next_secret_base64())
}

pub(super) fn next_secret_base64() -> String {
    STANDARD.encode(NEXT_SECRET)
}

/// Sends SIGHUP and waits until the configuration of this generation is in force.
pub fn reload(gateway: &Gateway, generation: u64) {
    gateway.signal("HUP");
    eventually("the next configuration", || {
        (gateway.version()["config_generation"] == generation).then_some(())
    });
    assert_eq!(gateway.version()["config_refused"], Value::Null);
}

/// Sends SIGHUP and waits until the configuration is refused. Returns the problems in `/version`.
pub fn fail_to_reload(gateway: &Gateway) -> Vec<String> {
    gateway.signal("HUP");
    let problems = eventually("the refusal", || match &gateway.version()["config_refused"]["problems"] {
        Value::Array(problems) => Some(problems.clone()),
        _ => None,
    });
    problems.iter().map(|problem| problem.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_reload_changes_keys_routes_and_rejection_for_open_connections() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let gateway = folder.start(&folder.config(&origin, "rejection: { status: 401 }\n"));
    assert_eq!(gateway.version()["config_generation"], 1);
    let mut client = gateway.connect();
    let old = Message::get("/v1/x").token(&tokens::valid());
    let new = Message::get("/v1/x").token(&next_token());
    assert_eq!(client.ask(&old).status, 200);
    assert_eq!(client.ask(&new).status, 401);
    assert_eq!(client.ask(&Message::get("/open")).status, 401);
    let rest = "rejection: { status: 403, content_type: text/plain, body: no }\n\
                routes:\n  - { path: /open, policy: open, origin: api }\n  \
                - { path: /v1/, policy: protect, origin: api }\n";
    folder.write("gateway.yaml", with_next_secret(&folder.config(&origin, rest)));
    reload(&gateway, 2);
    assert_eq!(client.ask(&new).status, 200);
    let refused = client.ask(&old);
    assert_eq!((refused.status, refused.text().as_str()), (403, "no"));
    assert_eq!(client.ask(&Message::get("/open")).status, 200);
    assert_eq!(client.ask(&Message::get("/elsewhere")).status, 404);
    assert_eq!(origin.targets(), ["/v1/x", "/v1/x", "/open"]);
    gateway.wait_for_count("approov_gateway_config_reloads_total", &[("result", "success")], 2.0);
    // The origin is unchanged, so that its connection is reused.
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_request_keeps_the_configuration_it_began_with() {
    let gate = Gate::default();
    let (folder, origin, other) = (Folder::new(), gated(&gate), Origin::new());
    let gateway = folder.start(&folder.config(&origin, ""));
    let mut client = gateway.connect();
    client.send(get("/slow").bytes());
    origin.wait_until("the slow request", |record| record.requests.len() == 1);
    let rest = "routes: [ { name: renamed, path: /, policy: protect, origin: api } ]\n";
    folder.write("gateway.yaml", with_next_secret(&folder.config(&other, rest)));
    reload(&gateway, 2);
    assert_eq!(gateway.ask(&Message::get("/new").token(&next_token())).text(), "hello");
    gate.open();
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "/slow"));
    let route = |path| gateway.wait_for_entry(|entry| entry["url.path"] == path)["approov.route"].clone();
    assert_ne!(route("/slow"), route("/new"));
    assert_eq!(client.ask(&Message::get("/next").token(&next_token())).status, 200);
    assert_eq!(
        (origin.targets(), other.targets()),
        (vec!["/slow".into()], vec!["/new".into(), "/next".into()])
    );
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let config = folder.config(&origin, "");
    let gateway = folder.start(&config);
    let gauge =
        |name| gateway.metrics().sum(&format!("approov_gateway_config_last_reload_success{name}"), &[]);
    let (success, taken_at) = (|| gauge(""), || gauge("_timestamp_seconds"));
    let first_taken_at = taken_at();
    assert!(success() == 1.0 && first_taken_at > 1.6e9);
    gateway.assert_serves(&origin);
    folder.write("gateway.yaml", format!("{}rejection: {{ statsu: 403 }}\n", with_next_secret(&config)));
    let line = config.lines().count() + 1;
    let problems = fail_to_reload(&gateway).join("\n");
    for told in [format!("gateway.yaml:{line}"), "statsu".into(), "status".into()] {
        assert!(problems.contains(&told), "{told}: {problems}");
        gateway.wait_for_message(&told);
    }
    assert_eq!(gateway.version()["config_generation"], 1);
    gateway.wait_for_count("approov_gateway_config_reloads_total", &[("result", "failure")], 1.0);
    let reloads =
        |result| gateway.metrics().sum("approov_gateway_config_reloads_total", &[("result", result)]);
    assert_eq!((reloads("failure"), reloads("success")), (1.0, 1.0));
    assert_eq!((success(), taken_at()), (0.0, first_taken_at));
    gateway.assert_serves(&origin);
    std::fs::remove_file(folder.path("gateway.yaml")).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_count("approov_gateway_config_reloads_total", &[("result", "failure")], 2.0);
    gateway.assert_serves(&origin);
    folder.write("gateway.yaml", &config);
    reload(&gateway, 2);
    assert!(success() == 1.0 && taken_at() > first_taken_at);
    gateway.assert_serves(&origin);
    assert!(origin.connections() <= 2, "one connection for each worker");
}

#[test]
fn a_reload_reads_secret_files_again() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let config = folder.config(&origin, "").replace(
        &format!("secret_base64: \"{}\"", tokens::SECRET_BASE64),
        &format!("secret_base64_file: {}", folder.path("secret").display()),
    );
    folder.write("secret", tokens::SECRET_BASE64);
    let gateway = folder.start(&config);
    gateway.assert_serves(&origin);
    folder.write("secret", "no base64!");
    let problems = fail_to_reload(&gateway).join("\n");
    assert!(problems.contains("secret_base64_file") && !problems.contains("no base64!"), "{problems}");
    gateway.assert_serves(&origin);
    folder.write("secret", STANDARD.encode(NEXT_SECRET));
    reload(&gateway, 2);
    assert_eq!(gateway.ask(&get("/")).status, 401);
    assert_eq!(gateway.ask(&Message::get("/new").token(&next_token())).status, 200);
    assert_eq!(origin.targets(), ["/honest", "/honest", "/new"]);
}

#[test]
fn settings_that_cannot_change_are_named_and_the_rest_changes() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let config = folder.config(&origin, "");
    let gateway = folder.start(&config);
    let config = config
        .replace("threads: 2", "threads: 3, user: 54321, group: 54322")
        .replacen("127.0.0.1:0", "127.0.0.1:1", 1)
        .replace("\"127.0.0.1:0\"", "\"127.0.0.2:0\"")
        .replace("/pid,", "/other-pid,");
    folder.write("gateway.yaml", with_next_secret(&config));
    reload(&gateway, 2);
    for key in ["server.threads", "server.pid_file", "server.user", "listeners", "admin.address"] {
        gateway.wait_for_message(&format!("{key} cannot change while running"));
    }
    let stderr = String::from_utf8(gateway.stderr()).unwrap();
    assert!(!stderr.contains("server.upgrade_sock cannot"), "{stderr}");
    let unapplied = gateway.version()["config_unapplied"].clone();
    assert_eq!(unapplied.as_array().map(Vec::len), Some(5), "{unapplied}");
    assert_eq!(gateway.ask(&Message::get("/new").token(&next_token())).status, 200);
    assert_eq!(folder.pid(), gateway.pid());
}

#[test]
fn many_concurrent_reloads_end_with_the_last_file() {
    let gate = Gate::default();
    let (folder, origin) = (Folder::new(), gated(&gate));
    let config = folder.config(&origin, "");
    let gateway = folder.start(&config);
    let mut client = gateway.connect();
    for round in 0..30 {
        let is_last = round == 29;
        folder.write("gateway.yaml", &if is_last { with_next_secret(&config) } else { config.clone() });
        gateway.signal("HUP");
        if !is_last {
            // The signals are merged. The last file may be in force already, and never a part of it.
            assert_echoes(&mut client, &format!("/{round}"));
        }
    }
    assert_eq!(origin.connections(), 1);
    let deadline = std::time::Instant::now() + DEADLINE;
    // A new connection each time, because a connection serves a limited number of requests.
    while gateway.ask(&Message::get("/new").token(&next_token())).status != 200 {
        assert!(std::time::Instant::now() < deadline, "the last file never came into force");
    }
}
