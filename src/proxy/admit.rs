//! Admission of a request: route, limits, verification. The result is the second state of a request.

use super::answer::Answer;
use super::arrival::Arrival;
use super::head::RequestHead;
use super::validity;
use crate::admission::{RateFields, Refusal, Verified, WithinLimits};
use crate::approov::{Device, Rejection, UnixTime};
use crate::clock;
use crate::downstream::TlsSession;
use crate::limits::{Cause, Outcome, Permit};
use crate::policy::{ClientCertificate, Policy, Verdict};
use crate::telemetry::Metrics;

/// The judgement of a request.
#[derive(Debug)]
pub(super) struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why verification failed, if it failed.
    pub rejection: Option<Rejection>,
    /// The device that a verified token names.
    pub device: Device,
}

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
    /// Whether nothing more is wanted from the client.
    pub ends_connection: bool,
}

impl Judgement {
    /// The judgement of a request before any policy applies.
    pub fn denied() -> Self {
        Self { verdict: Verdict::Denied, rejection: None, device: Device::default() }
    }
}

/// Decides whether a request is forwarded.
pub(super) fn admit(
    arrival: &Arrival,
    head: &impl RequestHead,
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
    let found = find_route(arrival, head);
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
    let mut signed = None;
    match route.policy {
        Policy::Deny => return Err(refused),
        Policy::Open => refused.judgement.verdict = Verdict::Open,
        Policy::Protect | Policy::Observe => {
            let found = snapshot.verifier(route).verify(
                route.strategy,
                head.presented(&snapshot.token_header),
                |bound| head.presented(&snapshot.binding_headers[bound]),
                UnixTime::since_epoch(clock::unix_time()),
            );
            signed = found.accepted.map(|accepted| accepted.signed);
            let verdict = match (route.policy, signed) {
                (Policy::Observe, _) => Verdict::Observed,
                (_, None) => Verdict::Rejected,
                (_, Some(_)) => Verdict::Accepted,
            };
            refused.judgement = Judgement { verdict, rejection: found.rejection, device: found.device };
            match verdict {
                Verdict::Rejected => {
                    refused.ends_connection = limits.verification_failed(client, found.rejection, now);
                    return Err(refused);
                }
                Verdict::Accepted => limits.verification_passed(client, now),
                _ => {}
            }
        }
    }

    if head.declared_length().is_some_and(|length| length > limits.body_bytes(index)) {
        return Err(refused.by_limit(Refusal::by(Cause::BodySize), metrics));
    }
    let verified = signed.map(|token| Verified { token, device: refused.judgement.device.id.as_deref() });
    let (permit, after) = match limits.admit_request(client, verified, index, route.origin, now) {
        Ok(admitted) => admitted,
        Err(refusal) => return Err(refused.by_limit(refusal, metrics)),
    };
    observe(&mut refused.limit, after.observed, metrics);
    let rate = WithinLimits::tightest(before.tightest, after.tightest);
    Ok(Admitted {
        route: index,
        judgement: refused.judgement,
        observed: refused.limit,
        rate: rate.and_then(RateFields::of).map(Box::new),
        permit,
    })
}

impl Refused {
    fn by_limit(self, refusal: Refusal, metrics: &Metrics) -> Self {
        metrics.limited(refusal.cause, Outcome::Refused);
        Self {
            answer: Answer::from(&refusal),
            ends_connection: refusal.is_of_address(),
            limit: Some(refusal),
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

/// The position of the route, or the answer to a request that no route takes.
fn find_route(arrival: &Arrival, head: &impl RequestHead) -> Result<usize, Answer> {
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
