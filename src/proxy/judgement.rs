//! The gateway's judgement of a request, and what the client says about itself.

use http::HeaderName;

use super::head::RequestHead;
use super::signing::SignatureOutcome;
use super::snapshot::Snapshot;
use crate::approov::{AppStatus, Device, Rejection, Unverified};
use crate::policy::Verdict;

const APPROOV_STATUS: HeaderName = HeaderName::from_static("approov-status");

/// The judgement of a request.
#[derive(Debug)]
pub(super) struct Judgement {
    /// Whether the request was forwarded, and why.
    pub verdict: Verdict,
    /// Why verification failed, if it failed.
    pub rejection: Option<Rejection>,
    /// The device that a verified token names.
    pub device: Device,
    /// The result of the message signature, if the route looks at it.
    pub signature: Option<SignatureOutcome>,
    /// Whether the token is one of Approov's failover service, and accepted as such.
    pub is_failover: bool,
    /// What the client says about its token, for the log.
    pub self_report: Option<Box<SelfReport>>,
}

/// What a client says without proof.
#[derive(Debug, Default)]
pub(super) struct SelfReport {
    /// The status that the app sent in `Approov-Status`.
    pub status: Option<AppStatus>,
    /// Claims of a token that no key verifies.
    pub claims: Unverified,
}

impl Judgement {
    /// The judgement of a request before any policy applies.
    pub fn denied() -> Self {
        Self {
            verdict: Verdict::Denied,
            rejection: None,
            device: Device::default(),
            signature: None,
            is_failover: false,
            self_report: None,
        }
    }
}

impl SelfReport {
    /// What a client says without proof, for metrics, log and the answer. The claims of an unproven token are
    /// read only if the log or the answer shows them.
    pub fn of(
        head: &impl RequestHead,
        rejection: Option<Rejection>,
        snapshot: &Snapshot,
    ) -> Option<Box<Self>> {
        let status = AppStatus::of_header(head.presented(&APPROOV_STATUS));
        let is_unproven = rejection.is_some_and(|rejection| rejection <= Rejection::BadSignature);
        let claims = if is_unproven && (snapshot.is_logged || snapshot.tells_response_code) {
            Unverified::of_token(head.presented(&snapshot.token_header))
        } else {
            Unverified::default()
        };
        let is_silent = status.is_none() && claims == Unverified::default();
        (!is_silent).then(|| Box::new(Self { status, claims }))
    }
}
