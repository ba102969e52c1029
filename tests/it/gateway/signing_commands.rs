//! The commands `sign` and `inspect --request`, with a gateway that judges what they say.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::tokens::{self, in_seconds};
use crate::harness::{
    Exit, Folder, Gateway, Message, Origin, Process, Setup, config_before, gateway_command, run,
    run_with_input,
};

const URL: &str = "http://api.test/pay/1?a=b";

/// A configuration in which every request must be signed, with an account key of 64 raw bytes.
fn config(folder: &Folder, origin: &Origin) -> String {
    let key = folder.write("account-key", std::array::from_fn::<u8, 64, _>(|index| index as u8));
    let signing = format!(
        "approov:\n  message_signing:\n    mode: required\n    account_keys: [ {{ id: main, secret_file: {} }} ]\n",
        key.display()
    );
    config_before(origin, "").replace("approov:\n", &signing)
}

struct World {
    folder: Folder,
    origin: Origin,
    gateway: Gateway,
    file: String,
}

impl World {
    fn new() -> Self {
        let (folder, origin) = (Folder::new(), Origin::new());
        let config = config(&folder, &origin);
        let file = folder.write("gateway.yaml", &config).to_str().unwrap().to_owned();
        let gateway = Setup::bare().config(&config).start();
        Self { folder, origin, gateway, file }
    }

    /// Runs a command with this configuration.
    fn run(&self, arguments: &[&str]) -> Exit {
        run(gateway_command(arguments).args(["-c", &self.file]))
    }

    /// The header lines that `sign` prints.
    fn sign(&self, arguments: &[&str]) -> Vec<(String, String)> {
        let exit = self.run(&[&["sign"], arguments].concat());
        assert!(exit.status.success(), "{arguments:?}: {exit:?}");
        let pair =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.into(), value.into())).unwrap();
        exit.stdout.lines().map(pair).collect()
    }

    /// A file with a request, as it is on the wire.
    fn request(&self, first: &str, host: &str, fields: &[(String, String)], body: &str) -> String {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("{first} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n{body}");
        self.folder.write("request.http", text).to_str().unwrap().to_owned()
    }

    fn inspect(&self, path: &str, more: &[&str]) -> Exit {
        self.run(&[&["inspect", "--scheme", "http", "--request", path], more].concat())
    }
}

fn with(message: Message, fields: &[(String, String)]) -> Message {
    fields.iter().fold(message, |message, (name, value)| message.field(name, value))
}

fn get(target: &str, fields: &[(String, String)]) -> Message {
    with(Message::get(target).host("api.test"), fields)
}

#[test]
fn what_sign_prints_is_what_the_gateway_accepts() {
    let world = World::new();
    let key = world.folder.path("account-key");
    let account: [&str; 7] =
        ["--label", "account", "--key-file", key.to_str().unwrap(), "--raw-key", "--key-id", "main"];
    for label in [&["--label", "install"][..], &account] {
        let fields = world.sign(&[label, &["--url", URL]].concat());
        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Approov-Token", "Signature-Input", "Signature"]);
        let before = world.origin.requests().len();
        assert_eq!(world.gateway.ask(&get("/pay/1?a=b", &fields)).status, 200, "{label:?}");
        assert_eq!(world.gateway.ask(&get("/pay/2?a=b", &fields)).status, 401, "{label:?}");
        assert_eq!(world.gateway.ask(&get("/pay/1?a=b", &fields[..1])).status, 401, "{label:?}");
        assert_eq!(world.origin.requests().len(), before + 1);
    }
    world.gateway.wait_for_requests(&[("reason", "bad_message_signature")], 2.0);
    world.gateway.wait_for_requests(&[("reason", "missing_message_signature")], 2.0);
}

#[test]
fn bodies_and_further_fields_are_signed_too() {
    let world = World::new();
    let body = world.folder.write("body", "{\"amount\":1}");
    let fields = world.sign(&[
        "--label",
        "install",
        "--method",
        "POST",
        "--url",
        URL,
        "--header",
        "Authorization: Bearer a",
        "--body-file",
        body.to_str().unwrap(),
    ]);
    assert!(
        fields.iter().any(|(name, value)| name == "Signature-Input" && value.contains("\"authorization\""))
    );
    let post = |authorization: &str, body: &str| {
        let message = with(Message::post("/pay/1?a=b", body).host("api.test"), &fields);
        world.gateway.ask(&message.field("Authorization", authorization)).status
    };
    assert_eq!(post("Bearer a", "{\"amount\":1}"), 200);
    assert_eq!(post("Bearer b", "{\"amount\":1}"), 401);
    assert_eq!(post("Bearer a", "{\"amount\":9}"), 401);
    assert_eq!(world.origin.requests().len(), 1);
}

#[test]
fn inspect_says_of_a_request_what_the_gateway_says() {
    let world = World::new();
    let fields = world.sign(&["--label", "install", "--url", URL]);
    let token = &fields[0].1;
    let path = world.request("GET /pay/1?a=b", "api.test", &fields, "");
    let exit = world.inspect(&path, &[]);
    assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    for line in [
        "signed by  install\n",
        "signature  valid\n",
        "base       \"@method\": GET\n",
        "base       \"@target-uri\": http://api.test/pay/1?a=b\n",
        "as the RFC says",
    ] {
        assert!(exit.stdout.contains(line), "{line}: {}", exit.stdout);
    }
    assert!(
        !exit.stdout.contains(token.as_str()) && !exit.stderr.contains(token.as_str()),
        "the token is shown"
    );
    let signature = fields[2].1.split(':').nth(1).unwrap();
    assert!(!exit.stdout.contains(signature), "the signature is shown");

    // Another target, another scheme, another host: as at the gateway.
    let moved = world.request("GET /pay/2?a=b", "api.test", &fields, "");
    for (path, scheme) in [(&moved, "http"), (&path, "https")] {
        let exit = world.run(&["inspect", "--scheme", scheme, "--request", path]);
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.contains("rejected (bad_message_signature)"), "{exit:?}");
    }
    let path = world.request("GET /pay/1?a=b", "other.test", &fields, "");
    assert_eq!(world.inspect(&path, &[]).status.code(), Some(1));
}

#[test]
fn inspect_compares_with_the_digest_that_a_debug_build_sends() {
    let world = World::new();
    let mut fields = world.sign(&["--label", "install", "--url", URL]);
    let path = world.request("GET /pay/1?a=b", "api.test", &fields, "");
    let report: Value = serde_json::from_str(&world.inspect(&path, &["--json"]).stdout).unwrap();
    let signature = &report["message_signature"];
    assert_eq!((&signature["result"], &signature["reason"]), (&json!("valid"), &Value::Null));
    let digest = signature["base_sha256"][0].as_str().unwrap().to_owned();
    for (value, expected) in [(digest.as_str(), ", the client's own"), ("AAAA", ", not the client's")] {
        fields.push(("Signature-Base-Digest".into(), format!("sha-256=:{value}:")));
        let path = world.request("GET /pay/1?a=b", "api.test", &fields, "");
        let exit = world.inspect(&path, &[]);
        assert!(exit.stdout.contains(expected), "{exit:?}");
        fields.pop();
    }
}

#[test]
fn inspect_reads_a_request_from_standard_input_and_judges_its_body() {
    let world = World::new();
    let body = world.folder.write("body", "hello");
    let arguments =
        ["--label", "install", "--method", "POST", "--url", URL, "--body-file", body.to_str().unwrap()];
    let fields = world.sign(&arguments);
    for (body, code) in [("hello", 0), ("hullo", 1)] {
        let path = world.request("POST /pay/1?a=b", "api.test", &fields, body);
        let bytes = std::fs::read(Path::new(&path)).unwrap();
        let mut command =
            gateway_command(&["inspect", "--scheme", "http", "--request", "-", "-c", &world.file]);
        let exit = run_with_input(&mut command, &bytes);
        assert_eq!(exit.status.code(), Some(code), "{body}: {exit:?}");
        assert_eq!(exit.stderr.contains("content_digest_mismatch"), code == 1, "{exit:?}");
    }
}

#[test]
fn what_cannot_be_signed_or_inspected_is_said() {
    let world = World::new();
    for (arguments, code, message) in [
        (&["sign", "--label", "account", "--url", URL][..], 2, "account needs --key-file"),
        (&["sign", "--label", "install", "--url", "api.test/a"], 2, "https:// or http://"),
        (&["sign", "--label", "other", "--url", URL], 2, "install or account"),
        (&["sign", "--label", "install", "--key-file", "x", "--url", URL], 2, "install makes its own key"),
        (&["inspect", "--request", "/nonexistent"], 1, "No such file"),
    ] {
        let exit = world.run(arguments);
        assert_eq!(exit.status.code(), Some(code), "{arguments:?}: {exit:?}");
        assert!(exit.stderr.contains(message), "{arguments:?}: {exit:?}");
    }
    let unsigned = [("Approov-Token".to_owned(), tokens::with_claims(json!({ "exp": in_seconds(60) })))];
    let path = world.request("GET /", "api.test", &unsigned, "");
    let exit = world.inspect(&path, &[]);
    assert!(exit.stdout.contains("signed by  no signature"), "{exit:?}");
}

#[test]
fn the_signed_lines_of_the_demo_work_and_the_token_alone_does_not() {
    let mut command = gateway_command(&["demo"]);
    command.env("GATEWAY_LISTEN", "127.0.0.1:0").env("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0");
    let demo = Process::start(&mut command);
    let (stdout, _) =
        demo.wait_for_output(|stdout, _| String::from_utf8_lossy(stdout).contains("Ctrl-C ends"));
    let text = String::from_utf8(stdout).unwrap().replace("\\\n", "");
    let commands: Vec<&str> = text.lines().filter(|line| line.contains("/account ")).collect();
    assert_eq!(commands.len(), 2, "{text}");
    for (command, status) in commands.into_iter().zip([200, 401]) {
        let (_, rest) = command.split_once("http://").unwrap();
        let address = rest.split('/').next().unwrap();
        let headers = command.split("-H '").skip(1).map(|part| part.split('\'').next().unwrap());
        let message = headers.fold(Message::get("/account").host(address), |message, header| {
            let (name, value) = header.split_once(": ").unwrap();
            message.field(name, value)
        });
        let response = crate::harness::Client::connect(address.parse().unwrap()).ask(&message);
        assert_eq!(response.status, status, "{command}");
    }
}
