//! The configuration in the form that requests use.

use std::sync::Arc;

use http::HeaderName;
use pingora_core::{Error, ErrorType};

use super::answer::Answers;
use super::correlation::CorrelationSettings;
use super::forward::Forwarding;
use super::ids;
use super::settings::{RejectionDetail, SnapshotSettings};
use super::signing::Signing;
use crate::admission::{Limits, Subjects};
use crate::approov::message_signing::Mode;
use crate::approov::{Key, Verifier};
use crate::policy::{Policy, Route, RouteTable};
use crate::telemetry::{Metrics, PrivacyKey, PrivacySettings, RouteMetrics, Sample};
use crate::upstream::Upstream;

/// The label of requests for which no route matches.
pub(super) const UNROUTED: &str = "none";

/// Up to this many routes have all their series from the start. Of more routes, most never see a request,
/// and every scrape would carry their series.
const PREPARED_ROUTES: usize = 500;

/// One configuration, prepared for requests. It never changes; a reload makes a new one.
pub struct Snapshot {
    pub(super) routes: RouteTable,
    pub(super) route_metrics: Vec<Arc<RouteMetrics>>,
    pub(super) unrouted_metrics: Arc<RouteMetrics>,
    verifier: Verifier,
    origin_verifiers: Vec<Option<Verifier>>,
    pub(super) token_header: HeaderName,
    pub(super) binding_headers: Vec<HeaderName>,
    pub(super) signing: Signing,
    pub(super) answers: Answers,
    /// Whether an answer tells the app the attestation response code.
    pub(super) tells_response_code: bool,
    pub(super) forwarding: Forwarding,
    pub(super) correlation: CorrelationSettings,
    pub(super) upstreams: Vec<Arc<Upstream>>,
    /// The limits on connections and requests, with their counts.
    pub limits: Limits,
    /// Whether requests are written to the access log.
    pub(super) is_logged: bool,
    /// How personal data is written.
    pub(super) privacy: PrivacySettings,
    pub(super) privacy_key: PrivacyKey,
    /// Which accepted requests are written.
    pub(super) sample: Sample,
}

/// The configured key for device ids in the log, else the key so far, else a new one.
fn privacy_key(settings: &PrivacySettings, previous: Option<&Snapshot>) -> pingora_core::Result<PrivacyKey> {
    let known = settings.key.clone().or_else(|| Some(previous?.privacy_key.clone()));
    let new = || ids::random::<32>().map(|key| PrivacyKey::new(&key));
    known.or_else(new).ok_or_else(|| Error::explain(ErrorType::InternalError, "no random numbers"))
}

impl Snapshot {
    /// Prepares `settings`. `upstreams` are in the order of the origins in `settings`. `previous` is the
    /// configuration in force until now.
    ///
    /// # Errors
    /// If an answer cannot be built from the configured rejection.
    pub fn new(
        settings: SnapshotSettings,
        upstreams: Vec<Arc<Upstream>>,
        metrics: &Metrics,
        previous: Option<&Snapshot>,
    ) -> pingora_core::Result<Self> {
        let route_metrics: Vec<_> =
            settings.routes.routes().iter().map(|route| metrics.route(&route.name, route.policy)).collect();
        if route_metrics.len() <= PREPARED_ROUTES {
            route_metrics.iter().for_each(|metrics| metrics.prepare());
        }
        for (route, metrics) in settings.routes.routes().iter().zip(&route_metrics) {
            if route.options.message_signing != Mode::Off {
                metrics.expect_signatures();
            }
        }
        let routes: Vec<_> = settings.routes.routes().iter().map(|route| &*route.name).collect();
        let origins: Vec<_> = settings.origins.iter().map(|origin| &*origin.name).collect();
        let subjects = Subjects { routes: &routes, origins: &origins, listeners: settings.listeners };
        let forwarding = Forwarding::new(&settings);
        Ok(Self {
            limits: Limits::new(&settings.limits, subjects, previous.map(|previous| &previous.limits)),
            route_metrics,
            unrouted_metrics: metrics.route(UNROUTED, Policy::Deny),
            signing: Signing::new(
                settings.approov.message_signing,
                settings.limits.shared.is_some(),
                previous.map(|previous| &previous.signing),
            ),
            answers: Answers::new(&settings.rejection)?,
            tells_response_code: settings.rejection.details.contains(&RejectionDetail::ResponseCode),
            forwarding,
            correlation: settings.correlation,
            routes: settings.routes,
            verifier: settings.approov.verifier,
            origin_verifiers: settings.approov.origin_verifiers,
            token_header: settings.approov.token_header,
            binding_headers: settings.approov.binding_headers,
            upstreams,
            is_logged: settings.is_logged,
            privacy_key: privacy_key(&settings.privacy, previous)?,
            privacy: settings.privacy,
            sample: Sample::new(settings.sample.hundredths()),
        })
    }

    /// The keys that verify tokens, each with the origin that has keys of its own; `None` for the keys of
    /// all other origins.
    pub fn keys(&self) -> impl Iterator<Item = (Option<&str>, &Key)> {
        let names = self.upstreams.iter().map(|upstream| &*upstream.origin().name);
        let own = names.zip(&self.origin_verifiers);
        let own = own.filter_map(|(name, verifier)| Some((Some(name), verifier.as_ref()?)));
        let all = [(None, &self.verifier)].into_iter().chain(own);
        all.flat_map(|(origin, verifier)| verifier.keys().iter().map(move |key| (origin, key)))
    }

    /// The routes.
    pub fn routes(&self) -> &RouteTable {
        &self.routes
    }

    /// The signatures that were accepted, for the process that takes over.
    pub fn export_replays(&self) -> Vec<u8> {
        self.signing.export_replays()
    }

    /// The signatures that were accepted since the last call; `None` if none are remembered.
    pub fn take_fresh_replays(&self) -> Option<Vec<u8>> {
        self.signing.take_fresh_replays()
    }

    /// Adds the signatures that the process before this one has accepted. `now` is in Unix seconds.
    pub fn import_replays(&self, exported: &[u8], now: u64) {
        self.signing.import_replays(exported, now);
    }

    /// The verifier for the requests of a route.
    pub(super) fn verifier(&self, route: &Route) -> &Verifier {
        let own = self.origin_verifiers.get(route.origin).and_then(Option::as_ref);
        own.unwrap_or(&self.verifier)
    }
}
