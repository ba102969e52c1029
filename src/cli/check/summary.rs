//! The summary of a configuration.

use nix::unistd::geteuid;

use super::lines::Lines;
use super::origin;
use super::route::{conditions, verifies};
use crate::cli::{limits, listeners};
use crate::config::{AccessLog, Settings, show_duration, strategy_name};
use crate::policy::{PathPattern, Policy};

/// A summary of the configuration, a few lines long.
pub fn summary(settings: &Settings) -> String {
    let mut out = Lines::default();
    let file =
        settings.file.as_ref().map_or("the environment alone".to_owned(), |file| file.display().to_string());
    out.line(format_args!("configuration  {file}: fine"));
    for line in settings.listeners.iter().flat_map(listeners::lines) {
        out.line(format_args!("{line}"));
    }
    out.line(format_args!("admin          {}", settings.admin.address));
    let server = &settings.server;
    let grace_period = show_duration(server.grace_period);
    let watched = if server.watch { ", files watched" } else { "" };
    out.line(format_args!("server         {} threads, grace period {grace_period}{watched}", server.threads));
    if let Some(user) = &server.user {
        let checked = match geteuid() {
            current if current.is_root() || current.as_raw() == user.uid => "which may read every file",
            _ => "run this check as root to see whether this user may read every file",
        };
        out.line(format_args!("user           {user}, once it listens; {checked}"));
    }
    let approov = &settings.approov;
    let forwarded =
        if approov.forward_token { "forwarded to the origin" } else { "removed before the origin" };
    out.line(format_args!("token          in {}, {forwarded}", approov.token_header));
    let bound: Vec<_> = approov.binding_headers.iter().map(|header| header.as_str()).collect();
    out.line(format_args!("binding        to {}", bound.join(", ")));
    for key in approov.verifier.keys() {
        let id = key.id().unwrap_or("(without id)");
        out.line(format_args!("key            {id} {}", key.algorithm().label()));
    }
    for set in &settings.key_sets {
        let refresh = show_duration(set.refresh);
        let cache =
            set.cache_file.as_ref().map_or(String::new(), |file| format!(", kept in {}", file.display()));
        out.line(format_args!("key set        {} every {refresh}{cache}", set.name));
    }
    for (position, found) in settings.origins.iter().enumerate() {
        out.line(format_args!("origin         {} {}", found.name, origin::url(found)));
        for line in origin::peculiarities(settings, position) {
            out.line(format_args!("               {line}"));
        }
    }
    add_routes(&mut out, settings);
    for (name, text) in limits::summary(settings) {
        out.line(format_args!("{name:<14} {text}"));
    }
    if let Some(store) = &settings.fleet.store {
        let (sync, name) = (show_duration(store.sync), &store.name);
        out.line(format_args!("fleet          agrees as {name} every {sync} through {}", store.shown()));
    }
    let log = match (settings.log.access, &settings.log.file) {
        (AccessLog::Json, None) => "json, on standard output".to_owned(),
        (AccessLog::Json, Some(file)) => format!("json, in {}", file.display()),
        (AccessLog::Off, _) => "off".to_owned(),
    };
    out.line(format_args!("access log     {log}"));
    for hint in settings.hints() {
        out.line(format_args!("hint           {hint}"));
    }
    for warning in &settings.warnings {
        out.line(format_args!("warning        {warning}"));
    }
    out.into_text()
}

/// A line for each route.
fn add_routes(out: &mut Lines, settings: &Settings) {
    for (index, route) in settings.routes.routes().iter().enumerate() {
        let strategy = match verifies(route.policy) {
            true => format!(", {}", strategy_name(route.strategy)),
            false => String::new(),
        };
        let origin = match (route.policy, settings.origins.get(route.origin)) {
            (Policy::Deny, _) | (_, None) => String::new(),
            (_, Some(origin)) => format!(" -> {}", origin.name),
        };
        let name = match &route.path {
            PathPattern::Prefix(path) | PathPattern::Exact(path) if *path == route.name => String::new(),
            PathPattern::Prefix(_) | PathPattern::Exact(_) => format!(" ({})", route.name),
        };
        let policy = route.policy.label();
        let conditions = conditions(route);
        out.line(format_args!("route {:<8} {conditions}: {policy}{strategy}{origin}{name}", index + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{SECRET, environment, settings};
    use super::*;
    use crate::config::load;

    #[test]
    fn summarises_what_would_run() {
        let text = summary(&settings());
        let (_, text) = text.split_once('\n').expect("more than one line");
        let expected = "\
listener       127.0.0.1:8787: HTTP/1.1
admin          127.0.0.1:8788
server         2 threads, grace period 30s
token          in approov-token, removed before the origin
binding        to authorization
key            (without id) HS256
origin         api https://api.example.com:443
origin         files http://[::1]:8080
route 1        GET|HEAD /health: open -> api
route 2        /v1/*: protect, token-binding -> api (v1)
route 3        /v1/admin*: deny
route 4        /files/* at files.example.com|*.cdn.example.com: observe, token -> files
limit          by address: 1000/s, burst 2000
limit          by device: 20/s, burst 100, observing only
limit          v1: by device: 5/m, burst 3 (posting)
limit          v1: body 1MiB
offenders      banned for 1m to 1h after 120 failures within 1m
addresses      2 ranges allowed, 0 denied
connections    20000, of one address 1000 and 500/s
requests       10000 at once, 1000 of them for verified ones
sizes          header 64KiB, target 8KiB, body 2GiB
times          header 10s, body 30s, idle 75s
access log     json, on standard output
hint           the secret of an HS key also makes tokens; with ES256 the gateway has only a public key
";
        let (fixed, warnings) = text.split_at(expected.len());
        assert_eq!(fixed, expected);
        assert_eq!(warnings.matches("warning        ").count(), 2, "{warnings}");
        assert!(!text.contains(SECRET));
    }

    #[test]
    fn summarises_how_the_process_runs() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/good/everything.yaml");
        let text = summary(&load(Some(file.as_ref()), &environment()).expect("a good file"));
        for line in [
            "server         2 threads, grace period 2m, files watched\n",
            "user           10001:10002, once it listens; ",
            "limit          by total: 5000/s, burst 5000, divided by 3 nodes\n",
            "/good/access.log\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
