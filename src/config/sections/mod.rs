//! The sections of the configuration file: each topic declares its keys and resolves itself.

mod admin;
mod approov;
mod certificate_condition;
mod fleet;
mod forward_claims;
mod identity;
mod key_sets;
mod keys;
mod limits;
mod listeners;
mod log;
mod message_signing;
mod origins;
mod rejection;
mod request_id;
mod route_options;
mod routes;
mod routing;
mod server;
mod user;

use std::path::PathBuf;

use http::HeaderName;

use super::document::{
    Entries, Located, Location, Mapping, Report, Reported, Section, Written, always, list, named, nested,
    section, text,
};
use super::overrides::Overrides;
use super::settings::{ProcessSettings, RejectionAnswer, Settings};
use super::values::forwarded_header;
use crate::approov::{ApproovSettings, Strategy};
use crate::fleet::FleetSettings;
use crate::key_sets::KeySetSettings;
use crate::proxy::CorrelationSettings;

pub use approov::{STRATEGIES, binding_claim, strategy_name};
pub use key_sets::server;
pub use keys::{LoadedKey, LoadedMaterial, SECRET_HINT, read_secret_file};
pub use log::LEVELS;
pub use server::{HTTP1_EXCHANGES, THREADS};

use admin::AdminSection;
use approov::{ApproovSection, VerificationConfig, usual_keys};
use certificate_condition::entries;
use fleet::FleetSection;
use forward_claims::{ForwardClaims, ForwardedClaim};
use limits::LimitsSection;
use listeners::ListenerSection;
use log::LogSection;
use origins::{OriginSection, OriginSections};
use request_id::RequestIdSection;
use routes::{RouteContext, RouteSection};
use routing::RoutingSection;
use server::ServerSection;

section! {
    /// The configuration file.
    pub struct File {
        /// The process.
        server: ServerSection = always::<ServerSection>(),
        /// Where clients connect. Default: `127.0.0.1:8787`. (`GATEWAY_LISTEN` replaces the whole list.)
        listeners: Written<Entries<ListenerSection>> = list(nested::<ListenerSection>())
            .not_empty("write one, or remove the key for 127.0.0.1:8787"),
        /// The admin listener, with health and metrics. It asks for no password: keep clients away.
        /// Default: `127.0.0.1:8788`.
        admin: AdminSection = always::<AdminSection>(),
        /// Which tokens are accepted, and what they are bound to.
        approov: ApproovSection = always::<ApproovSection>(),
        /// Fields that tell the origin claims of a verified token, such as `X-Approov-Device: did`.
        /// What a client sends under such a name, in any spelling, is removed. Default: none.
        forward_claims: Written<Vec<ForwardedClaim>> = ForwardClaims,
        /// The id of each request.
        request_id: RequestIdSection = always::<RequestIdSection>(),
        /// The answer to refused requests. It is the same for every reason, so it tells an attacker
        /// nothing.
        rejection: RejectionAnswer = always::<RejectionAnswer>(),
        /// The protected APIs, each under a name that you choose for logs and metrics.
        origins: Written<OriginSections> = named("an origin", nested::<OriginSection>()),
        /// Which policy a request meets: that of the first route whose conditions all hold. If routes
        /// are written and none matches, the answer is 404. Default: one route that protects every
        /// path.
        routes: Written<Entries<RouteSection>> = list(nested::<RouteSection>())
            .not_empty("write a route, or remove the key to protect every path"),
        /// How paths are compared with those of routes.
        routing: RoutingSection = always::<RoutingSection>(),
        /// Identity headers and method overrides that clients may send to the origin. Without this key
        /// all of them are removed from every request; see the documentation for the list. Other
        /// spellings of a forwarded header are still removed.
        forward_headers: Written<Entries<HeaderName>> =
            list(text("name of a header that is removed otherwise", forwarded_header)),
        /// How much is admitted. The defaults are safe for a public listener.
        limits: LimitsSection = always::<LimitsSection>(),
        /// Several nodes as one.
        fleet: FleetSection = always::<FleetSection>(),
        /// The access log.
        log: LogSection = always::<LogSection>(),
    }
}

/// What was read, and the file as a whole for problems without a line.
pub struct Sources {
    pub path: Option<PathBuf>,
    /// The start of the file's SHA-256.
    pub hash: String,
    pub whole: Location,
    pub file: File,
    pub overrides: Overrides,
}

impl File {
    /// The file that nothing is written in.
    pub fn empty(report: &Report) -> Result<Self, Reported> {
        Self::read(&Mapping::empty(Location::nowhere(), report))
    }
}

/// Resolves all settings from file and environment.
pub fn settings(sources: Sources, report: &Report) -> Result<Settings, Reported> {
    let Sources { path, hash, whole, file, overrides } = sources;
    let config = path.as_deref();
    let of_file = file.approov.strategy.get().map(|strategy| strategy.value);
    if let (Some(Located { value: Strategy::Token, at }), Some(Strategy::TokenBinding)) =
        (&overrides.strategy, of_file)
    {
        let message = "it lowers approov.strategy of the file, which is token-binding, to token";
        report.warning(at, message, "unset it, or write strategy: token in the file");
    }
    let strategy = overrides.strategy.map(|strategy| strategy.value).or(of_file);
    let mut origins = origins::origins(file.origins, overrides.domain, &whole, report);
    let of_origins: Vec<_> = origins.iter_mut().map(|origin| origin.approov.take()).collect();
    let needs_usual_keys = of_origins.iter().any(Option::is_none);
    let names: Vec<&str> = origins.iter().map(|origin| origin.name.as_str()).collect();
    let listeners = listeners::listeners(file.listeners, overrides.listen, report);
    let asks_for_certificates = listeners.iter().any(ListenerSection::asks_for_certificates);
    let around = RouteContext {
        strategy: strategy.unwrap_or_default(),
        message_signing: file.approov.message_signing.mode,
        origins: &names,
        asks_for_certificates,
        look_alikes: file.routing.look_alikes,
    };
    let (routes, of_routes) = routes::routes(file.routes, &around, &whole, report);
    let fleet = file.fleet.resolve(report);
    let limits = file.limits.resolve(of_routes, fleet.as_ref().unwrap_or(&FleetSettings::default()), report);
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.clone()).collect();
    let admin = admin::admin(file.admin, overrides.admin, &addresses, report);
    let server = file.server.resolve(overrides.server, &addresses, report);
    let log = file.log.resolve(overrides.log_level, report);
    let mut approov = file.approov;
    let keys = std::mem::take(&mut approov.keys);
    let keys = usual_keys(keys, overrides.secret, needs_usual_keys, config, &whole, report);
    let own_rules: Vec<_> = of_origins
        .into_iter()
        .map(|own| own.map(|own| own?.value.load(config, report)).transpose())
        .collect();
    let own_rules = own_rules.into_iter().collect::<Result<Vec<_>, _>>();
    let verification = VerificationConfig::new(approov, overrides.token);
    verification.check_binding(routes.routes(), report);
    origins::check_authorities(&origins, overrides.authorities.as_ref(), report);
    origins::check_loops(&origins, &addresses, report);
    // No field of the gateway's own may have two meanings.
    let mut taken = verification.verified_headers();
    let request_id = file.request_id.resolve(&taken, report);
    taken.extend(request_id.clone());
    origins::check_secret_headers(&origins, &taken, report);
    taken.extend(origins::secret_headers(&origins).cloned());
    let forward_claims = file.forward_claims.value().unwrap_or_default();
    forward_claims::check(&forward_claims, &taken, report);
    let listeners = listeners::load(listeners, routes.routes(), report);
    let (approov, key_sets) = verification.resolve(keys?, own_rules?, report)?;
    Ok(Settings {
        file: path,
        hash,
        server: server?,
        listeners: listeners?,
        admin: admin?,
        approov: ApproovSettings {
            forward_claims: forward_claims.into_iter().map(|field| field.value).collect(),
            ..approov
        },
        key_sets,
        rejection: file.rejection,
        origins: origins.into_iter().map(|named| Ok(named.origin?.value)).collect::<Result<_, _>>()?,
        routes,
        forward_headers: entries(file.forward_headers),
        correlation: CorrelationSettings { request_id, tracing: overrides.otel.tracing },
        limits: limits?,
        fleet: fleet?,
        otlp: overrides.otel.exporter,
        log,
        warnings: Vec::new(),
        files: Vec::new(),
    })
}

/// The settings that concern the process. Reads no other file.
pub fn process_only(sources: Sources, report: &Report) -> Result<ProcessSettings, Reported> {
    let Sources { file, overrides, .. } = sources;
    let listeners = listeners::listeners(file.listeners, overrides.listen, report);
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.clone()).collect();
    let admin = admin::endpoint(&file.admin, overrides.admin, &addresses, report);
    let server = file.server.resolve(overrides.server, &addresses, report);
    Ok(ProcessSettings { server: server?, admin: admin? })
}

/// The keys for origins without their own, as far as they are not fetched.
pub fn keys_only(sources: Sources, report: &Report) -> Result<Vec<LoadedKey>, Reported> {
    let Sources { path, whole, file, overrides, .. } = sources;
    let keys = usual_keys(file.approov.keys, overrides.secret, true, path.as_deref(), &whole, report)?;
    Ok(keys.keys)
}

/// The settings that concern tokens, and the key sets that are fetched.
pub fn approov_only(
    sources: Sources,
    report: &Report,
) -> Result<(ApproovSettings, Vec<KeySetSettings>), Reported> {
    let Sources { path, whole, mut file, overrides, .. } = sources;
    let keys = std::mem::take(&mut file.approov.keys);
    let keys = usual_keys(keys, overrides.secret, true, path.as_deref(), &whole, report)?;
    VerificationConfig::new(file.approov, overrides.token).resolve(keys, Vec::new(), report)
}
