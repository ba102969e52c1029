//! `check`: load and validate all that `run` would load, and show what requests would meet.

mod certificate;
mod connect;
mod origin;
mod report;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use nix::unistd::geteuid;

use crate::config::{AccessLog, Environment, Settings, User, load, show_duration, strategy_name};
use crate::policy::{ClientCertificate, HostPattern, PathPattern, Policy, Route};
use crate::server::become_user;
use crate::tls::Certificate;

use super::{CommandFailure, limits, listeners};

/// Check the configuration without serving.
///
/// Reads the file and the environment as `run` does, with every secret and key they name. Prints
/// a summary if all is well; otherwise every problem with file, line, key and how to fix it, and
/// the exit status is 78. Opens no socket and asks no server, unless `--connect` is given.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// The configuration file; the environment overrides it
    ///
    /// Without it, GATEWAY_CONFIG names the file; without that too, the environment alone
    /// configures one listener, one origin (API_DOMAIN) and one protected route.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print what a request would meet: route, policy, strategy, origin and limits
    ///
    /// URL is a path such as `/v1/posts`, or a whole URL, whose host is then compared with the
    /// routes' host conditions. Example: `--explain GET https://api.example.com/v1/posts`
    #[arg(long, num_args = 2, value_names = ["METHOD", "URL"])]
    pub explain: Option<Vec<String>>,

    /// The certificate that the client of the request to explain shows, in PEM
    ///
    /// It is taken as verified.
    #[arg(long, value_name = "FILE", requires = "explain")]
    pub client_certificate: Option<PathBuf>,

    /// Also ask every origin once: resolve its name, connect, make the TLS handshake and send `GET /`
    ///
    /// Fetches every key set, too. Prints the status of each address and the number of keys of each set,
    /// or what failed and how to fix it, with exit status 78.
    #[arg(long)]
    pub connect: bool,

    /// Fail on warnings, too, with exit status 78
    #[arg(long)]
    pub strict: bool,

    /// How to print the result: `json` is one object with problems and warnings
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with_all = ["explain", "connect"])]
    pub format: Format,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Plain text for people.
    Text,
    /// One JSON object for programs.
    Json,
}

/// Runs the command.
///
/// # Errors
/// [`CommandFailure::Configuration`] with all problems; [`CommandFailure::Usage`] if there is nothing to
/// explain in the given URL, or no certificate in the given file.
pub fn run(args: &CheckArgs, environment: &Environment) -> Result<(), CommandFailure> {
    let loaded = load(args.config.as_deref(), environment);
    if args.format == Format::Json {
        return report::run(&loaded, args.strict);
    }
    let settings = loaded.map_err(|problems| CommandFailure::Configuration(problems.to_string()))?;
    if args.strict && !settings.warnings.is_empty() {
        let warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
        return Err(CommandFailure::Configuration(warnings.join("\n")));
    }
    let text = match args.explain.as_deref() {
        Some([method, url]) => {
            let certificate = args.client_certificate.as_deref().map(certificate::read).transpose()?;
            explain(&settings, method, url, certificate.as_ref())?
        }
        _ => summary(&settings),
    };
    if let Some(user) = &settings.server.user {
        check_as(user, args, environment)?;
    }
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| CommandFailure::Running(format!("standard output cannot be written: {error}")))?;
    if args.connect { connect::run(&settings) } else { Ok(()) }
}

/// Loads the configuration again as the user that the gateway would become, because a reload reads every
/// file as that user. Only root can try this.
fn check_as(user: &User, args: &CheckArgs, environment: &Environment) -> Result<(), CommandFailure> {
    if !geteuid().is_root() {
        return Ok(());
    }
    // The change of user is final, but this process has nothing else to do.
    become_user(user)
        .map_err(|error| CommandFailure::Running(format!("server.user: cannot become {user}: {error}")))?;
    load(args.config.as_deref(), environment).map(drop).map_err(|problems| {
        CommandFailure::Configuration(format!("as the user {user}, that a reload runs as:\n{problems}"))
    })
}

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
            _ => "run this check as root to see whether that may read every file",
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
    out.routes(settings);
    for (name, text) in limits::summary(settings) {
        out.line(format_args!("{name:<14} {text}"));
    }
    let log = match (settings.log.access, &settings.log.file) {
        (AccessLog::Json, None) => "json, on standard output".to_owned(),
        (AccessLog::Json, Some(file)) => format!("json, in {}", file.display()),
        (AccessLog::Off, _) => "off".to_owned(),
    };
    out.line(format_args!("access log     {log}"));
    for warning in &settings.warnings {
        out.line(format_args!("warning        {warning}"));
    }
    out.0
}

/// Explains what a request with this method and URL would meet. `certificate` is the certificate of its
/// client.
///
/// # Errors
/// [`CommandFailure::Usage`] if `url` is neither a path nor an `http` or `https` URL.
pub fn explain(
    settings: &Settings,
    method: &str,
    url: &str,
    certificate: Option<&Certificate>,
) -> Result<String, CommandFailure> {
    let (host, path) = host_and_path(url)?;
    let mut out = Lines::default();
    out.line(format_args!(
        "request   {method} {path}{}",
        host.map_or(String::new(), |host| format!(" at {host}"))
    ));
    if let Some(shown) = certificate {
        out.line(format_args!("client    {}, if that is verified", shown.subject));
    }
    let shown = certificate.map(ClientCertificate::from);
    let found = settings.routes.find(method, host.unwrap_or_default().as_bytes(), path.as_bytes(), shown);
    let found = match found {
        Ok(found) => found,
        Err(fault) => {
            out.line(format_args!("answer    400: {fault}, and servers do not read such paths alike"));
            return Ok(out.0);
        }
    };
    let Some((index, route)) = found else {
        out.line(format_args!("answer    no route: 404"));
        out.hint_at_more(settings, host, certificate);
        return Ok(out.0);
    };
    let total = settings.routes.routes().len();
    out.line(format_args!(
        "route     {} (number {} of {total}: {})",
        route.name,
        index + 1,
        conditions(route)
    ));
    let meaning = match route.policy {
        Policy::Protect => "verify the token and refuse what fails",
        Policy::Observe => "verify the token, count, and forward whatever the verdict",
        Policy::Open => "forward without verifying",
        Policy::Deny => "refuse",
    };
    out.line(format_args!("policy    {}: {meaning}", route.policy.label()));
    if verifies(route.policy) {
        out.line(format_args!("strategy  {}", strategy_name(route.strategy)));
    }
    if let (false, Some(found)) = (route.policy == Policy::Deny, settings.origins.get(route.origin)) {
        out.line(format_args!("origin    {} {}", found.name, origin::url(found)));
        for line in origin::peculiarities(settings, route.origin) {
            out.line(format_args!("          {line}"));
        }
        out.line(format_args!("          time limits: {}", origin::time_limits(found)));
    }
    for (number, limit) in limits::of_route(&settings.limits, index, route).iter().enumerate() {
        let name = if number == 0 { "limits" } else { "" };
        out.line(format_args!("{name:<9} {limit}"));
    }
    out.hint_at_more(settings, host, certificate);
    Ok(out.0)
}

/// The host of a URL, if it has one, and the path without the query.
fn host_and_path(url: &str) -> Result<(Option<&str>, &str), CommandFailure> {
    let scheme = |name: &str| {
        let (scheme, rest) = url.split_once("://")?;
        scheme.eq_ignore_ascii_case(name).then_some(rest)
    };
    let target = url.split(['?', '#']).next().unwrap_or_default();
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let rest = scheme("https").or_else(|| scheme("http")).ok_or_else(|| {
        CommandFailure::Usage(
            "--explain takes a method and a path that begins with /, or a URL with http:// or https://"
                .into(),
        )
    })?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    match rest.find('/') {
        Some(slash) => Ok((Some(&rest[..slash]), &rest[slash..])),
        None => Ok((Some(rest), "/")),
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string never fails.
        let _ = writeln!(self.0, "{line}");
    }

    fn routes(&mut self, settings: &Settings) {
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
            self.line(format_args!("route {:<8} {conditions}: {policy}{strategy}{origin}{name}", index + 1));
        }
    }

    /// Says that the answer may depend on a host or a client certificate that was not given.
    fn hint_at_more(&mut self, settings: &Settings, host: Option<&str>, certificate: Option<&Certificate>) {
        let routes = settings.routes.routes();
        if host.is_none() && routes.iter().any(|route| !route.hosts.is_empty()) {
            self.line(format_args!("hint      some routes look at the host: give a whole URL to try them"));
        }
        if certificate.is_none() && routes.iter().any(|route| route.client_certificate.is_some()) {
            self.line(format_args!(
                "hint      some routes look at the client's certificate: name one with --client-certificate to try them"
            ));
        }
    }
}

fn verifies(policy: Policy) -> bool {
    match policy {
        Policy::Protect | Policy::Observe => true,
        Policy::Open | Policy::Deny => false,
    }
}

fn conditions(route: &Route) -> String {
    let mut text = match &route.path {
        PathPattern::Prefix(path) => format!("{path}*"),
        PathPattern::Exact(path) => path.to_string(),
    };
    if !route.methods.is_empty() {
        text = format!("{} {text}", route.methods.join("|"));
    }
    if !route.hosts.is_empty() {
        let hosts: Vec<_> = route.hosts.iter().map(show_host).collect();
        text = format!("{text} at {}", hosts.join("|"));
    }
    if let Some(condition) = &route.client_certificate {
        text = format!("{text} {}", certificate::show(condition));
    }
    text
}

fn show_host(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Suffix(suffix) => format!("*{suffix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN";

    fn environment() -> Environment {
        Environment::from_pairs([("APPROOV_SECRET_BASE64", SECRET), ("GATEWAY_THREADS", "2")])
    }

    fn settings() -> Settings {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/good/routes.yaml");
        load(Some(file.as_ref()), &environment()).unwrap_or_else(|problems| panic!("{problems}"))
    }

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
            "/good/access.log\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn explains_what_a_request_meets() {
        let settings = settings();
        for (method, url, expected) in [
            ("GET", "/health?x=/v1/", "route     /health (number 1 of 4: GET|HEAD /health)"),
            ("GET", "/health", "policy    open: forward without verifying"),
            ("POST", "/health", "answer    no route: 404"),
            ("GET", "https://a.example/v1/posts#x", "route     v1 (number 2 of 4: /v1/*)"),
            ("GET", "/v1/posts", "strategy  token-binding"),
            ("GET", "/v1/posts", "origin    api https://api.example.com:443"),
            ("GET", "/v1/posts", "limits    by address: 1000/s, burst 2000\n"),
            (
                "GET",
                "/v1/posts",
                "\n          by device: 5/m, burst 3 (posting)\n          at once 10000, of one address 1000\n",
            ),
            ("GET", "/v1/posts", "\n          header 64KiB in 100 fields, target 8KiB, body 1MiB\n"),
            (
                "GET",
                "/health",
                "limits    by address: 1000/s, burst 2000\n          at once 9000, of one address 1000\n",
            ),
            ("GET", "/health", "\n          header 64KiB in 100 fields, target 8KiB, body 2GiB\n"),
            ("GET", "/v1/posts", "hint      some routes look at the host"),
            ("GET", "https://x.CDN.example.com:443/files/a", "origin    files http://[::1]:8080"),
            ("GET", "/files/a", "answer    no route: 404"),
            ("GET", "HTTPS://a.example", "request   GET / at a.example"),
            ("GET", "/v1/../health", "answer    400: the path has a dot segment"),
        ] {
            let text = explain(&settings, method, url, None).expect(url);
            assert!(text.contains(expected), "{method} {url}: {text}");
        }
    }

    #[test]
    fn explains_nothing_that_is_no_url() {
        let settings = settings();
        for url in ["", "v1", "ftp://a/b", "*"] {
            assert!(matches!(explain(&settings, "GET", url, None), Err(CommandFailure::Usage(_))), "{url}");
        }
    }

    #[test]
    fn a_bad_configuration_has_its_own_exit_status() {
        let args = CheckArgs {
            config: Some("/nonexistent/gateway.yaml".into()),
            explain: None,
            client_certificate: None,
            connect: false,
            strict: false,
            format: Format::Text,
        };
        let failure = run(&args, &environment()).expect_err("there is no file");
        assert!(
            matches!(&failure, CommandFailure::Configuration(text) if text.starts_with("/nonexistent/gateway.yaml: "))
        );
    }

    #[test]
    fn takes_its_arguments_as_documented() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: CheckArgs,
        }
        use clap::Parser;
        let line = Line::try_parse_from(["check", "-c", "f.yaml", "--explain", "GET", "/v1"]);
        let args = line.map(|line| (line.args.config, line.args.explain)).expect("the line is fine");
        assert_eq!(args, (Some("f.yaml".into()), Some(vec!["GET".into(), "/v1".into()])));
        assert!(Line::try_parse_from(["check", "--explain", "GET"]).is_err());
    }
}
