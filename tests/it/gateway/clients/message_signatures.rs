//! An independent judge of message signatures: the Python packages `http-message-signatures` and
//! `cryptography` sign what the gateway verifies, and verify what the gateway signs.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::script;
use crate::harness::tokens::{self, in_seconds};
use crate::harness::{
    Folder, Message, Origin, Setup, config_before, gateway_command, python_with, run, run_with_input,
};

/// Host and port as in the signed URL. The default port is left out.
const HOST: &str = "api.test";

fn account_key() -> Vec<u8> {
    (100..164).collect()
}

fn python(interpreter: &str, mode: &str) -> Command {
    script(interpreter, include_str!("python/message_signatures.py"), &[mode])
}

fn told(command: &mut Command, input: &Value) -> Value {
    let exit = run_with_input(command, input.to_string().as_bytes());
    assert!(exit.status.success(), "{exit:?}");
    serde_json::from_str(&exit.stdout).unwrap()
}

type Fields = Vec<(&'static str, &'static str)>;

/// What is signed: method, target, fields, and the components besides method and token.
fn requests() -> Vec<(&'static str, &'static str, Fields, Vec<&'static str>)> {
    let target = || vec!["@target-uri"];
    vec![
        ("GET", "/", vec![], target()),
        ("GET", "/a/b.json", vec![], target()),
        ("GET", "/a?x=1&y=%20b&z=", vec![], target()),
        ("GET", "/caf%C3%A9/x?q=a%20b&pct=100%25", vec![], target()),
        ("DELETE", "/a%2Fb", vec![("Authorization", "Bearer abc.def")], vec!["@target-uri", "authorization"]),
        ("PUT", "/a?", vec![("X-List", "a,  b")], vec!["@authority", "@path", "@query", "x-list"]),
        (
            "GET",
            "/p?a=1",
            vec![("Accept", "*/*")],
            vec!["@authority", "@path", "@query", "@scheme", "accept"],
        ),
        ("POST", "/r?b=2", vec![("X-Empty", "")], vec!["@target-uri", "@request-target", "x-empty"]),
    ]
}

#[test]
fn the_gateway_accepts_what_another_implementation_signs() {
    let Some(interpreter) = python_with("http_message_signatures") else { return };
    let (folder, origin) = (Folder::new(), Origin::new());
    let key = folder.write("account-key", account_key());
    let signing = format!(
        "approov:\n  message_signing: {{ mode: required, account_keys: [ {{ id: main, secret_file: {} }} ] }}\n",
        key.display()
    );
    let config = config_before(&origin, "").replace("approov:\n", &signing);
    let gateway = Setup::bare().config(&config).start();
    let own: Value = told(&mut python(&interpreter, "key"), &Value::Null);
    let mut cases = Vec::new();
    for label in ["install", "account"] {
        let claim = if label == "install" { json!(own["ipk"]) } else { json!("main") };
        let name = if label == "install" { "ipk" } else { "mskid" };
        let token = tokens::with_claims(json!({ "exp": in_seconds(3600), name: claim }));
        for (method, target, fields, components) in requests() {
            let mut headers: Vec<(&str, &str)> = vec![("Host", HOST), ("Approov-Token", &token)];
            headers.extend(&fields);
            let headers: serde_json::Map<String, Value> =
                headers.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            let components: Vec<&str> =
                ["@method", "approov-token"].into_iter().chain(components.iter().copied()).collect();
            cases.push(json!({
                "label": label, "method": method, "target": target, "headers": headers,
                "url": format!("http://{HOST}{target}"), "components": components,
                "account_key": STANDARD.encode(account_key()),
            }));
        }
    }
    let signed = told(&mut python(&interpreter, "sign"), &json!({ "pem": own["pem"], "cases": cases }));
    assert_eq!(signed.as_array().unwrap().len(), 16);
    for (case, signature) in cases.iter().zip(signed.as_array().unwrap()) {
        let message = |target: &str| {
            let message = Message::new(case["method"].as_str().unwrap(), target).host(HOST);
            let fields = case["headers"].as_object().unwrap().iter().filter(|(name, _)| *name != "Host");
            let fields = fields.chain(signature.as_object().unwrap());
            fields.fold(message, |message, (name, value)| message.field(name, value.as_str().unwrap()))
        };
        let target = case["target"].as_str().unwrap();
        let before = origin.requests().len();
        assert_eq!(gateway.ask(&message(target)).status, 200, "{case}\n{signature}");
        assert_eq!(gateway.ask(&message("/other")).status, 401, "{case}");
        assert_eq!(origin.requests().len(), before + 1);
    }
}

#[test]
fn another_implementation_accepts_what_the_gateway_signs() {
    let Some(interpreter) = python_with("http_message_signatures") else { return };
    let folder = Folder::new();
    let key = folder.write("account-key", account_key());
    let secret = folder.write("secret", tokens::SECRET_BASE64);
    let account = ["--key-file", key.to_str().unwrap(), "--raw-key", "--key-id", "main"];
    let mut cases = Vec::new();
    for label in ["install", "account"] {
        for (method, target, fields, _) in requests() {
            let url = format!("http://{HOST}{target}");
            let mut command = gateway_command(&["sign", "--label", label, "--method", method, "--url", &url]);
            command.arg("--secret-base64-file").arg(&secret);
            if label == "account" {
                command.args(account);
            }
            for (name, value) in &fields {
                command.args(["--header", &format!("{name}: {value}")]);
            }
            let exit = run(&mut command);
            assert!(exit.status.success(), "{exit:?}");
            let printed = exit.stdout.lines().map(|line| line.split_once(": ").unwrap());
            let headers: Vec<(&str, &str)> = fields.into_iter().chain(printed).collect();
            cases.push(json!({
                "method": method, "url": url, "headers": headers, "account_key": STANDARD.encode(account_key()),
            }));
        }
    }
    // The same requests with another method, which neither may accept.
    let changed = cases.iter().map(|case| {
        let mut case = case.clone();
        case["method"] = json!("PATCH");
        case
    });
    let count = cases.len();
    let all: Vec<Value> = cases.iter().cloned().chain(changed).collect();
    let verdicts = told(&mut python(&interpreter, "verify"), &json!({ "cases": all }));
    let expected: Vec<bool> = (0..2 * count).map(|index| index < count).collect();
    assert_eq!(verdicts, json!(expected), "{all:#?}");
}
