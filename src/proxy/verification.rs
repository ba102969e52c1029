//! Verification of a request: its token, the claims that the route asks for, and its signature.

use http::{HeaderName, HeaderValue};

use super::arrival::Arrival;
use super::head::RequestHead;
use super::signing::SignatureOutcome;
use crate::approov::message_signing::Mode;
use crate::approov::{Accepted, ContentDigest, Device, Rejection, UnixTime};
use crate::clock;
use crate::policy::Route;

/// What verification found out about a request.
pub(super) struct Verification<'h> {
    /// Why the request is not accepted, if it is not.
    pub rejection: Option<Rejection>,
    /// The device that the token names.
    pub device: Device,
    /// The signed part of an accepted token, also if the route asks for more.
    pub signed: Option<&'h [u8]>,
    /// The result of the message signature, if the route looks at it.
    pub signature: Option<SignatureOutcome>,
    /// The hashes that the body must have.
    pub digest: Option<ContentDigest>,
    /// Whether the token is one of Approov's failover service.
    pub is_failover: bool,
    /// The claims that the origin is told.
    pub claims: Vec<(HeaderName, HeaderValue)>,
}

/// Verifies a request on a route whose policy verifies.
pub(super) fn verify<'h>(arrival: &Arrival, head: &'h impl RequestHead, route: &Route) -> Verification<'h> {
    let snapshot = &*arrival.snapshot;
    let now = UnixTime::since_epoch(clock::unix_time());
    let found = snapshot.verifier(route).verify(
        route.strategy,
        head.presented(&snapshot.token_header),
        |bound| head.presented(&snapshot.binding_headers[bound]),
        now,
    );
    let mut verification = Verification {
        rejection: found.rejection,
        device: found.device,
        signed: None,
        signature: None,
        digest: None,
        is_failover: false,
        claims: Vec::new(),
    };
    if let Some(accepted) = found.accepted {
        verification.signed = Some(accepted.signed);
        verification.is_failover = accepted.is_failover;
        verification.judge_rest(&accepted, arrival, head, route, now);
    }
    verification
}

impl Verification<'_> {
    /// What a route asks beyond an accepted token.
    fn judge_rest(
        &mut self,
        accepted: &Accepted<'_>,
        arrival: &Arrival,
        head: &impl RequestHead,
        route: &Route,
        now: UnixTime,
    ) {
        let snapshot = &*arrival.snapshot;
        let options = &route.options;
        if !options.require_claims.is_empty() {
            self.rejection = accepted.payload.check(&options.require_claims).err();
        }
        if options.message_signing != Mode::Off {
            // A failover token cannot name a key, and the operator accepts it all the same.
            let mode = match options.message_signing {
                Mode::Required if accepted.is_failover => Mode::WhenKeyed,
                mode => mode,
            };
            let claims = accepted.payload.signing();
            let (judgement, refusal) = snapshot.signing.judge(arrival, head, &claims, mode, now);
            self.signature = Some(SignatureOutcome::from(&judgement));
            self.rejection = self.rejection.or(refusal);
            if mode != Mode::Observe {
                self.digest = judgement.digest;
            }
        }
        if self.rejection.is_none() {
            self.claims = snapshot.forwarding.claims(&accepted.payload);
        }
    }
}
