//! Admission of a request: route, limits, verification. The result is the second state of a request.

use std::net::IpAddr;

use super::answer::Answer;
use super::arrival::Arrival;
use super::body::{BodyDemand, BodyFault};
use super::forward::{self, Fact};
use super::head::RequestHead;
use super::judgement::{Judgement, SelfReport};
use super::signing::SignatureOutcome;
use super::snapshot::Snapshot;
use super::validity;
use super::verification::{self, Verification};
use crate::admission::{RateFields, Refusal, Verified, WithinLimits};
use crate::approov::message_signing::{Mode, SignatureResult};
use crate::approov::{Device, Rejection};
use crate::downstream::TlsSession;
use crate::limits::{Cause, Outcome, Permit};
use crate::origins::OriginHttp;
use crate::policy::{ClientCertificate, Policy, Preflight, Route, ShareKey, Verdict};
use crate::telemetry::Metrics;

/// A request that is forwarded.
pub(super) struct Admitted {
    /// The position of the route.
    pub route: usize,
    pub judgement: Judgement,
    /// The limit that would have refused the request, but only observes.
    pub observed: Option<Refusal>,
    /// The fields that tell the client about the rate limits.
    pub rate: Option<Box<RateFields>>,
    /// Counts the request as in flight.
    pub permit: Permit,
    /// What the body must satisfy before the origin gets any of it.
    pub body: BodyDemand,
    /// The fields that tell the origin what verification found out.
    pub facts: Vec<Fact>,
}

/// A request that is not forwarded.
pub(super) struct Refused {
    /// The answer to the client.
    pub answer: Answer,
    /// The position of the route, if a route matched.
    pub route: Option<usize>,
    pub judgement: Judgement,
    /// The limit that the request exceeds. It may be a limit that only observes, and then it is not
    /// the reason of the refusal.
    pub limit: Option<Refusal>,
    /// Whether the client is denied or banned now, so that its own connection is closed after the answer.
    pub ends_connection: bool,
}

/// Decides whether a request is forwarded. `found` is the result of [`find_route`].
pub(super) fn admit(
    arrival: &Arrival,
    head: &impl RequestHead,
    found: FoundRoute,
    metrics: &Metrics,
) -> Result<Admitted, Refused> {
    let snapshot = &*arrival.snapshot;
    let limits = &snapshot.limits;
    let mut refused = Refused {
        answer: Answer::Refused,
        route: None,
        judgement: Judgement::denied(),
        limit: None,
        ends_connection: false,
    };
    if let Some(cause) = validity::oversize(head, &limits.protocol.head) {
        return Err(refused.by_limit(Refusal::by(cause), metrics));
    }
    refused.route = found.ok();
    let client = arrival.client_key();
    let now = limits.moment(arrival.started);
    let before = match limits.admit_head(client, refused.route, now) {
        Ok(before) => before,
        Err(refusal) => return Err(refused.by_limit(refusal, metrics)),
    };
    observe(&mut refused.limit, before.observed, metrics);
    let index = match found {
        Ok(index) => index,
        Err(answer) => return Err(Refused { answer, ..refused }),
    };

    let route = &snapshot.routes.routes()[index];
    let mut verified = None;
    match route.policy {
        Policy::Deny => return Err(refused),
        Policy::Open => refused.judgement.verdict = Verdict::Open,
        Policy::Protect | Policy::Observe if passes_as_preflight(head, route) => {
            refused.judgement.verdict = Verdict::Open;
            if route.options.preflight == Preflight::Answer {
                return Err(Refused { answer: Answer::Preflight, ..refused });
            }
        }
        Policy::Protect | Policy::Observe => {
            let mut found = verification::verify(arrival, head, route);
            let verdict = match (is_enforced(route, &found.device, arrival), found.rejection) {
                (false, _) => Verdict::Observed,
                (true, Some(_)) => Verdict::Rejected,
                (true, None) => Verdict::Accepted,
            };
            refused.judgement = Judgement {
                verdict,
                rejection: found.rejection,
                device: std::mem::take(&mut found.device),
                signature: found.signature,
                is_failover: found.is_failover && found.rejection.is_none(),
                self_report: SelfReport::of(head, found.rejection, snapshot),
            };
            match verdict {
                Verdict::Rejected if found.rejection == Some(Rejection::KeysUnavailable) => {
                    return Err(Refused { answer: Answer::Unavailable, ..refused });
                }
                Verdict::Rejected => {
                    refused.ends_connection = limits.verification_failed(client, found.rejection, now);
                    return Err(refused);
                }
                Verdict::Accepted => limits.verification_passed(client, now),
                _ => {}
            }
            verified = Some(found);
        }
    }

    if head.declared_length().is_some_and(|length| length > limits.body_bytes(index)) {
        return Err(refused.by_limit(Refusal::by(Cause::BodySize), metrics));
    }
    let token = verified.as_ref().and_then(|verified| verified.signed);
    let token = token.map(|token| Verified { token, device: refused.judgement.device.id.as_deref() });
    let (permit, after) = match limits.admit_request(client, token, index, route.origin, now) {
        Ok(admitted) => admitted,
        Err(refusal) => return Err(refused.by_limit(refusal, metrics)),
    };
    observe(&mut refused.limit, after.observed, metrics);
    let observes = refused.judgement.verdict == Verdict::Observed;
    let rate = WithinLimits::tightest(before.tightest, after.tightest);
    Ok(Admitted {
        route: index,
        judgement: refused.judgement,
        observed: refused.limit,
        rate: rate.and_then(RateFields::of).map(Box::new),
        permit,
        // What only observes refuses no body either.
        body: verified
            .as_ref()
            .filter(|_| !observes)
            .map_or(BodyDemand::Free, |verified| body_demand(verified, head, route)),
        facts: verified.map_or(Vec::new(), |verified| facts(verified, observes)),
    })
}

impl Refused {
    /// A request that was admitted to `route`, but whose body is not forwarded. `limit` is a limit that it
    /// exceeds and that only observes.
    pub fn by_body(
        route: usize,
        judgement: Judgement,
        limit: Option<Refusal>,
        fault: BodyFault,
        metrics: &Metrics,
    ) -> Self {
        let refused =
            Self { answer: Answer::Refused, route: Some(route), judgement, limit, ends_connection: false };
        match fault {
            BodyFault::TooLong => refused.by_limit(Refusal::by(Cause::BodySize), metrics),
            BodyFault::Busy => refused.by_limit(Refusal::by(Cause::HeldBodies), metrics),
            BodyFault::Rejected(rejection) => {
                let signature = refused.judgement.signature.map(|signature| SignatureOutcome {
                    result: SignatureResult::Invalid,
                    rejection: Some(rejection),
                    ..signature
                });
                let judgement = Judgement {
                    verdict: Verdict::Rejected,
                    rejection: Some(rejection),
                    signature,
                    ..refused.judgement
                };
                Self { judgement, ..refused }
            }
        }
    }

    /// The attestation response code of the refused token: one that a key verified, else one that the
    /// client itself sent.
    pub fn response_code(&self) -> Option<&str> {
        let unproven = || self.judgement.self_report.as_ref()?.claims.response_code.as_deref();
        self.judgement.rejection?;
        self.judgement.device.response_code.as_deref().or_else(unproven)
    }

    /// A request that a limit refuses, whatever verification has found.
    fn by_limit(self, refusal: Refusal, metrics: &Metrics) -> Self {
        metrics.limited(refusal.cause, Outcome::Refused);
        let judgement = Judgement { verdict: Verdict::Denied, ..self.judgement };
        Self {
            answer: Answer::from(&refusal),
            ends_connection: refusal.is_of_address(),
            limit: Some(refusal),
            judgement,
            ..self
        }
    }
}

/// Counts a limit that would have refused the request but only observes. The first such limit is kept.
fn observe(limit: &mut Option<Refusal>, observed: Option<Refusal>, metrics: &Metrics) {
    if let Some(refusal) = observed {
        metrics.limited(refusal.cause, Outcome::Observed);
        limit.get_or_insert(refusal);
    }
}

/// Whether the route lets CORS preflights pass without a token, and the request is one.
fn passes_as_preflight(head: &impl RequestHead, route: &Route) -> bool {
    route.options.preflight != Preflight::Verify && head.is_preflight()
}

/// Whether the route refuses what fails verification, for this client.
fn is_enforced(route: &Route, device: &Device, arrival: &Arrival) -> bool {
    if route.policy == Policy::Observe {
        return false;
    }
    let share = route.options.enforce;
    match (&device.id, arrival.client.address) {
        (Some(id), _) => share.contains(&ShareKey::Device(id)),
        (None, IpAddr::V4(address)) => share.contains(&ShareKey::Address(&address.octets())),
        (None, IpAddr::V6(address)) => share.contains(&ShareKey::Address(&address.octets())),
    }
}

/// What the body of an admitted request must satisfy.
fn body_demand(verified: &Verification<'_>, head: &impl RequestHead, route: &Route) -> BodyDemand {
    let is_signed = verified.signature.is_some_and(|signature| signature.rejection.is_none());
    let is_enforced = matches!(route.options.message_signing, Mode::WhenKeyed | Mode::Required);
    match verified.digest {
        Some(digest) if verified.rejection.is_none() => BodyDemand::Digest(digest),
        // The head announced no body, so none was asked for a digest.
        None if is_signed && is_enforced && !head.may_have_body() => BodyDemand::Empty,
        _ => BodyDemand::Free,
    }
}

/// The fields that tell the origin what verification found out.
fn facts(verified: Verification<'_>, observes: bool) -> Vec<Fact> {
    let verdict = observes.then(|| forward::verdict_fact(verified.rejection));
    verified.claims.into_iter().chain(verdict).collect()
}

/// The position of a request's route, or the answer to a request that no route takes.
pub(super) type FoundRoute = Result<usize, Answer>;

/// Whether a request, if it is forwarded, goes to an origin with HTTP/1.
pub(super) fn leads_to_http1(snapshot: &Snapshot, found: FoundRoute) -> bool {
    found.map_or(true, |route| {
        let origin = snapshot.routes.routes()[route].origin;
        snapshot.upstreams[origin].origin().http == OriginHttp::H1
    })
}

/// Finds the route of a request.
pub(super) fn find_route(arrival: &Arrival, head: &impl RequestHead) -> FoundRoute {
    let snapshot = &arrival.snapshot;
    validity::check(head, &snapshot.binding_headers, arrival.tls().is_some())?;
    if arrival.needs_tls() {
        return Err(Answer::Redirect);
    }
    let certificate = arrival.tls().and_then(TlsSession::valid_certificate).map(ClientCertificate::from);
    let found = snapshot.routes.find(head.method(), head.host(), head.path(), certificate);
    let (index, _) = found.map_err(|_| Answer::BadRequest)?.ok_or(Answer::NotFound)?;
    Ok(index)
}
