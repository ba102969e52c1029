//! Message signatures on the wire: what reaches the origin, and what is counted.

mod digests;
mod flipped_signatures;
mod held_bodies;

use serde_json::{Value, json};

use crate::core::message_signing::{ACCOUNT_KEY, Signer, signature};
use crate::harness::tokens::{self, in_seconds};
use crate::harness::{Gateway, Http2Client, Message, Origin, Setup, config_before};
use crate::lifecycle::reload::reload;

const HOST: &str = "api.test";

/// An app: its signing key, and its token.
pub struct App {
    signer: Signer,
    token: String,
}

impl App {
    pub fn install() -> Self {
        let signer = Signer::install();
        let token = tokens::with_claims(json!({ "exp": in_seconds(3600), "ipk": signer.ipk() }));
        Self { signer, token }
    }

    fn account() -> Self {
        let token = tokens::with_claims(json!({ "exp": in_seconds(3600), "mskid": "j3AWy6" }));
        Self { signer: Signer::account(), token }
    }

    /// Signs a request to an URL, with further covered fields, which the message must have.
    fn sign(&self, message: Message, uri: &str, covered: &[(&str, &str)]) -> Message {
        self.sign_at(message, uri, covered, in_seconds(0))
    }

    fn sign_at(&self, message: Message, uri: &str, covered: &[(&str, &str)], created: i64) -> Message {
        let method = message.method().to_owned();
        let mut lines =
            vec![("\"@method\"", &*method), ("\"@target-uri\"", uri), ("\"approov-token\"", &*self.token)];
        lines.extend(covered);
        let parameters = format!(";created={created};expires={}", created + 15);
        let (input, signed) = signature(&self.signer, &lines, &parameters);
        let label = self.signer.label();
        message
            .token(&self.token)
            .field("Signature-Input", &format!("{label}={input}"))
            .field("Signature", &format!("{label}={signed}"))
    }

    pub fn get(&self, target: &str) -> Message {
        self.sign(Message::get(target).host(HOST), &format!("http://{HOST}{target}"), &[])
    }

    fn unsigned(&self, target: &str) -> Message {
        Message::get(target).host(HOST).token(&self.token)
    }
}

/// A gateway with these settings of `message_signing`, and this rest of the configuration.
fn gateway(origin: &Origin, settings: &str, rest: &str) -> Gateway {
    let signing = format!("approov:\n  message_signing: {{ {settings} }}\n");
    let config = config_before(origin, rest).replace("approov:\n", &signing);
    Setup::bare().config(&config).start()
}

fn gateway_with_h2c(origin: &Origin) -> Gateway {
    let listener = "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n";
    let signing = "approov:\n  message_signing: { mode: required }\n";
    let config = config_before(origin, listener).replace("approov:\n", signing);
    Setup::bare().without("GATEWAY_LISTEN").config(&config).start()
}

fn with_account_key(origin: &Origin, mode: &str) -> Gateway {
    let folder = crate::harness::Folder::new();
    let key = folder.write("key", ACCOUNT_KEY);
    let settings =
        format!("mode: {mode}, account_keys: [ {{ id: j3AWy6, secret_file: \"{}\" }} ]", key.display());
    gateway(origin, &settings, "")
}

/// The token's key × the signature × the mode.
#[test]
fn a_mode_refuses_what_it_says_and_nothing_of_it_reaches_the_origin() {
    let (install, account, other) = (App::install(), App::account(), App::install());
    let bare = App { signer: Signer::install(), token: tokens::valid() };
    let wrong = App { signer: Signer::install(), token: install.token.clone() };
    let wrong_account = App { signer: Signer::Account(vec![7; 64]), token: account.token.clone() };
    let cases: [(&str, Message, [u16; 4]); 9] = [
        ("install signed", install.get("/a"), [200; 4]),
        ("install unsigned", install.unsigned("/b"), [200, 200, 401, 401]),
        ("install wrong", wrong.get("/c"), [200, 200, 401, 401]),
        ("account signed", account.get("/d"), [200; 4]),
        ("account unsigned", account.unsigned("/e"), [200, 200, 401, 401]),
        ("account wrong", wrong_account.get("/f"), [200, 200, 401, 401]),
        ("no key, unsigned", bare.unsigned("/g"), [200, 200, 200, 401]),
        ("no key, signed", bare.get("/h"), [200, 200, 200, 401]),
        ("another app", other.get("/i"), [200; 4]),
    ];
    for (column, mode) in ["off", "observe", "when_keyed", "required"].into_iter().enumerate() {
        let origin = Origin::new();
        let gateway = with_account_key(&origin, mode);
        let mut expected = 0;
        for (name, message, statuses) in &cases {
            assert_eq!(gateway.ask(message).status, statuses[column], "{mode}: {name}");
            expected += usize::from(statuses[column] == 200);
        }
        assert_eq!(origin.requests().len(), expected, "{mode}");
        if mode != "off" {
            for (label, result, count) in [
                ("install", "valid", 2.0),
                ("install", "missing", 1.0),
                ("install", "invalid", 1.0),
                ("account", "valid", 1.0),
                ("account", "missing", 1.0),
                ("account", "invalid", 1.0),
                ("none", "no_key", 2.0),
                ("install", "replayed", 0.0),
            ] {
                let labels = [("route", "/"), ("label", label), ("result", result)];
                gateway.wait_for_count("approov_gateway_message_signatures_total", &labels, count);
            }
        }
    }
}

#[test]
fn observed_signatures_are_explained_in_the_log() {
    let origin = Origin::new();
    let gateway = with_account_key(&origin, "observe");
    assert_eq!(gateway.ask(&App::install().unsigned("/unsigned")).status, 200);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/unsigned");
    assert_eq!(entry["approov.message_signature.result"], "missing");
    assert_eq!(entry["approov.message_signature.reason"], "missing_message_signature");
    assert_eq!((&entry["approov.verdict"], &entry["approov.reason"]), (&json!("accepted"), &json!("ok")));
    assert_eq!(gateway.ask(&App::install().get("/signed")).status, 200);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/signed");
    assert_eq!(entry["approov.message_signature.result"], "valid");
    assert_eq!(entry["approov.message_signature.reason"], Value::Null);
}

#[test]
fn the_target_is_the_one_that_the_client_used() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "mode: required", "");
    let app = App::install();
    // The origin's own name, which replaces Host on the way, is another one.
    let plain = |host: &str, target: &str, uri: &str| app.sign(Message::get(target).host(host), uri, &[]);
    for (message, expected) in [
        (plain("api.test", "/a?b=%20c", "http://api.test/a?b=%20c"), 200),
        (plain("API.test:8080", "/a", "http://api.test:8080/a"), 200),
        (plain("api.test:80", "/a", "http://api.test/a"), 200),
        (
            plain(
                "api.test",
                "/s?f={%22a%22:1}&c=^\\`&p=x|y",
                "http://api.test/s?f={%22a%22:1}&c=^\\`&p=x|y",
            ),
            200,
        ),
        (
            plain(
                "api.test",
                "/caf%C3%A9/x?q=a%20b&pct=100%25&pipe=x|y",
                "http://api.test/caf%C3%A9/x?q=a%20b&pct=100%25&pipe=x|y",
            ),
            200,
        ),
        // The absolute form is refused whatever the signature says.
        (plain("api.test", "http://api.test/a", "http://api.test/a"), 400),
        (plain("api.test", "/a", "http://other.test/a"), 401),
        (plain("other.test", "/a", "http://api.test/a"), 401),
        (plain("api.test", "/b", "http://api.test/a"), 401),
        (plain("api.test", "/a?b", "http://api.test/a"), 401),
        (plain("api.test", "/a", "https://api.test/a"), 401),
        (plain("api.test", "/a", "https://api.test/a").field("X-Forwarded-Proto", "https"), 401),
        (plain("api.test", "/a", "http://front.test/a").field("X-Forwarded-Host", "front.test"), 401),
    ] {
        assert_eq!(gateway.ask(&message).status, expected, "{message:?}");
    }
    assert_eq!(origin.requests().len(), 5);
    assert!(origin.requests().iter().all(|request| request.values("host") == [origin.authority().as_str()]));
}

#[test]
fn http2_requests_are_verified_with_their_authority() {
    let origin = Origin::new();
    let gateway = gateway_with_h2c(&origin);
    let app = App::install();
    let mut client = Http2Client::connect(gateway.address());
    assert_eq!(client.ask(&app.get("/a?b")).status, 200);
    assert_eq!(client.ask(&app.unsigned("/b")).status, 401);
    let wrong = app.sign(Message::get("/c").host("other.test"), "http://api.test/c", &[]);
    assert_eq!(client.ask(&wrong).status, 401);
    assert_eq!(origin.targets(), ["/a?b"]);
}

#[test]
fn a_trusted_proxy_tells_scheme_and_host() {
    let origin = Origin::new();
    let rest = "listeners: [ { address: \"127.0.0.1:0\", trusted_proxies: { ranges: [127.0.0.1] } } ]\n";
    let signing = "approov:\n  message_signing: { mode: required, public_origins: [\"https://api.test\"] }\n";
    let config = config_before(&origin, rest).replace("approov:\n", signing);
    let gateway = Setup::bare().without("GATEWAY_LISTEN").config(&config).start();
    let app = App::install();
    let behind = |uri: &str, host: &str, proto: &str| {
        app.sign(Message::get("/a").host("internal.test"), uri, &[])
            .field("X-Forwarded-For", "192.0.2.1")
            .field("X-Forwarded-Proto", proto)
            .field("X-Forwarded-Host", host)
    };
    for (uri, host, proto, expected) in [
        ("https://api.test/a", "api.test", "https", 200),
        ("http://api.test/a", "api.test", "http", 401),
        ("https://other.test/a", "other.test", "https", 401),
        ("https://internal.test/a", "api.test", "https", 401),
    ] {
        assert_eq!(gateway.ask(&behind(uri, host, proto)).status, expected, "{uri} {host} {proto}");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_changed_field_or_a_stale_signature_is_refused() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "mode: required, max_age: 30s, skew: 5s", "");
    let app = App::install();
    let covered = [("\"authorization\"", "Bearer a")];
    let uri = format!("http://{HOST}/a");
    let message = |value: &str| Message::get("/a").host(HOST).field("Authorization", value);
    let now = in_seconds(0);
    for (message, expected) in [
        (app.sign(message("Bearer a"), &uri, &covered), 200),
        (app.sign(message("Bearer b"), &uri, &covered), 401),
        (app.sign(message("Bearer a").field("authorization", "Bearer b"), &uri, &covered), 401),
        (app.sign(Message::get("/a").host(HOST), &uri, &covered), 401),
        (app.sign_at(message("Bearer a"), &uri, &covered, now - 60), 401),
        (app.sign_at(message("Bearer a"), &uri, &covered, now + 60), 401),
    ] {
        assert_eq!(gateway.ask(&message).status, expected, "{message:?}");
    }
    assert_eq!(origin.requests().len(), 1);
    for reason in ["bad_message_signature", "message_signature_expired", "message_signature_not_yet_valid"] {
        gateway.wait_for_requests(&[("reason", reason)], if reason.starts_with("bad") { 3.0 } else { 1.0 });
    }
}

const HELLO: &str = "{\"hello\":\"world\"}";
const HELLO_DIGEST: &str = "sha-256=:k6I5cakU5erL8KjSUVTNownDwccvu5kU1Hxg88toFYg=:";

fn digested(app: &App, message: Message, digest: &str) -> Message {
    let message = message.host(HOST).field("Content-Digest", digest);
    app.sign(message, &format!("http://{HOST}/a"), &[("\"content-digest\"", digest)])
}

#[test]
fn a_replayed_signature_is_counted_or_refused() {
    for (mode, expected) in [("observe", 200), ("enforce", 401)] {
        let origin = Origin::new();
        let gateway = gateway(&origin, &format!("mode: required, replay: {{ mode: {mode} }}"), "");
        let app = App::install();
        let post = digested(&app, Message::post("/a", HELLO), HELLO_DIGEST);
        assert_eq!(gateway.ask(&post).status, 200, "{mode}");
        assert_eq!(gateway.ask(&post).status, expected, "{mode}");
        assert_eq!(gateway.ask(&digested(&app, Message::post("/a", HELLO), HELLO_DIGEST)).status, 200);
        let get = app.get("/a");
        assert_eq!((gateway.ask(&get).status, gateway.ask(&get).status), (200, 200), "safe methods");
        let labels = [("label", "install"), ("result", "replayed")];
        gateway.wait_for_count("approov_gateway_message_signatures_total", &labels, 1.0);
    }
}

#[test]
fn a_replay_is_recognised_after_a_reload() {
    let origin = Origin::new();
    let gateway = gateway(&origin, "mode: required, replay: { mode: enforce }", "");
    let app = App::install();
    let post = digested(&app, Message::post("/a", HELLO), HELLO_DIGEST);
    assert_eq!(gateway.ask(&post).status, 200);
    reload(&gateway, 2);
    assert_eq!(gateway.ask(&post).status, 401);
    assert_eq!(origin.requests().len(), 1);
}
