//! From file and environment to settings: what overrides what, defaults, and the checks that
//! take several values.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::approov::{
    ApproovSettings, BindingRules, ClaimRules, DEFAULT_MAX_TOKEN_LENGTH, MissingClaim, Strategy, Verifier,
};
use crate::policy::{Policy, Route};

use super::access_log::log;
use super::env::{Overrides, TokenOverrides};
use super::error::{Located, Location, Report, Reported, quoted};
use super::file::{ApproovSection, File, RejectionSection, ServerSection};
use super::keys::{KeySection, LoadedKey};
use super::limits::limits;
use super::listeners::{self, ListenerSection, admin, listeners};
use super::named_file::warn_if_world_readable;
use super::origins::{ApproovOfOrigin, check_loops, check_secret_headers, origins};
use super::routes::{Surroundings, routes};
use super::user::user;
use super::{Admin, RejectionAnswer, ServerSettings, Settings};

const DEFAULT_TOKEN_HEADER: HeaderName = HeaderName::from_static("approov-token");
const DEFAULT_BINDING_HEADER: HeaderName = http::header::AUTHORIZATION;
const DEFAULT_POOL_SIZE: usize = 1024;
const DEFAULT_GRACE_PERIOD: Duration = Duration::from_secs(30);

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
    let of_routes = file.routes.as_ref().map(|routes| routes.value.as_slice());
    let limits = limits(file.limits, of_routes, report);
    let mut origins = origins(file.origins, overrides.domain, &whole, report);
    let of_origins: Vec<_> = origins.iter_mut().map(|origin| origin.approov.take()).collect();
    let is_needed = of_origins.iter().any(Option::is_none);
    let names: Vec<&str> = origins.iter().map(|origin| origin.name.as_str()).collect();
    let listeners = listeners(file.listeners, overrides.listen, &whole, report);
    let asks_for_certificates = listeners.iter().any(ListenerSection::asks_for_certificates);
    let around = Surroundings { strategy, origins: &names, asks_for_certificates };
    let routes = routes(file.routes, &around, &whole, report);
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.clone()).collect();
    let admin = admin(file.admin, overrides.admin, &addresses, report);
    let server = server(file.server, overrides.threads, overrides.runtime_folder, &addresses, report);
    let log = log(file.log.access, file.log.file, report);
    let keys = keys(&file.approov, overrides.secret, is_needed, path.as_ref(), &whole, report);
    let of_origins: Vec<_> =
        of_origins.into_iter().map(|own| own.map(|own| own_rules(own, path.as_ref(), report))).collect();
    let of_origins = of_origins.into_iter().map(Option::transpose).collect::<Result<Vec<_>, _>>();
    let sources = ApproovSources { section: file.approov, overrides: overrides.token };
    check_binding(&sources, routes.routes(), report);
    check_loops(&origins, &addresses, report);
    check_secret_headers(&origins, &sources.verified_headers().iter().collect::<Vec<_>>(), report);
    let listeners = listeners::load(listeners, routes.routes(), report);
    Ok(Settings {
        file: path,
        server: server?,
        listeners: listeners?,
        admin: Admin { address: admin? },
        approov: approov(sources, keys?, of_origins?),
        rejection: rejection(file.rejection),
        origins: origins.into_iter().map(|named| Ok(named.origin?.value)).collect::<Result<_, _>>()?,
        routes,
        limits: limits?,
        log,
        warnings: Vec::new(),
        files: Vec::new(),
    })
}

/// What concerns tokens only.
pub(super) fn approov_only(sources: Sources, report: &Report) -> Result<ApproovSettings, Reported> {
    let Sources { path, whole, file, overrides } = sources;
    let keys = keys(&file.approov, overrides.secret, true, path.as_ref(), &whole, report)?;
    let sources = ApproovSources { section: file.approov, overrides: overrides.token };
    Ok(approov(sources, keys, Vec::new()))
}

/// The keys before they become a verifier.
pub(super) fn keys_only(sources: Sources, report: &Report) -> Result<Vec<LoadedKey>, Reported> {
    let Sources { path, whole, file, overrides } = sources;
    keys(&file.approov, overrides.secret, true, path.as_ref(), &whole, report)
}

fn server(
    section: ServerSection,
    threads: Option<usize>,
    runtime_folder: Option<PathBuf>,
    listeners: &[Located<SocketAddr>],
    report: &Report,
) -> Result<ServerSettings, Reported> {
    let cores = || available_parallelism().map_or(1, NonZeroUsize::get);
    // Named after the first listener, so that several gateways get along; one on any free port
    // cannot be found again anyway.
    let address = listeners.first().map(|listener| listener.value).filter(|address| address.port() != 0);
    let own_file = |extension: &str| Some(runtime_folder.as_ref()?.join(format!("{}.{extension}", address?)));
    Ok(ServerSettings {
        threads: threads.or(section.threads).unwrap_or_else(cores),
        grace_period: section.grace_period.unwrap_or(DEFAULT_GRACE_PERIOD),
        pid_file: section.pid_file.or_else(|| own_file("pid")),
        upgrade_sock: section.upgrade_sock.or_else(|| own_file("upgrade.sock")),
        user: user(section.user, section.group, report)?,
        watch: section.watch.unwrap_or(false),
        upstream_keepalive_pool_size: section.upstream_keepalive_pool_size.unwrap_or(DEFAULT_POOL_SIZE),
    })
}

/// The usual keys. `is_needed` is false where every origin has its own.
fn keys(
    section: &ApproovSection,
    variable: Option<Result<crate::approov::Secret, Reported>>,
    is_needed: bool,
    path: Option<&PathBuf>,
    whole: &Location,
    report: &Report,
) -> Result<Vec<LoadedKey>, Reported> {
    if let Some(secret) = variable {
        return Ok(vec![LoadedKey::of_account(secret?)]);
    }
    match &section.keys {
        Some(keys) if !keys.value.is_empty() => load_keys(&keys.value, path, report),
        _ if !is_needed => Ok(Vec::new()),
        _ => {
            let mend =
                "set APPROOV_SECRET_BASE64 or APPROOV_SECRET_BASE64_FILE, or write approov.keys in a file";
            Err(report.problem(whole, "there is no key to verify tokens with", mend))
        }
    }
}

/// What an origin asks of tokens in place of what `approov` says.
struct OwnRules {
    keys: Vec<LoadedKey>,
    issuers: Option<Vec<String>>,
    audiences: Option<Vec<String>>,
}

fn own_rules(own: ApproovOfOrigin, path: Option<&PathBuf>, report: &Report) -> Result<OwnRules, Reported> {
    let Located { value: keys, at } = own.keys?;
    if keys.is_empty() {
        let mend = "write a key, or remove approov from this origin to use the usual ones";
        return Err(report.problem(&at, "the list is empty", mend));
    }
    let keys = load_keys(&keys, path, report)?;
    Ok(OwnRules { keys, issuers: own.issuers, audiences: own.audiences })
}

fn load_keys(
    keys: &[Result<KeySection, Reported>],
    path: Option<&PathBuf>,
    report: &Report,
) -> Result<Vec<LoadedKey>, Reported> {
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
    overrides: TokenOverrides,
}

impl ApproovSources {
    fn token_header(&self) -> Option<&Located<HeaderName>> {
        self.overrides.token_header.as_ref().or(self.section.token_header.as_ref())
    }

    fn binding_headers(&self) -> Option<&[Located<HeaderName>]> {
        self.overrides.binding_headers.as_deref().or(self.section.binding_headers.as_deref())
    }

    /// Those that carry tokens, or what tokens are bound to.
    fn verified_headers(&self) -> Vec<HeaderName> {
        let token = self.token_header().map_or(DEFAULT_TOKEN_HEADER, |header| header.value.clone());
        let bound = match self.binding_headers() {
            Some(headers) => headers.iter().map(|header| header.value.clone()).collect(),
            None => vec![DEFAULT_BINDING_HEADER],
        };
        [vec![token], bound].concat()
    }

    fn binding_claim(&self) -> Option<&Located<String>> {
        self.overrides.binding_claim.as_ref().or(self.section.binding_claim.as_ref())
    }
}

fn approov(
    sources: ApproovSources,
    keys: Vec<LoadedKey>,
    of_origins: Vec<Option<OwnRules>>,
) -> ApproovSettings {
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
    let prefix = section.token_prefix.as_deref().unwrap_or_default();
    let max_length = section.max_token_length.unwrap_or(DEFAULT_MAX_TOKEN_LENGTH);
    let verifier = |keys: Vec<LoadedKey>, claims: ClaimRules| {
        Verifier::new(keys.into_iter().map(LoadedKey::into_key).collect())
            .with_prefix(prefix)
            .with_max_token_length(max_length)
            .with_claim_rules(claims)
            .with_binding_rules(binding.clone())
    };
    let of_origin = |own: OwnRules| {
        let claims = ClaimRules {
            leeway: claims.leeway,
            issuers: own.issuers.unwrap_or_else(|| claims.issuers.clone()),
            audiences: own.audiences.unwrap_or_else(|| claims.audiences.clone()),
        };
        verifier(own.keys, claims)
    };
    ApproovSettings {
        origin_verifiers: of_origins.into_iter().map(|own| own.map(of_origin)).collect(),
        verifier: verifier(keys, claims.clone()),
        token_header,
        forward_token: section.forward_token.unwrap_or(false),
        binding_headers,
    }
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
