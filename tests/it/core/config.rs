//! The configuration: files that load, the problems of files that do not, and the environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use approov_gateway::approov::Rejection;
use approov_gateway::approov::Strategy;
use approov_gateway::config::{
    AccessLog, Environment, Problem, Settings, load, load_approov, load_secrets, show_rate,
};
use approov_gateway::downstream::ListenerSettings;
use approov_gateway::limits::{By, Limit};
use approov_gateway::limits::{LimitSettings, RequestLimits};
use approov_gateway::origins::{Balance, Capacity, CheckKind, Keepalive, OriginHttp, Target};
use approov_gateway::policy::{PathPattern, Policy};
use approov_gateway::telemetry::{
    AddressPrivacy, DevicePrivacy, DiagnosticsFormat, PathPrivacy, PrivacySettings,
};
use proptest::prelude::*;

use crate::harness::Folder;

/// A secret that Approov publishes in its examples.
const SECRET: &str = "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN";
const WITH_SECRET: (&str, &str) = ("APPROOV_SECRET_BASE64", SECRET);
const WITH_DOMAIN: (&str, &str) = ("API_DOMAIN", "api.example.com");

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_pairs(pairs.iter().copied())
}

fn loaded(file: Option<&Path>, pairs: &[(&str, &str)]) -> Settings {
    load(file, &environment(pairs)).unwrap_or_else(|problems| panic!("{file:?} {pairs:?}\n{problems}"))
}

fn refused(file: Option<&Path>, pairs: &[(&str, &str)]) -> String {
    match load(file, &environment(pairs)) {
        Ok(settings) => panic!("{file:?} {pairs:?} loaded: {settings:?}"),
        Err(problems) => problems.to_string(),
    }
}

/// The YAML files in a folder of `tests/config`, relative to the crate, as messages show them.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect(folder);
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

/// The environment that the comments `# env: NAME=value` of a file ask for.
fn environment_of(file: &Path) -> Environment {
    let text = fs::read_to_string(file).expect("a test file");
    let lines = text.lines().filter_map(|line| line.strip_prefix("# env: "));
    Environment::from_pairs(lines.map(|line| line.split_once('=').expect("NAME=value")))
}

/// Compares with the text file next to `file`; an absent file is an empty text. `UPDATE_REFERENCE=1` writes the
/// file instead.
fn assert_told(file: &Path, told: &str) {
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(
            file.with_extension("txt"),
            if told.is_empty() { String::new() } else { format!("{told}\n") },
        )
        .expect("a golden file");
    }
    let expected = fs::read_to_string(file.with_extension("txt")).unwrap_or_default();
    assert_eq!(told, expected.trim_end(), "\n{} tells:\n{told}\n", file.display());
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn bad_files_report_every_problem() {
    let files = files("tests/config/bad");
    assert!(files.len() >= 12, "{files:?}");
    for file in files {
        match load(Some(&file), &environment_of(&file)) {
            Ok(_) => panic!("{} loads", file.display()),
            Err(problems) => assert_told(&file, &problems.to_string()),
        }
    }
}

#[test]
fn good_files_load_with_the_expected_warnings() {
    let files = files("tests/config/good");
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        match load(Some(&file), &environment_of(&file)) {
            Ok(settings) => assert_told(&file, &lines(&settings.warnings)),
            Err(problems) => panic!("{problems}"),
        }
    }
}

#[test]
fn every_key_reaches_the_settings() {
    let file = Path::new("tests/config/good/everything.yaml");
    let settings = load(Some(file), &environment_of(file)).expect("the file loads");
    assert_eq!(settings.server.threads, 3);
    assert_eq!(settings.server.grace_period, Duration::from_secs(120));
    assert_eq!(settings.server.pid_file.as_deref(), Some(Path::new("tests/config/good/run/pid")));
    assert_eq!(settings.server.upgrade_sock.as_deref(), Some(Path::new("/run/upgrade.sock")));
    let listeners: Vec<_> = settings.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(listeners, ["[::1]:8000", "127.0.0.1:0"]);
    assert_eq!(settings.admin.address.to_string(), "127.0.0.1:0");
    assert_eq!(settings.approov.token_header, "device-token");
    assert!(settings.approov.forward_token);
    assert_eq!(settings.approov.binding_headers, ["x-session"]);
    let verifier = format!("{:?}", settings.approov.verifier);
    for part in ["max_token_length: 4096", "leeway: 1.5", "\"one\", \"two\"", "claim: \"hash\"", "Accept"] {
        assert!(verifier.contains(part), "{part}: {verifier}");
    }
    assert_eq!(settings.rejection.status, 403);
    assert_eq!(settings.rejection.content_type, "text/plain; charset=utf-8");
    assert_eq!(settings.rejection.body, "Invalid Token\n");
    let [origin] = &settings.origins[..] else { panic!("{:?}", settings.origins) };
    assert_eq!(
        (&*origin.name, &*origin.host, origin.port, origin.tls.is_some()),
        ("main", "api.example.com", 8443, true)
    );
    assert_eq!(origin.authority, "api.example.com:8443");
    let timeouts = origin.timeouts;
    let seconds = [timeouts.connect, timeouts.read, timeouts.write, timeouts.idle, origin.resolve_interval];
    assert_eq!(seconds, [1, 2, 3, 4, 5].map(Duration::from_secs));
    let identity = settings.server.user.as_ref().expect("a user");
    assert_eq!((&identity.name, identity.uid, identity.gid), (&None, 10001, 10002));
    assert!(settings.server.watch);
    let request_id = settings.correlation.request_id.as_ref();
    assert_eq!(request_id.map(|name| name.as_str()), Some("x-correlation"));
    assert_eq!(settings.log.access, AccessLog::Json);
    assert_eq!(settings.log.format, DiagnosticsFormat::Json);
    let privacy = PrivacySettings {
        client_address: AddressPrivacy::Truncate,
        device: DevicePrivacy::Omit,
        path: PathPrivacy::Route,
        key: None,
    };
    assert_eq!(settings.log.privacy, privacy);
    assert_eq!(settings.log.file.as_deref(), Some(Path::new("tests/config/good/access.log")));
    assert_limits(&settings.limits);
    let routes = settings.routes.routes();
    let names: Vec<_> = routes.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["/a/", "/a/ #2", "/a/ #3"]);
    let policies: Vec<_> = routes.iter().map(|route| (route.policy, route.strategy)).collect();
    let expected = [
        (Policy::Protect, Strategy::TokenBinding),
        (Policy::Deny, Strategy::TokenBinding),
        (Policy::Observe, Strategy::Token),
    ];
    assert_eq!(policies, expected);
    assert_eq!(routes[1].path, PathPattern::Exact("/a/".into()));
    let found = settings.routes.find("GET", b"x.example.com", b"/a/b", None).expect("a plain path");
    assert_eq!(found.map(|(index, _)| index), Some(0));
}

/// Compares the limits of the file with every key.
fn assert_limits(limits: &LimitSettings) {
    let show = |limit: &Limit| {
        let Limit { name, by, rate, burst, observe, keys } = limit;
        format!("{name} {} {} {burst} {observe} {keys}", by.label(), show_rate(*rate))
    };
    let rates: Vec<_> = limits.rates.iter().map(show).collect();
    let expected = [
        "address address 30/s 90 false 1024",
        "hourly address 1000/h 1000 true 65536",
        "total total 5000/s 5000 false 65536",
        "route route 4000/s 1 false 65536",
        "device device 10/m 10 false 65536",
        "token token 20/m 20 false 65536",
        "origin origin 3000/s 3000 false 65536",
    ];
    assert_eq!(rates, expected);
    let own: Vec<_> = limits.routes.iter().map(|route| (route.rates.len(), route.body_bytes)).collect();
    assert_eq!(own, [(1, Some(2 * 1024 * 1024)), (0, None), (0, None)]);
    let names = |route: usize| -> Vec<String> {
        let limits = limits.rates_of_route(route).into_iter();
        limits.map(|limit| format!("{} {}", limit.name, show_rate(limit.rate))).collect()
    };
    let general =
        ["address 30/s", "hourly 1000/h", "total 5000/s", "route 4000/s", "device 10/m", "token 20/m"];
    assert_eq!(names(1)[..6], general);
    assert_eq!(names(0)[4], "device 3/h", "replaces the general limit");
    assert_eq!(limits.ipv6_prefix.length(), 56);
    let rules = limits.offenders.expect("there are rules");
    assert_eq!((rules.failures, rules.keys), (7, 2048));
    assert_eq!([rules.within, rules.ban, rules.max_ban], [10, 5, 120].map(Duration::from_secs));
    let counted = Rejection::ALL.into_iter().filter(|rejection| limits.offences.contain(*rejection));
    assert_eq!(counted.collect::<Vec<_>>(), [Rejection::BadSignature, Rejection::Expired]);
    for (address, allowed, denied) in [
        ("192.0.2.200", true, false),
        ("127.0.0.1", false, false),
        ("198.51.100.200", false, true),
        ("203.0.113.7", false, true),
        ("2001:db8::1", false, true),
        ("2001:db8:bad::1", false, true),
    ] {
        let address = address.parse().expect(address);
        assert_eq!(limits.allow.contains(address), allowed, "{address}");
        assert_eq!(limits.deny.contains(address), denied, "{address}");
    }
    assert_eq!(limits.deny.ranges(), 4, "two ranges are merged");
    let connections = limits.connections;
    let counts = [connections.total, connections.per_listener, connections.per_address, connections.requests];
    assert_eq!((counts, connections.age), ([100, 90, 10, 50], Duration::from_secs(1800)));
    assert_eq!((show_rate(connections.rate), connections.burst.get()), ("600/m".to_owned(), 20));
    let requests = limits.requests;
    let counts = [requests.in_flight.requests, requests.reserve, requests.per_address];
    assert_eq!((counts, requests.header_count), ([80, 20, 5], 64));
    let sizes = [requests.header_bytes, requests.target_bytes, requests.body_bytes, requests.body_rate];
    assert_eq!(sizes, [16 * 1024, 2048, 1024 * 1024, 512]);
    let time = limits.time;
    let times = [time.handshake, time.header, time.body, time.idle, time.write];
    assert_eq!(times, [5, 6, 7, 8, 9].map(Duration::from_secs));
}

#[test]
fn a_public_listener_has_limits_without_a_file() {
    let limits = loaded(None, &[WITH_SECRET, WITH_DOMAIN]).limits;
    assert!(limits.requests.in_flight.memory.is_some(), "derived from the memory of this machine");
    assert_eq!(as_with_enough_memory(limits.clone()), LimitSettings::default());
    let asked: Vec<_> = limits.rates.iter().map(|limit| limit.by).collect();
    assert_eq!(asked, [By::Address, By::Device]);
    assert!(limits.offenders.is_some() && limits.deny.is_empty());
    for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert!(limits.allow.contains(address.parse().expect(address)), "{address}");
    }
    assert!(!limits.allow.contains("192.0.2.1".parse().expect("an address")));
}

#[test]
fn limits_can_be_disabled() {
    let text = "origins: { a: { domain: a.example } }\nlimits: { rate: [], offenders: off, allow: [] }\n";
    let limits = loaded(Some(&Folder::new().write("gateway.yaml", text)), &[WITH_SECRET]).limits;
    assert_eq!((limits.rates.len(), limits.offenders), (0, None));
    assert!(limits.allow.is_empty());
}

#[test]
fn a_list_with_many_bad_lines_reports_the_first_ones() {
    let folder = Folder::new();
    folder.write("list", "192.0.2.1\n".to_owned() + &"x\n".repeat(1000));
    let text = "origins: { a: { domain: a.example } }\nlimits: { deny_files: [list] }\n";
    let told = refused(Some(&folder.write("gateway.yaml", text)), &[WITH_SECRET]);
    assert_eq!(told.lines().count(), 11, "{told}");
    assert!(
        told.lines().next().is_some_and(|line| line.contains("list:2: `x` is not an IP address")),
        "{told}"
    );
    assert!(told.lines().last().is_some_and(|line| line.contains("list:12: there are more lines")), "{told}");
    folder.write("list", b"\xff\n");
    let told = refused(Some(&folder.path("gateway.yaml")), &[WITH_SECRET]);
    assert!(told.contains("limits.deny_files[0]: ") && told.contains("is not UTF-8"), "{told}");
}

#[test]
fn every_key_of_a_listener_reaches_the_settings() {
    let file = Path::new("tests/config/good/listeners.yaml");
    let settings = load(Some(file), &environment_of(file)).expect("the file loads");
    let [redirecting, forwarded, cloudflare, by_header] = &settings.listeners[..] else {
        panic!("{:?}", settings.listeners)
    };
    assert!(redirecting.redirect_to_https && redirecting.trusted_proxies.is_none());
    assert!(forwarded.redirect_to_https && redirecting.hsts.is_none());
    let proxies = |listener: &ListenerSettings| {
        let proxies = listener.trusted_proxies.clone().expect("trusted proxies");
        let ranges: Vec<_> = proxies.ranges().iter().map(ToString::to_string).collect();
        (ranges.join(" "), proxies.source().label())
    };
    let expected = ("10.0.0.0/8 2001:db8::/32 192.0.2.7/32".to_owned(), "x-forwarded-for");
    assert_eq!(proxies(forwarded), expected);
    assert_eq!(proxies(cloudflare), ("0.0.0.0/0".to_owned(), "cf-connecting-ip"));
    assert_eq!(proxies(by_header), ("10.0.0.0/8".to_owned(), "proxy-protocol"));
    let hsts = |listener: &ListenerSettings| listener.hsts.map(|hsts| hsts.to_string());
    assert_eq!(hsts(forwarded).as_deref(), Some("max-age=63072000; includeSubDomains; preload"));
    assert_eq!(hsts(cloudflare).as_deref(), Some("max-age=31536000"));
    assert_eq!(hsts(by_header), None);
}

#[test]
fn every_key_of_an_origin_reaches_the_settings() {
    let file = Path::new("tests/config/good/origins.yaml");
    let settings = load(Some(file), &environment_of(file)).expect("the file loads");
    assert_eq!(settings.server.upstream_keepalive_pool_size, 64);
    let [listed, beside, grpc, _] = &settings.origins[..] else { panic!("{:?}", settings.origins) };
    assert_eq!((listed.balance, grpc.balance), (Balance::Device, Balance::LeastLoaded));
    let seconds = Duration::from_secs;
    assert_eq!((listed.timeouts.first_byte, listed.timeouts.total), (Some(seconds(5)), Some(seconds(30))));
    assert_eq!(listed.keepalive, Keepalive { idle: seconds(30), interval: seconds(10), count: 6 });
    let check = listed.health_check.as_ref().expect("a health check");
    assert_eq!(check.kind, CheckKind::Http { path: "/healthz".into(), statuses: vec![200..=200, 300..=399] });
    assert_eq!(beside.health_check.as_ref().map(|check| &check.kind), Some(&CheckKind::Tcp));
    assert_eq!((listed.ejection.errors, listed.ejection.single, beside.ejection.single), (5, true, false));
    assert_eq!((listed.ejection.timeouts, beside.ejection.timeouts), (4, 3));
    let retries = listed.retries.as_ref().expect("retries");
    assert_eq!((retries.attempts, retries.on_error, retries.on_timeout), (2, true, true));
    assert_eq!((&retries.statuses[..], retries.budget_percent), (&[503][..], 10));
    assert_eq!(listed.capacity, Some(Capacity { max_in_flight: 100, queue: 0, queue_timeout: seconds(1) }));
    assert_eq!(grpc.http, OriginHttp::H2 { max_streams: 100, ping_interval: None });
    assert_eq!(beside.addresses[0].target, Target::Unix("tests/config/good/run/api.sock".into()));
}

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
fn commands_that_need_no_origin_do_not_require_one() {
    let secret = environment(&[WITH_SECRET]);
    assert_eq!(load_secrets(None, &secret).expect("a secret").len(), 1);
    assert_eq!(load_approov(None, &secret).expect("a verifier").0.verifier.keys().len(), 1);
    assert!(load_secrets(None, &environment(&[])).is_err());
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
fn the_sample_files_load_with_a_secret() {
    for file in ["conf/gateway.yaml", "conf/minimal.yaml"] {
        let settings = loaded(Some(Path::new(file)), &[WITH_SECRET]);
        assert_eq!(lines(&settings.warnings), "", "{file}");
        let told = refused(Some(Path::new(file)), &[]);
        assert_eq!(told.lines().count(), 1, "only the secret is missing: {told}");
    }
}

/// serde_yaml reads the sample files too, and finds the same keys.
#[test]
fn the_sample_files_are_yaml_for_another_parser() {
    let keys = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(file).expect(file);
        let value: serde_yaml::Mapping = serde_yaml::from_str(&text).expect(file);
        value.keys().map(|key| key.as_str().expect("keys are text").to_owned()).collect()
    };
    assert_eq!(
        keys("conf/gateway.yaml"),
        [
            "server",
            "listeners",
            "admin",
            "approov",
            "request_id",
            "rejection",
            "origins",
            "routes",
            "routing",
            "limits",
            "log"
        ]
    );
    assert_eq!(keys("conf/minimal.yaml"), ["origins"]);
}

/// `conf/gateway.yaml` shows the default of every key.
#[test]
fn the_sample_file_shows_the_defaults() {
    let sample = loaded(Some(Path::new("conf/gateway.yaml")), &[WITH_SECRET]);
    let default = loaded(None, &[WITH_SECRET, WITH_DOMAIN]);
    assert_eq!(format!("{:?}", sample.listeners), format!("{:?}", default.listeners));
    assert_eq!(sample.admin, default.admin);
    assert_eq!(sample.server.grace_period, default.server.grace_period);
    assert_eq!(format!("{:?}", sample.approov), format!("{:?}", default.approov));
    assert_eq!(sample.rejection, default.rejection);
    assert_eq!(sample.origins, default.origins);
    assert_eq!(sample.log, default.log);
    assert_eq!((sample.server.watch, sample.server.user), (default.server.watch, default.server.user));
    assert_eq!(LimitSettings { routes: Vec::new(), ..sample.limits }, as_with_enough_memory(default.limits));
}

/// Replaces the limits that are derived from the memory of this machine.
fn as_with_enough_memory(limits: LimitSettings) -> LimitSettings {
    let RequestLimits { in_flight, reserve, .. } = RequestLimits::default();
    LimitSettings { requests: RequestLimits { in_flight, reserve, ..limits.requests }, ..limits }
}

#[test]
fn every_key_of_the_sample_can_be_uncommented() {
    let text = fs::read_to_string("conf/gateway.yaml").expect("the sample");
    for key in ["pid_file", "upgrade_sock", "issuers", "audiences", "deny"] {
        let line = format!("  # {key}: ");
        assert!(text.contains(&line), "{key}");
        let folder = Folder::new();
        let file = folder.write("gateway.yaml", text.replace(&line, &format!("  {key}: ")));
        loaded(Some(&file), &[WITH_SECRET]);
    }
    let folder = Folder::new();
    let file = folder.write("gateway.yaml", text.replace("# forward_headers: ", "forward_headers: "));
    assert_eq!(loaded(Some(&file), &[WITH_SECRET]).forward_headers.len(), 2);
    // A group requires a user.
    let both = text.replace("  # user: ", "  user: ").replace("  # group: ", "  group: ");
    let folder = Folder::new();
    let file = folder.write("gateway.yaml", both);
    assert!(loaded(Some(&file), &[WITH_SECRET]).server.user.is_some());
}

/// Writes a certificate authority, a certificate with its key, and secrets.
fn origin_files(folder: &Folder) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate =
        rcgen::CertificateParams::new([]).expect("parameters").self_signed(&key).expect("signed");
    folder.write("ca.pem", certificate.pem());
    folder.write("gateway.pem", certificate.pem());
    folder.write("gateway-key.pem", key.serialize_pem());
    folder.write("origin-secret", "the secret that the origin knows\n".replace(' ', "-"));
    folder.write("origin-secret-next", "the-secret-that-it-will-know");
    folder.write("shop-secret", SECRET);
}

#[test]
fn every_key_of_the_samples_origin_can_be_uncommented() {
    let folder = Folder::new();
    origin_files(&folder);
    let text = fs::read_to_string("conf/gateway.yaml").expect("the sample");
    let keys = "addresses balance http http2 tls secret_header approov first_byte_timeout total_timeout \
                health_check ejection retries max_in_flight queue queue_timeout";
    let mut whole = text.clone();
    for key in keys.split(' ') {
        let line = format!("\n    # {key}: ");
        assert_eq!(text.matches(&line).count(), 1, "{key}");
        let uncommented = |text: &str| text.replace(&line, &format!("\n    {key}: "));
        // This key is valid for HTTP/1 only.
        if key != "first_byte_timeout" {
            whole = uncommented(&whole);
        }
        if !key.starts_with("queue") {
            loaded(Some(&folder.write("gateway.yaml", uncommented(&text))), &[WITH_SECRET]);
        }
    }
    let settings = loaded(Some(&folder.write("gateway.yaml", whole)), &[WITH_SECRET]);
    let origin = &settings.origins[0];
    let addresses: Vec<_> =
        origin.addresses.iter().map(|address| format!("{} {}", address.target, address.weight)).collect();
    let expected =
        ["192.0.2.1:443 1", "[2001:db8::1]:8443 1", "api-2.internal:443 2", "unix:/run/api.sock 1"];
    assert_eq!(addresses, expected);
    let tls = origin.tls.as_ref().expect("TLS");
    assert_eq!(tls.server_name.to_str(), "api.internal");
    assert!(tls.roots.as_ref().is_some_and(|roots| roots.len() == 1) && tls.identity.is_some());
    let secret = origin.secret_header.as_ref().expect("a secret header");
    let fields: Vec<_> = secret.fields().map(|(name, value)| format!("{name}: {}", value.len())).collect();
    assert_eq!(fields, ["x-origin-secret: 32", "x-origin-secret-next: 28"]);
    let own = settings.approov.origin_verifiers[0].as_ref().expect("keys of its own");
    assert_eq!(own.keys().iter().map(|key| key.id()).collect::<Vec<_>>(), [Some("shop")]);
    assert_eq!(origin.timeouts.total, Some(Duration::from_secs(120)));
    assert!(origin.health_check.is_some() && origin.retries.is_some() && origin.ejection.single);
    assert_eq!(origin.capacity.map(|capacity| (capacity.max_in_flight, capacity.queue)), Some((500, 100)));
    let shown = format!("{settings:?}");
    for secret in ["the-secret", "BEGIN PRIVATE", SECRET] {
        assert!(!shown.contains(secret), "{shown}");
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
        ("secret_header: { name: Host, value_file: origin-secret }", "is set or removed on the way"),
        (
            "secret_header: { name: Approov-Token, value_file: origin-secret }",
            "also carries what is verified",
        ),
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

/// Without their comment signs the keys of `trusted_proxies` and `tls` load. The only problems are the
/// missing files that they name.
#[test]
fn the_listeners_of_the_sample_can_be_uncommented() {
    let text = fs::read_to_string("conf/gateway.yaml").expect("the sample");
    let folder = Folder::new();
    let uncommented = |from: &str, to: &str| {
        let (before, rest) = text.split_once(from).expect(from);
        let end = rest.find(to).expect(to);
        let lines = format!("{from}{}", &rest[..end]);
        let lines: String = lines.lines().map(|line| line.replacen("# ", "", 1) + "\n").collect();
        let text = format!("{before}{lines}{}", &rest[end..]);
        folder.write("gateway.yaml", text)
    };
    let settings = loaded(Some(&uncommented("    # trusted_proxies:", "\n  # One with TLS")), &[WITH_SECRET]);
    assert_eq!(settings.listeners[0].trusted_proxies.as_ref().map(|proxies| proxies.ranges().len()), Some(2));
    let told =
        refused(Some(&uncommented("  # - address: 0.0.0.0:8443", "\n# Where operators ask")), &[WITH_SECRET]);
    let missing: Vec<_> = told.lines().filter(|line| line.contains(" cannot be read: ")).collect();
    assert_eq!(missing.len(), told.lines().count(), "{told}");
    assert_eq!(missing.len(), 6, "{told}");
}

#[test]
fn a_file_that_is_not_text_is_reported() {
    let folder = Folder::new();
    let file = folder.write("latin1.yaml", b"log: {}\n# caf\xe9\n");
    assert!(refused(Some(&file), &[]).contains("latin1.yaml:2: this line is not UTF-8"));
    let file = folder.write("large.yaml", vec![b'#'; 4 * 1024 * 1024 + 1]);
    assert!(refused(Some(&file), &[]).contains("larger than 4 MiB"));
    assert!(refused(Some(folder.as_ref()), &[]).contains("cannot be read"));
}

#[test]
fn ten_thousand_routes_load_and_routes_that_never_match_are_reported() {
    let folder = Folder::new();
    let mut text = String::from("routes:\n");
    for number in 0..10_000 {
        let condition = "methods: [GET, HEAD, POST], hosts: [shop.example.com, \"*.shop.example.com\"]";
        text += &format!(
            "  - {{ name: a-name-of-some-length-{number}, path: /a/{number}/things/, {condition} }}\n"
        );
    }
    text += "  - { path: /a/77/things/x, methods: [GET], hosts: [a.shop.example.com] }\n";
    let settings = loaded(Some(&folder.write("routes.yaml", text)), &[WITH_SECRET, WITH_DOMAIN]);
    let find = |host: &str, path: &str| {
        let found =
            settings.routes.find("GET", host.as_bytes(), path.as_bytes(), None).expect("a plain path");
        found.map(|(_, route)| route.name.to_string())
    };
    for number in [0, 1, 9, 77, 4711, 9999] {
        let expected = Some(format!("a-name-of-some-length-{number}"));
        assert_eq!(find("SHOP.example.com:443", &format!("/a/{number}/things/x")), expected);
        assert_eq!(find("shop.example.org", &format!("/a/{number}/things/x")), None);
    }
    let told = lines(&settings.warnings);
    assert!(
        told.contains("routes[10000]: this route never matches: routes[77] takes all its requests"),
        "{told}"
    );
    assert_eq!(settings.warnings.len(), 1, "{told}");
}

fn sample() -> String {
    fs::read_to_string("conf/gateway.yaml").expect("the sample")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// A damaged file is loaded, or refused with a place and a reason.
    #[test]
    fn damaged_files_never_panic(
        cuts in prop::collection::vec((0.0..1.0f64, 0.0..0.02f64, "[-\\[\\]{}:,#&*!|>'\"%@`~?a \n\t0é\u{0}]{0,4}"), 1..6),
    ) {
        let mut text: Vec<char> = sample().chars().collect();
        for (at, length, put) in cuts {
            let start = (at * text.len() as f64) as usize;
            let end = (start + (length * text.len() as f64) as usize).min(text.len());
            text.splice(start..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        let folder = Folder::new();
        let file = folder.write("gateway.yaml", &text);
        match load(Some(&file), &environment(&[WITH_SECRET])) {
            Ok(settings) => prop_assert!(!settings.listeners.is_empty() && !settings.origins.is_empty()),
            Err(problems) => {
                prop_assert!(!problems.as_slice().is_empty());
                let last = text.lines().count().max(1);
                for problem in problems.as_slice() {
                    prop_assert!(!problem.message.is_empty() && !problem.hint.is_empty());
                    if let approov_gateway::config::Place::File(_, Some(line)) = &problem.place {
                        prop_assert!((1..=last).contains(line), "{line} of {last}: {problem}");
                    }
                }
            }
        }
    }

    #[test]
    fn truncated_files_never_panic(part in 0.0..1.0f64) {
        let text = sample();
        let end = text.floor_char_boundary((part * text.len() as f64) as usize);
        let folder = Folder::new();
        let file = folder.write("gateway.yaml", &text[..end]);
        // Both results are right: many beginnings of the file are complete files.
        if let Err(problems) = load(Some(&file), &environment(&[WITH_SECRET])) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }
}
