//! Personal data in the access log, and the form of the diagnostics.

use serde_json::{Value, json};

use crate::harness::{Message, Origin, Setup, config_before, get, tokens};

#[test]
fn personal_data_is_shortened_hashed_or_replaced() {
    let origin = Origin::new();
    let rest = "routes: [ { path: /v1/, policy: protect, origin: api } ]\n\
                log: { privacy: { client_address: truncate, device: hmac, path: route } }\n";
    let gateway = Setup::bare().config(&config_before(&origin, rest)).start();
    assert_eq!(gateway.ask(&get("/v1/anna")).status, 200);
    assert_eq!(gateway.ask(&get("/v1/bert")).status, 200);
    assert_eq!(gateway.ask(&Message::get("/anna").token(&tokens::valid())).status, 404);
    // A token whose signature fails names a device as well.
    let forged = tokens::signed_with(
        &[7; 64],
        &json!({ "exp": tokens::in_seconds(60), "did": "AnotherApproovTokenDID==" }),
    );
    assert_eq!(gateway.ask(&Message::get("/v1/x").token(&forged)).status, 401);
    gateway.wait_for_requests(&[], 4.0);
    gateway.wait_for_entry(|entry| entry.get("approov.unverified.did").is_some());
    let entries = gateway.entries();
    assert_eq!(entries.len(), 4);
    for entry in &entries {
        assert_eq!((&entry["client.address"], entry.get("client.port")), (&json!("127.0.0.0"), None));
        assert!(matches!(entry.get("url.path").and_then(Value::as_str), None | Some("/v1/")), "{entry}");
    }
    let devices: Vec<&Value> = entries.iter().filter_map(|entry| entry.get("approov.did")).collect();
    assert_eq!(devices.len(), 2);
    assert_eq!(devices[0], devices[1]);
    assert_eq!(devices[0].as_str().map(str::len), Some(32));
    let log = String::from_utf8(gateway.stdout()).unwrap();
    assert!(!log.contains("ApproovTokenDID"), "{log}");
}

#[test]
fn personal_data_is_omitted_and_a_key_gives_all_nodes_the_same_hashes() {
    let origin = Origin::new();
    let rest = "log: { privacy: { client_address: omit, device: omit, path: omit } }\n";
    let gateway = Setup::bare().config(&config_before(&origin, rest)).start();
    assert_eq!(gateway.ask(&get("/anna")).status, 200);
    let entry = gateway.wait_for_entry(|_| true);
    for name in ["client.address", "client.port", "approov.did", "url.path"] {
        assert_eq!(entry.get(name), None, "{entry}");
    }
    let folder = crate::harness::Folder::new();
    let key = folder.write("key", "0123456789abcdef0123\n");
    let rest = format!("log: {{ privacy: {{ device: hmac, key_file: {} }} }}\n", key.display());
    let hash = || {
        let gateway = Setup::bare().config(&config_before(&origin, &rest)).start();
        assert_eq!(gateway.ask(&get("/")).status, 200);
        gateway.wait_for_entry(|_| true)["approov.did"].clone()
    };
    let one = hash();
    assert_eq!(one.as_str().map(str::len), Some(32), "{one}");
    assert_eq!(one, hash());
}

#[test]
fn diagnostics_are_json_if_asked_for() {
    let origin = Origin::new();
    let config = config_before(&origin, "log: { format: json }\n");
    let mut gateway = Setup::bare().config(&config).launch();
    gateway.wait_for_message("\"message\":\"listening on");
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    let lines = String::from_utf8(gateway.stderr()).unwrap();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        assert!(["INFO", "WARN"].contains(&line["level"].as_str().unwrap()), "{line}");
        assert!(line["target"].as_str().unwrap().starts_with("approov_gateway"), "{line}");
    }
}
