//! The status page and its data, as processes tell them.

use std::fs;
use std::thread;

use serde_json::Value;

use crate::harness::{
    Client, Folder, Gateway, Message, Origin, Response, Setup, config_before, eventually, gateway_before,
    get, tokens,
};

fn ask(gateway: &Gateway, path: &str, accept: &str) -> Response {
    let message = Message::get(path).host("localhost").field("Accept", accept).field("Connection", "close");
    Client::connect(gateway.admin_address()).ask(&message)
}

fn field<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.values(name).first().copied()
}

fn page(gateway: &Gateway) -> String {
    ask(gateway, "/", "text/html").text()
}

fn status(gateway: &Gateway) -> Value {
    let response = gateway.admin("/status.json");
    assert_eq!(response.status, 200);
    serde_json::from_slice(&response.body).expect("JSON")
}

/// Waits until the data satisfies `wanted`.
fn wait_for(gateway: &Gateway, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || Some(status(gateway)).filter(|status| wanted(status)))
}

#[test]
fn browsers_get_the_page_and_programs_the_data() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for path in ["/", "/status"] {
        let page = ask(&gateway, path, "text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!(
            (page.status, field(&page, "content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
        assert!(page.text().starts_with("<!doctype html>"));
        assert!(page.body.len() < 30_000, "{} bytes", page.body.len());
    }
    assert!(ask(&gateway, "/", "*/*").text().starts_with("approov-gateway: /status "));
    assert_eq!(field(&ask(&gateway, "/status", "*/*"), "content-type"), Some("application/json"));
    assert_eq!(field(&ask(&gateway, "/status.json", "text/html"), "content-type"), Some("application/json"));
    let post = Message::post("/status", "").host("localhost").field("Connection", "close");
    assert_eq!(Client::connect(gateway.admin_address()).ask(&post).status, 405);
}

#[test]
fn policy_of_the_page_admits_nothing_from_elsewhere_and_nothing_inline() {
    let gateway = gateway_before(&Origin::new());
    let response = ask(&gateway, "/", "text/html");
    let policy = field(&response, "content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for part in ["connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert_eq!(field(&response, "x-content-type-options"), Some("nosniff"));
    assert_eq!(field(&response, "referrer-policy"), Some("no-referrer"));
}

#[test]
fn data_tells_requests_refusals_and_the_last_of_them() {
    let origin = Origin::new();
    let config = config_before(
        &origin,
        "routes:\n  - { path: /v1/, policy: protect }\n  - { path: /v2/, policy: observe }\n",
    );
    let gateway = Setup::bare().config(&config).start();
    for _ in 0..3 {
        assert_eq!(gateway.ask(&get("/v1/a")).status, 200);
    }
    assert_eq!(gateway.ask(&Message::get("/v1/b").token(&tokens::expired())).status, 401);
    assert_eq!(gateway.ask(&Message::get("/v2/c")).status, 200);
    assert_eq!(gateway.ask(&Message::get("/other")).status, 404);
    let status = wait_for(&gateway, "six requests", |status| {
        // A request is counted before it is listed.
        let is_listed = status["recent"].as_array().is_some_and(|recent| recent.len() == 2);
        status["traffic"]["requests"] == 6 && is_listed
    });
    assert_eq!(status["state"], "serving");
    assert_eq!(status["traffic"]["refused"], 2);
    assert_eq!(status["traffic"]["server_errors"], 0);
    assert!(status["traffic"]["latency_seconds"]["p99"].as_f64().unwrap() > 0.0);
    assert!(status["traffic"]["own_share_seconds"]["p50"].as_f64().unwrap() > 0.0);
    let sum: u64 = status["traffic"]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|part| part["requests"].as_u64())
        .sum();
    assert_eq!(sum, 6);
    let route = |name: &str| {
        let routes = status["routes"]["shown"].as_array().unwrap();
        routes.iter().find(|route| route["route"] == name).unwrap_or_else(|| panic!("{name}: {status}"))
    };
    assert_eq!(route("/v1/")["requests"]["recent"], 4);
    assert_eq!(route("/v1/")["refused"]["total"], 1);
    assert_eq!(route("/v2/")["would_be_refused"]["recent"], 1);
    assert_eq!(route("/v2/")["outcomes"][0]["reason"], "missing_token");
    assert_eq!(status["keys"][0]["algorithm"], "HS256");
    assert_eq!(status["limits"]["bans"].as_array().unwrap().len(), 0);
    let recent: Vec<_> =
        status["recent"].as_array().unwrap().iter().map(|entry| &entry["url.path"]).collect();
    assert_eq!(recent, ["/other", "/v1/b"]);
    let page = page(&gateway);
    assert!(page.contains("protect would refuse these") && page.contains("expired"), "{page}");
}

#[test]
fn last_refusals_are_kept_without_an_access_log() {
    let config = config_before(&Origin::new(), "log: { access: off }\n");
    let gateway = Setup::bare().config(&config).start();
    for number in 0..60 {
        assert_eq!(gateway.ask(&Message::get(&format!("/{number}"))).status, 401);
    }
    let is_listed =
        |status: &serde_json::Value| status["recent"].as_array().is_some_and(|recent| recent.len() == 50);
    let status =
        wait_for(&gateway, "requests", |status| status["traffic"]["requests"] == 60 && is_listed(status));
    let recent = status["recent"].as_array().unwrap();
    assert_eq!(recent[0]["approov.reason"], "missing_token");
    assert!(gateway.stdout().is_empty());
}

#[test]
fn nothing_from_outside_becomes_markup_and_no_credential_is_shown() {
    let hostile = "<img src=x onerror=alert(1)>";
    let config = config_before(
        &Origin::new(),
        &format!("routes: [ {{ path: \"/\", name: \"{hostile}\", policy: protect }} ]\n"),
    );
    let gateway = Setup::bare().config(&config).start();
    let token = tokens::expired();
    for path in ["/%3Cscript%3Ealert(1)%3C/script%3E", "/'\"&<b>", &format!("/{token}")] {
        let message = Message::get(path)
            .host("\"><script>alert(1)</script>")
            .field("User-Agent", hostile)
            .field("Authorization", "Bearer secret-of-a-user")
            .token(&token);
        gateway.ask(&message);
        gateway.ask(&message.host("gateway.test"));
    }
    wait_for(&gateway, "refusals", |status| status["traffic"]["refused"] == 6);
    let (page, data) = (page(&gateway), gateway.admin("/status.json").text());
    let (_, content) = page.split_once("<main>").unwrap();
    let (content, _) = content.split_once("</main>").unwrap();
    for markup in ["<script", "<img", "<b>\"", "onerror=alert(1)>"] {
        assert!(!content.contains(markup), "{markup}: {content}");
    }
    assert!(content.contains("401"), "{content}");
    for secret in
        [token.as_str(), token.rsplit('.').next().unwrap(), "secret-of-a-user", tokens::SECRET_BASE64]
    {
        assert!(!page.contains(secret) && !data.contains(secret), "{secret}");
    }
}

#[test]
fn state_follows_origin_reload_and_drain() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let path = folder.write("gateway.yaml", config_before(&origin, "server: { drain_delay: 20s }\n"));
    let mut gateway = Setup::bare().arguments(&["run", "-c", path.to_str().unwrap()]).start();
    assert_eq!(status(&gateway)["state"], "serving");
    assert_eq!(status(&gateway)["config"]["generation"], 1);
    // A reload that is refused, and one that is not.
    folder.write("gateway.yaml", config_before(&origin, "server: { drain_dellay: 20s }\n"));
    gateway.signal("HUP");
    let refused = wait_for(&gateway, "a refused reload", |status| status["state"] == "degraded");
    assert_eq!(refused["reason"], "the last reload was refused; the configuration before stays in force");
    let problem = refused["config"]["refused"]["problems"][0].as_str().unwrap();
    assert!(problem.contains("drain_dellay"), "{problem}");
    assert!(page(&gateway).contains("drain_dellay"));
    let refusing = Origin::refusing();
    folder.write("gateway.yaml", config_before(&refusing, "server: { drain_delay: 20s }\n"));
    gateway.signal("HUP");
    wait_for(&gateway, "the next configuration", |status| status["config"]["generation"] == 2);
    assert_eq!(status(&gateway)["state"], "serving", "nothing is known against the origin");
    assert_eq!(gateway.ask(&get("/")).status, 502);
    let failing = wait_for(&gateway, "a failing origin", |status| status["state"] == "degraded");
    let reason = failing["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("origin api does not answer: 127.0.0.1:")
            && reason.contains("refuses connections"),
        "{reason}"
    );
    assert_eq!(failing["origins"][0]["state"], "down");
    assert_eq!(failing["origins"][0]["addresses"][0]["state"], "failing");
    wait_for(&gateway, "its entry", |status| status["recent"][0]["http.response.status_code"] == 502);
    // It answers again.
    folder.write("gateway.yaml", config_before(&origin, "server: { drain_delay: 20s }\n"));
    gateway.signal("HUP");
    wait_for(&gateway, "the origin that answers", |status| status["state"] == "serving");
    gateway.signal("TERM");
    let draining = wait_for(&gateway, "the drain", |status| status["state"] == "draining");
    assert!(draining["reason"].as_str().unwrap().contains("this process ends"), "{draining}");
    assert!(page(&gateway).contains("Draining"));
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn address_that_answers_again_is_up_and_its_last_failure_stays_visible() {
    let mut origin = Origin::refusing();
    let gateway = gateway_before(&origin);
    assert_eq!(gateway.ask(&get("/")).status, 502);
    wait_for(&gateway, "a failing origin", |status| status["origins"][0]["state"] == "down");
    origin.open(|exchange| exchange.answer("200 OK", ""));
    assert_eq!(gateway.ask(&get("/")).status, 200);
    let status = wait_for(&gateway, "the origin", |status| status["origins"][0]["state"] == "up");
    let address = &status["origins"][0]["addresses"][0];
    assert_eq!(address["reason"], Value::Null);
    assert!(address["last_failure"]["message"].as_str().unwrap().contains("refuses connections"));
}

#[test]
fn unresolved_name_and_failing_health_checks_are_told_in_words() {
    let gateway = Setup::bare()
        .env("APPROOV_SECRET_BASE64", tokens::SECRET_BASE64)
        .env("API_DOMAIN", "http://api.invalid")
        .start();
    let now = status(&gateway);
    assert!(now["reason"].as_str().unwrap().contains("api.invalid has no address"), "{now}");
    let origin = Origin::scripted(|exchange| exchange.answer("503 Service Unavailable", ""));
    let config = config_before(&origin, "")
        .replace("\" }\n", "\", health_check: { path: /healthz, interval: 100ms } }\n");
    let gateway = Setup::bare().config(&config).start();
    wait_for(&gateway, "a failed check", |status| {
        let reason = status["origins"][0]["addresses"][0]["reason"].as_str().unwrap_or_default();
        status["origins"][0]["state"] == "down" && reason.contains("its health checks fail: it answers 503")
    });
}

#[test]
fn bans_are_shown_until_they_are_forgiven() {
    let origin = Origin::new();
    let config =
        config_before(&origin, "limits: { allow: [], offenders: { failures: 3, within: 1m, ban: 1h } }\n");
    let gateway = Setup::bare().config(&config).start();
    for _ in 0..3 {
        let refused = Message::get("/").token(&tokens::wrongly_signed());
        gateway.connect_from(7).ask(&refused);
    }
    let status =
        wait_for(&gateway, "a ban", |status| status["limits"]["bans"].as_array().unwrap().len() == 1);
    assert_eq!(status["limits"]["bans"][0]["address"], "127.0.0.7");
    assert!(status["limits"]["bans"][0]["seconds_left"].as_u64().unwrap() > 3000);
    assert!(page(&gateway).contains("data-forgive=\"127.0.0.7\""));
    let message =
        Message::new("DELETE", "/offenders/127.0.0.7").host("localhost").field("Connection", "close");
    assert_eq!(Client::connect(gateway.admin_address()).ask(&message).status, 200);
    wait_for(&gateway, "no ban", |status| status["limits"]["bans"].as_array().unwrap().is_empty());
}

#[test]
fn every_name_of_the_data_is_documented() {
    let page = fs::read_to_string("docs/reference/status.md").unwrap();
    let origin = Origin::new();
    let config =
        config_before(&origin, "limits: { allow: [], offenders: { failures: 1, within: 1m, ban: 1h } }\n");
    let gateway = Setup::bare().config(&config).start();
    gateway.ask(&get("/"));
    gateway.ask(&Message::get("/").token(&tokens::wrongly_signed()));
    let status =
        wait_for(&gateway, "a ban", |status| !status["limits"]["bans"].as_array().unwrap().is_empty());
    let mut names = Vec::new();
    paths(&status, String::new(), &mut names);
    assert!(names.len() > 50, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not in docs/reference/status.md");
    }
}

/// The path of each value. Entries of the access log have a reference of their own.
fn paths(value: &Value, path: String, names: &mut Vec<String>) {
    match value {
        _ if path == "recent[]" => {}
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                paths(member, path, names);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().for_each(|item| paths(item, format!("{path}[]"), names));
        }
        _ => names.push(path),
    }
}

#[test]
fn page_is_answered_while_many_look() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| assert_eq!(ask(&gateway, "/", "text/html").status, 200)));
        }
    });
    gateway.assert_serves(&origin);
}
