//! A real Prometheus scrapes real gateways while faults are made, and the shipped alerts fire.
//!
//! The waiting times and windows of the rules are made short. `promtool test rules` holds the real ones, and
//! the alerts whose faults take long: lost log lines, a slow gateway, few descriptors, restarts.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::date_time_ymd;
use serde_json::{Value, json};

use crate::harness::tls::{Authority, Identity};
use crate::harness::{
    Client, Folder, Gateway, Message, Origin, Process, SetOnDrop, Setup, eventually, gateway_before, get,
    has_program, tokens,
};

/// The alerts whose faults the test makes.
const ALERTS: [&str; 10] = [
    "ApproovGatewayCertificateExpires",
    "ApproovGatewayConfigurationsDiffer",
    "ApproovGatewayDown",
    "ApproovGatewayKeyProblem",
    "ApproovGatewayLimitRefuses",
    "ApproovGatewayNoHealthyAddress",
    "ApproovGatewayOriginErrors",
    "ApproovGatewayOriginUnreachable",
    "ApproovGatewayRefusalsHigh",
    "ApproovGatewayReloadRefused",
];

/// The shipped rules with short waiting times and windows.
fn short_rules() -> String {
    let mut rules = fs::read_to_string("packaging/prometheus/alerts.yaml").unwrap();
    for time in ["1m", "2m", "5m", "10m", "30m", "1h"] {
        rules = rules.replace(&format!("for: {time}\n"), "for: 0s\n").replace(&format!("[{time}]"), "[4s]");
    }
    rules
}

/// A Prometheus that scrapes these gateways.
fn start_prometheus(folder: &Folder, gateways: &[&Gateway]) -> (Process, SocketAddr) {
    folder.write("rules.yaml", short_rules());
    let targets: Vec<String> = gateways.iter().map(|gateway| gateway.admin_address().to_string()).collect();
    let config = json!({
        "global": { "scrape_interval": "250ms", "evaluation_interval": "250ms" },
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{ "job_name": "approov-gateway", "static_configs": [{ "targets": targets }] }],
    });
    let config = folder.write("prometheus.yml", config.to_string());
    let prometheus = Process::start(
        Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path("data").display()))
            .arg("--web.listen-address=127.0.0.1:0"),
    );
    let announces = "msg=\"Listening on\" address=";
    let (_, log) = prometheus.wait_for_output(|_, err| {
        String::from_utf8_lossy(err).split_once(announces).is_some_and(|(_, rest)| rest.contains('\n'))
    });
    let log = String::from_utf8_lossy(&log).into_owned();
    let address = log.split_once(announces).unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
    (prometheus, address)
}

/// The names of the alerts that fire.
fn firing(prometheus: SocketAddr) -> BTreeSet<String> {
    let message = Message::get("/api/v1/alerts").host("localhost").field("Connection", "close");
    let answer: Value =
        serde_json::from_slice(&Client::connect(prometheus).ask(&message).body).expect("JSON");
    let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    firing.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect()
}

/// A certificate that expires in nine days.
fn soon_expired() -> Identity {
    let end = Timestamp::now().checked_add(SignedDuration::from_hours(9 * 24)).unwrap().to_string();
    let number = |range| end.get::<std::ops::Range<usize>>(range).unwrap().parse::<u16>().unwrap();
    let (year, month, day) = (i32::from(number(0..4)), number(5..7) as u8, number(8..10) as u8);
    Identity::with(&Authority::new(), &["gateway.test"], |params| {
        params.not_after = date_time_ymd(year, month, day);
    })
}

fn faulty(folder: &Folder, broken: &Origin, refusing: &Origin) -> Gateway {
    let config = format!(
        "server: {{ threads: 1 }}\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         listeners: [ {{ address: \"127.0.0.1:0\" }}, {{ address: \"127.0.0.1:0\", tls: {{ certificates: [ {} ] }} }} ]\n\
         approov:\n  keys: [ {{ id: current, algorithm: HS256, secret_base64: \"{}\" }} ]\n\
         origins:\n  broken: {{ domain: \"{}\" }}\n\
         \x20 down: {{ domain: \"{}\", health_check: {{ interval: 500ms }} }}\n\
         routes:\n  - {{ path: /broken/, policy: protect, origin: broken }}\n\
         \x20 - {{ path: /down/, policy: protect, origin: down }}\n",
        folder.identity("leaf", &soon_expired()),
        tokens::SECRET_BASE64,
        broken.url(),
        refusing.url(),
    );
    let path = folder.write("gateway.yaml", config);
    let arguments = ["run", "-c", path.to_str().unwrap()];
    Setup::bare()
        .without("GATEWAY_LISTEN")
        .without("GATEWAY_ADMIN_LISTEN")
        .without("GATEWAY_THREADS")
        .arguments(&arguments)
        .start()
}

#[test]
fn each_alert_fires_for_its_fault() {
    if !has_program("prometheus") {
        return;
    }
    let broken = Origin::scripted(|exchange| exchange.answer("500 Internal Server Error", ""));
    let (refusing, healthy) = (Origin::refusing(), Origin::new());
    let folder = Folder::new();
    let gateway = faulty(&folder, &broken, &refusing);
    let mut other = Some(gateway_before(&healthy));
    let (_prometheus, address) = start_prometheus(&folder, &[&gateway, other.as_ref().unwrap()]);
    eventually("a scrape", || {
        let message =
            Message::get("/api/v1/query?query=sum(up)").host("localhost").field("Connection", "close");
        Client::connect(address).ask(&message).text().contains("\"2\"]").then_some(())
    });
    assert!(!firing(address).contains("ApproovGatewayReloadRefused"));
    let config = fs::read_to_string(folder.path("gateway.yaml")).unwrap();
    folder.write("gateway.yaml", config.replace("threads", "threds"));
    gateway.signal("HUP");
    let unknown_key = tokens::with_header(
        &json!({ "alg": "HS256", "kid": "another" }),
        &json!({ "exp": tokens::in_seconds(600) }),
    );
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = SetOnDrop(&is_over);
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                gateway.ask(&get("/broken/"));
                gateway.ask(&get("/down/"));
                gateway.ask(&Message::get("/broken/"));
                gateway.ask(&Message::get("/broken/").token(&unknown_key));
                gateway.ask(&get(&format!("/{}", "x".repeat(10_000))));
                thread::sleep(Duration::from_millis(50));
            }
        });
        let (mut fired, expected) = (BTreeSet::new(), BTreeSet::from(ALERTS.map(str::to_owned)));
        let missing = eventually_all(&expected, || {
            fired.extend(firing(address));
            if fired.contains("ApproovGatewayConfigurationsDiffer") {
                // Its end is the last fault.
                other = None;
            }
            fired.clone()
        });
        assert!(missing.is_empty(), "these alerts have not fired: {missing:?}");
    });
}

/// Asks until everything expected was there, or for a minute; returns what is missing.
fn eventually_all(
    expected: &BTreeSet<String>,
    mut ask: impl FnMut() -> BTreeSet<String>,
) -> BTreeSet<String> {
    let mut missing = expected.clone();
    for _ in 0..240 {
        let found = ask();
        missing = expected.difference(&found).cloned().collect();
        if missing.is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(250));
    }
    missing
}
