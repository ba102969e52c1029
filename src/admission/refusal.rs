//! The refusal by a limit.

use http::HeaderValue;

use crate::limits::{Cause, Full, LimitDecision};

/// A connection or a request exceeds a limit.
#[derive(Debug)]
pub struct Refusal {
    /// The limit that refuses.
    pub cause: Cause,
    /// The name of the rate limit, if the limit is a rate limit.
    pub name: Option<Box<str>>,
    /// Whether the limit only observes, so that the request goes on.
    pub is_observed: bool,
    /// Seconds after which another try is worthwhile.
    pub retry_after: Option<u64>,
    /// The header fields that tell the client about the rate limit.
    pub rate: Option<Box<RateFields>>,
}

/// The values of `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
#[derive(Debug)]
pub struct RateFields {
    /// The value of the field `RateLimit-Policy`.
    pub policy: HeaderValue,
    /// The value of `RateLimit`: what is left now.
    pub standing: HeaderValue,
}

impl Refusal {
    /// The refusal by a limit that has nothing more to tell.
    pub fn by(cause: Cause) -> Self {
        Self { cause, name: None, is_observed: false, retry_after: None, rate: None }
    }

    /// Too many requests are being forwarded.
    pub(super) fn overload(full: Full) -> Self {
        Self { retry_after: Some(1), ..Self::by(Cause::of_requests(full)) }
    }

    /// A rate is used up.
    pub(super) fn rate(answer: LimitDecision<'_>, is_observed: bool) -> Self {
        Self {
            name: Some(answer.limit.name.clone()),
            is_observed,
            retry_after: Some(answer.decision.retry_after()),
            rate: if is_observed { None } else { RateFields::of(answer).map(Box::new) },
            ..Self::by(Cause::of_rate(answer.limit.by))
        }
    }

    /// Whether the client's address is denied or banned, so that all its requests are refused.
    pub fn is_of_address(&self) -> bool {
        matches!(self.cause, Cause::DeniedAddress | Cause::BannedAddress)
    }
}

impl RateFields {
    /// The fields for a decision of a rate limit.
    pub fn of(answer: LimitDecision<'_>) -> Option<Self> {
        // The configuration admits only names of letters, digits, `-`, `_` and `.`, so both texts are
        // valid field values.
        Some(Self {
            policy: HeaderValue::try_from(answer.limit.policy()).ok()?,
            standing: HeaderValue::try_from(answer.limit.standing(&answer.decision)).ok()?,
        })
    }
}
