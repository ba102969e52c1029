//! From file and environment to settings: what overrides what, defaults, and the checks that
//! take several values.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::approov::{BindingRules, ClaimRules, DEFAULT_MAX_TOKEN_LENGTH, MissingClaim, Strategy, Verifier};
use crate::policy::{Policy, Route, RouteTable};

use super::domain::Domain;
use super::env::Overrides;
use super::error::{Located, Location, Report, Reported, quoted};
use super::file::{ApproovSection, File, OriginSection, RejectionSection, ServerSection};
use super::keys::{LoadedKey, warn_if_world_readable};
use super::{
    AccessLog, Admin, Approov, Listener, Log, Origin, OriginTimeouts, RejectionAnswer, Server, Settings,
    routes::routes,
};

const DEFAULT_LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8787);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8788);
const DEFAULT_TOKEN_HEADER: HeaderName = HeaderName::from_static("approov-token");
const DEFAULT_BINDING_HEADER: HeaderName = http::header::AUTHORIZATION;
const DEFAULT_GRACE_PERIOD: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUTS: OriginTimeouts = OriginTimeouts {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(60),
    write: Duration::from_secs(60),
    idle: Duration::from_secs(60),
};
const DEFAULT_RESOLVE_INTERVAL: Duration = Duration::from_secs(30);

/// What was read, and the file as a whole for problems without a line.
pub(super) struct Sources {
    pub path: Option<PathBuf>,
    pub whole: Location,
    pub file: File,
    pub overrides: Overrides,
}

/// Everything.
pub(super) fn settings(sources: Sources, report: &Report) -> Result<Settings, Reported> {
    let Sources { path, whole, file, overrides } = sources;
    let strategy = overrides.strategy.or(file.approov.strategy).unwrap_or_default();
    let origins = origins(file.origins, overrides.domain, &whole, report);
    let names: Vec<&str> = origins.iter().map(|(name, _)| name.as_str()).collect();
    let routes = routes(file.routes, strategy, &names, &whole, report);
    let listeners = listeners(file.listeners, overrides.listen, &whole, report);
    let admin = admin(file.admin, overrides.admin, &listeners, report);
    let keys = keys(&file.approov, overrides.secret, path.as_ref(), &whole, report);
    let sources = ApproovSources {
        section: file.approov,
        token_header: overrides.token_header,
        binding_headers: overrides.binding_headers,
        binding_claim: overrides.binding_claim,
    };
    check_binding(&sources, &routes, report);
    check_loops(&origins, &listeners, report);
    Ok(Settings {
        file: path,
        server: server(file.server, overrides.threads),
        listeners: listeners.into_iter().map(|listener| Listener { address: listener.value }).collect(),
        admin: Admin { address: admin? },
        approov: approov(sources, keys?),
        rejection: rejection(file.rejection),
        origins: origins.into_iter().map(|(_, origin)| Ok(origin?.value)).collect::<Result<_, _>>()?,
        routes: RouteTable::new(routes),
        log: Log { access: file.access_log.unwrap_or(AccessLog::Json) },
        warnings: Vec::new(),
    })
}

/// What concerns tokens only.
pub(super) fn approov_only(sources: Sources, report: &Report) -> Result<Approov, Reported> {
    let Sources { path, whole, file, overrides } = sources;
    let keys = keys(&file.approov, overrides.secret, path.as_ref(), &whole, report)?;
    let sources = ApproovSources {
        section: file.approov,
        token_header: overrides.token_header,
        binding_headers: overrides.binding_headers,
        binding_claim: overrides.binding_claim,
    };
    Ok(approov(sources, keys))
}

/// The keys before they become a verifier.
pub(super) fn keys_only(sources: Sources, report: &Report) -> Result<Vec<LoadedKey>, Reported> {
    let Sources { path, whole, file, overrides } = sources;
    keys(&file.approov, overrides.secret, path.as_ref(), &whole, report)
}

fn server(section: ServerSection, threads: Option<usize>) -> Server {
    let cores = || available_parallelism().map_or(1, NonZeroUsize::get);
    Server {
        threads: threads.or(section.threads).unwrap_or_else(cores),
        grace_period: section.grace_period.unwrap_or(DEFAULT_GRACE_PERIOD),
        pid_file: section.pid_file,
        upgrade_sock: section.upgrade_sock,
    }
}

fn listeners(
    section: Option<Vec<Result<Located<SocketAddr>, Reported>>>,
    variable: Option<Result<Located<SocketAddr>, Reported>>,
    whole: &Location,
    report: &Report,
) -> Vec<Located<SocketAddr>> {
    let listeners = match (variable, section) {
        (Some(variable), _) => vec![variable],
        (None, Some(section)) => section,
        (None, None) => vec![Ok(Located { value: DEFAULT_LISTENER, at: Location::nowhere() })],
    };
    if listeners.is_empty() {
        let mend = format!("write one, or remove the key for {DEFAULT_LISTENER}");
        report.problem(whole, "the list of listeners is empty", mend);
    }
    let listeners: Vec<_> = listeners.into_iter().flatten().collect();
    for (index, listener) in listeners.iter().enumerate() {
        if let Some(other) = listeners[..index].iter().find(|other| collide(other.value, listener.value)) {
            let message = format!("{} is already taken by {}", listener.value, other.at.name());
            report.problem(&listener.at, message, "choose another port, or remove one of them");
        }
    }
    listeners
}

fn admin(
    section: Option<Result<Located<SocketAddr>, Reported>>,
    variable: Option<Result<Located<SocketAddr>, Reported>>,
    listeners: &[Located<SocketAddr>],
    report: &Report,
) -> Result<SocketAddr, Reported> {
    let default = Located { value: DEFAULT_ADMIN, at: Location::nowhere() };
    let admin = variable.or(section).unwrap_or(Ok(default))?;
    if let Some(listener) = listeners.iter().find(|listener| collide(listener.value, admin.value)) {
        // The place of the one that was written.
        let at = if admin.at == Location::nowhere() { &listener.at } else { &admin.at };
        let message = format!("the admin listener {} and a public listener would be the same", admin.value);
        report.problem(
            at,
            message,
            "choose another port for one of them (admin.address, GATEWAY_ADMIN_LISTEN)",
        );
    }
    if !admin.value.ip().is_loopback() {
        let message = format!("the admin listener {} is open to the network", admin.value);
        report.warning(&admin.at, message, "make sure that only operators reach it, or use 127.0.0.1");
    }
    Ok(admin.value)
}

/// Whether two sockets cannot both listen.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = match (one.ip(), other.ip()) {
        (one, other) if one == other => true,
        // `[::]` takes IPv4 as well.
        (IpAddr::V6(any), _) | (_, IpAddr::V6(any)) if any.is_unspecified() => true,
        (one @ IpAddr::V4(_), other @ IpAddr::V4(_)) => one.is_unspecified() || other.is_unspecified(),
        (IpAddr::V4(_) | IpAddr::V6(_), _) => false,
    };
    one.port() != 0 && one.port() == other.port() && same_host
}

fn keys(
    section: &ApproovSection,
    variable: Option<Result<crate::approov::Secret, Reported>>,
    path: Option<&PathBuf>,
    whole: &Location,
    report: &Report,
) -> Result<Vec<LoadedKey>, Reported> {
    if let Some(secret) = variable {
        return Ok(vec![LoadedKey::of_account(secret?)]);
    }
    let keys = match &section.keys {
        Some(keys) if !keys.value.is_empty() => &keys.value,
        _ => {
            let mend =
                "set APPROOV_SECRET_BASE64 or APPROOV_SECRET_BASE64_FILE, or write approov.keys in a file";
            return Err(report.problem(whole, "there is no key to verify tokens with", mend));
        }
    };
    let mut ids: Vec<&str> = Vec::new();
    for key in keys.iter().flatten() {
        if let Some(Located { value: id, at }) = key.id() {
            if ids.contains(&id.as_str()) {
                let message = format!("the id {} is already that of another key", quoted(id));
                report.problem(at, message, "give each key its own kid");
            }
            ids.push(id);
        }
        if let (true, Some(path)) = (key.is_secret_in_place(), path) {
            warn_if_world_readable(path, key.at(), report);
        }
    }
    // All of them first, so that every problem is told.
    let loaded: Vec<_> =
        keys.iter().map(|key| key.as_ref().map_err(|reported| *reported)?.load(report)).collect();
    loaded.into_iter().collect()
}

/// What the file and the environment say about tokens.
struct ApproovSources {
    section: ApproovSection,
    token_header: Option<Located<HeaderName>>,
    binding_headers: Option<Vec<Located<HeaderName>>>,
    binding_claim: Option<Located<String>>,
}

impl ApproovSources {
    fn token_header(&self) -> Option<&Located<HeaderName>> {
        self.token_header.as_ref().or(self.section.token_header.as_ref())
    }

    fn binding_headers(&self) -> Option<&[Located<HeaderName>]> {
        self.binding_headers.as_deref().or(self.section.binding_headers.as_deref())
    }

    fn binding_claim(&self) -> Option<&Located<String>> {
        self.binding_claim.as_ref().or(self.section.binding_claim.as_ref())
    }
}

fn approov(sources: ApproovSources, keys: Vec<LoadedKey>) -> Approov {
    let token_header = sources.token_header().map_or(DEFAULT_TOKEN_HEADER, |header| header.value.clone());
    let binding_headers = match sources.binding_headers() {
        Some(headers) => headers.iter().map(|header| header.value.clone()).collect(),
        None => vec![DEFAULT_BINDING_HEADER],
    };
    let defaults = BindingRules::default();
    let binding = BindingRules {
        claim: sources.binding_claim().map_or(defaults.claim, |claim| claim.value.clone()),
        headers: binding_headers.len(),
        missing_claim: sources.section.missing_claim.unwrap_or(MissingClaim::Reject),
    };
    let section = sources.section;
    let claims = ClaimRules {
        leeway: section.leeway.unwrap_or_default().as_secs_f64(),
        issuers: section.issuers.unwrap_or_default(),
        audiences: section.audiences.unwrap_or_default(),
    };
    let verifier = Verifier::new(keys.into_iter().map(LoadedKey::into_key).collect())
        .with_prefix(section.token_prefix.as_deref().unwrap_or_default())
        .with_max_token_length(section.max_token_length.unwrap_or(DEFAULT_MAX_TOKEN_LENGTH))
        .with_claim_rules(claims)
        .with_binding_rules(binding);
    Approov { token_header, forward_token: section.forward_token.unwrap_or(false), binding_headers, verifier }
}

/// Binding and the token header together, and binding that is set up but asked for by no route.
fn check_binding(sources: &ApproovSources, routes: &[Route], report: &Report) {
    let is_asked_for = routes.iter().any(|route| {
        route.strategy == Strategy::TokenBinding && matches!(route.policy, Policy::Protect | Policy::Observe)
    });
    let token_header = sources.token_header().map_or(DEFAULT_TOKEN_HEADER, |header| header.value.clone());
    let headers = sources.binding_headers();
    for (index, header) in headers.unwrap_or_default().iter().enumerate() {
        if header.value == token_header {
            let message = format!("{} carries the token itself", quoted(header.value.as_str()));
            report.problem(&header.at, message, "bind tokens to another header, such as Authorization");
        }
        if headers.unwrap_or_default()[..index].iter().any(|other| other.value == header.value) {
            let message = format!("{} is named twice", quoted(header.value.as_str()));
            report.problem(&header.at, message, "remove one");
        }
    }
    if let (None, true, Some(header)) = (headers, is_asked_for, sources.token_header())
        && header.value == DEFAULT_BINDING_HEADER
    {
        let mend = "name another token header, or name binding headers";
        report.problem(&header.at, "it is also the header that tokens are bound to by default", mend);
    }
    if let Some([_, second, ..]) = headers {
        let message = "several bound values are hashed without a separator: \"ab\" and \"c\" hash as \"a\" and \"bc\" do";
        report.warning(
            &second.at,
            message,
            "bind to one header, unless a client cannot choose these values freely",
        );
    }
    let first_header = headers.and_then(<[_]>::first).map(|header| &header.at);
    if let (false, Some(at)) = (is_asked_for, first_header.or(sources.binding_claim().map(|claim| &claim.at)))
    {
        let message = "binding is set up, but no route asks for it";
        report.warning(at, message, "set the strategy token-binding for all routes, or for some");
    }
}

fn rejection(section: RejectionSection) -> RejectionAnswer {
    RejectionAnswer {
        status: section.status.unwrap_or(StatusCode::UNAUTHORIZED),
        content_type: section.content_type.unwrap_or(HeaderValue::from_static("application/json")),
        body: section.body.map_or(Bytes::from_static(b"{}"), Bytes::from),
    }
}

/// An origin under its name, with the place of its domain.
type NamedOrigin = (String, Result<Located<Origin>, Reported>);

fn origins(
    sections: Option<Located<Vec<OriginSection>>>,
    variable: Option<Result<Located<Domain>, Reported>>,
    whole: &Location,
    report: &Report,
) -> Vec<NamedOrigin> {
    let sections = sections.map(|sections| sections.value).unwrap_or_default();
    if let (Some(Ok(domain)), true) = (&variable, sections.len() > 1) {
        let names: Vec<_> = sections.iter().map(|section| section.name.as_str()).collect();
        let message = format!("the file has several origins ({})", names.join(", "));
        report.problem(&domain.at, message, "set their domains in the file, and unset the variable");
    }
    if sections.is_empty() {
        let domain = variable.unwrap_or_else(|| {
            let mend =
                "set API_DOMAIN to the protected API, such as api.example.com, or write origins in a file";
            Err(report.problem(whole, "there is no origin", mend))
        });
        let origin = domain
            .map(|domain| new_origin("api", domain, DEFAULT_TIMEOUTS, DEFAULT_RESOLVE_INTERVAL, report));
        return vec![("api".to_owned(), origin)];
    }
    let variable = if sections.len() == 1 { variable } else { None };
    sections.into_iter().map(|section| named_origin(section, variable.clone(), report)).collect()
}

fn named_origin(
    section: OriginSection,
    variable: Option<Result<Located<Domain>, Reported>>,
    report: &Report,
) -> NamedOrigin {
    let domain = variable.or(section.domain).unwrap_or_else(|| {
        let mend = "write domain: and host, host:port or URL (or set API_DOMAIN, if this is the only origin)";
        Err(report.problem(&section.at, "domain is missing", mend))
    });
    let timeouts = OriginTimeouts {
        connect: section.connect_timeout.unwrap_or(DEFAULT_TIMEOUTS.connect),
        read: section.read_timeout.unwrap_or(DEFAULT_TIMEOUTS.read),
        write: section.write_timeout.unwrap_or(DEFAULT_TIMEOUTS.write),
        idle: section.idle_timeout.unwrap_or(DEFAULT_TIMEOUTS.idle),
    };
    let interval = section.resolve_interval.unwrap_or(DEFAULT_RESOLVE_INTERVAL);
    let origin = domain.map(|domain| new_origin(&section.name, domain, timeouts, interval, report));
    (section.name, origin)
}

fn new_origin(
    name: &str,
    domain: Located<Domain>,
    timeouts: OriginTimeouts,
    resolve_interval: Duration,
    report: &Report,
) -> Located<Origin> {
    let Located { value: domain, at } = domain;
    if !domain.tls && !domain.is_loopback() {
        let message = format!("requests travel to {} without TLS", domain.host);
        report.warning(&at, message, "use https://, unless the network in between is your own");
    }
    if domain.tls && domain.port == 80 {
        report.warning(&at, "TLS is spoken on port 80", "write http:// if the origin has no TLS there");
    }
    let Domain { host, port, tls, authority } = domain;
    let origin = Origin { name: name.into(), host, port, tls, authority, timeouts, resolve_interval };
    Located { value: origin, at }
}

/// An origin that is the gateway itself would be asked forever.
fn check_loops(origins: &[NamedOrigin], listeners: &[Located<SocketAddr>], report: &Report) {
    for Located { value: origin, at } in origins.iter().filter_map(|(_, origin)| origin.as_ref().ok()) {
        let address = match origin.host.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) if &*origin.host == "localhost" => DEFAULT_LISTENER.ip(),
            Err(_) => continue,
        };
        let origin = SocketAddr::new(address, origin.port);
        let is_self = |listener: &&Located<SocketAddr>| {
            let any = listener.value.ip().is_unspecified();
            collide(listener.value, origin) && (listener.value == origin || (any && address.is_loopback()))
        };
        if let Some(listener) = listeners.iter().find(is_self) {
            let message = format!("the origin is the gateway's own listener {}", listener.value);
            report.problem(at, message, "name the protected API, or move one of them to another port");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_collide_where_binding_the_second_would_fail() {
        let mut cases = 0;
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("[::1]:80", "[::]:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
        ] {
            let (one, other) = (one.parse().expect(one), other.parse().expect(other));
            assert_eq!(collide(one, other), expected, "{one} {other}");
            assert_eq!(collide(other, one), expected, "{other} {one}");
            cases += 1;
        }
        assert_eq!(cases, 8);
    }
}
