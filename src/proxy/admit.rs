//! Whether a request is forwarded: routed, verified, and within the limits.

use http::Version;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::answer::Answer;
use super::{Gateway, RequestContext, TlsSession, extract};
use crate::admission::{RateFields, Refusal, Verified, WithinLimits};
use crate::approov::UnixTime;
use crate::clock;
use crate::http::HeadLimits;
use crate::limits::{Cause, Outcome};
use crate::policy::{ClientCertificate, Policy, Verdict};

impl Gateway {
    /// `Ok` forwards, `Err` is the answer in place of the origin's.
    pub(super) fn admit(&self, session: &Session, ctx: &mut RequestContext) -> Result<(), Answer> {
        let request = session.req_header();
        if let Some(size) = oversize(request, &ctx.snapshot.limits.protocol.head) {
            return Err(self.refuse(&mut ctx.limited, Refusal::by(size)));
        }
        let found = find_route(request, ctx);
        ctx.route = found.ok();
        let Some(visitor) = ctx.visitor() else { return Err(Answer::Internal) };
        let now = ctx.snapshot.limits.moment(ctx.started);
        let arrived = ctx.snapshot.limits.admit_head(visitor, ctx.route, now);
        let arrived = arrived.map_err(|limited| self.refuse(&mut ctx.limited, limited))?;
        self.note(&mut ctx.limited, arrived.observed);
        let index = found?;

        let snapshot = &*ctx.snapshot;
        let limits = &snapshot.limits;
        let route = &snapshot.routes.routes()[index];
        let mut verified = None;
        match route.policy {
            Policy::Deny => return Err(Answer::Refused),
            Policy::Open => ctx.verdict = Verdict::Open,
            Policy::Protect | Policy::Observe => {
                let headers = &request.headers;
                let verdict = snapshot.verifier(route).verify(
                    route.strategy,
                    extract::presented(headers, &snapshot.token_header),
                    |bound| extract::presented(headers, &snapshot.binding_headers[bound]),
                    unix_time(),
                );
                ctx.rejection = verdict.rejection;
                ctx.device = verdict.device;
                match (route.policy, verdict.accepted.map(|accepted| accepted.signed)) {
                    (Policy::Observe, signed) => {
                        ctx.verdict = Verdict::Observed;
                        verified = signed;
                    }
                    (_, None) => {
                        ctx.verdict = Verdict::Rejected;
                        ctx.ends_connection = limits.verification_failed(visitor, verdict.rejection, now);
                        return Err(Answer::Refused);
                    }
                    (_, signed) => {
                        ctx.verdict = Verdict::Accepted;
                        limits.verification_passed(visitor, now);
                        verified = signed;
                    }
                }
            }
        }

        if extract::length(request).is_some_and(|length| length > limits.body_bytes(index)) {
            return Err(self.refuse(&mut ctx.limited, Refusal::by(Cause::BodySize)));
        }
        let verified = verified.map(|token| Verified { token, device: ctx.device.id.as_deref() });
        let proceeds = limits.admit_request(visitor, verified, index, route.origin, now);
        let (permit, proceeds) = proceeds.map_err(|limited| self.refuse(&mut ctx.limited, limited))?;
        self.note(&mut ctx.limited, proceeds.observed);
        ctx.permit = Some(permit);
        ctx.rate = WithinLimits::tightest(arrived.tightest, proceeds.tightest)
            .and_then(RateFields::of)
            .map(Box::new);
        Ok(())
    }

    /// A limit refuses the request.
    pub(super) fn refuse(&self, slot: &mut Option<Refusal>, limited: Refusal) -> Answer {
        self.shared.metrics.limited(limited.cause, Outcome::Refused);
        let answer = Answer::from(&limited);
        *slot = Some(limited);
        answer
    }

    /// A limit that observes would refuse the request.
    fn note(&self, slot: &mut Option<Refusal>, observed: Option<Refusal>) {
        if let Some(limited) = observed {
            self.shared.metrics.limited(limited.cause, Outcome::Observed);
            slot.get_or_insert(limited);
        }
    }
}

/// What of a head is too large. That of an HTTP/1 request has been judged before; of HTTP/2, only
/// the bytes of all fields.
fn oversize(request: &RequestHeader, limits: &HeadLimits) -> Option<Cause> {
    if request.version != Version::HTTP_2 {
        None
    } else if request.raw_path().len() > limits.target {
        Some(Cause::TargetSize)
    } else {
        // `:authority` stands for `Host`.
        (request.headers.len() >= limits.fields).then_some(Cause::HeaderSize)
    }
}

/// The position of the route, or the answer where none is to be taken.
fn find_route(request: &RequestHeader, ctx: &RequestContext) -> Result<usize, Answer> {
    extract::refuse_malformed(request, &ctx.snapshot.binding_headers, ctx.tls().is_some())?;
    if ctx.is_to_be_redirected() {
        return Err(Answer::Redirect);
    }
    let (method, host) = (request.method.as_str(), extract::host(request));
    let certificate = ctx.tls().and_then(TlsSession::valid_certificate).map(ClientCertificate::from);
    let found = ctx.snapshot.routes.find(method, host, extract::path(request), certificate);
    let (index, _) = found.map_err(|_| Answer::BadRequest)?.ok_or(Answer::NotFound)?;
    Ok(index)
}

fn unix_time() -> UnixTime {
    UnixTime::since_epoch(clock::unix_time())
}
