//! What a limit says to a request.

use http::{HeaderName, HeaderValue};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use super::answer::Answer;
use crate::limits::{Cause, Full, Told};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A request has exceeded a limit.
#[derive(Debug)]
pub(super) struct Limited {
    /// Which kind of limit.
    pub cause: Cause,
    /// The name of a rate limit.
    pub name: Option<Box<str>>,
    /// It goes on all the same.
    pub is_observed: bool,
    /// In how many seconds it is worth asking again.
    pub retry_after: Option<u64>,
    /// What the client is told of a rate.
    pub rate: Option<Box<RateFields>>,
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
#[derive(Debug)]
pub(super) struct RateFields {
    policy: HeaderValue,
    standing: HeaderValue,
}

impl Limited {
    pub fn by(cause: Cause) -> Self {
        Self { cause, name: None, is_observed: false, retry_after: None, rate: None }
    }

    /// Too much is under way.
    pub fn shed(full: Full) -> Self {
        Self { retry_after: Some(1), ..Self::by(Cause::of_requests(full)) }
    }

    /// Its body is too long.
    pub fn body() -> Self {
        Self::by(Cause::BodySize)
    }

    pub fn rate(told: Told<'_>, is_observed: bool) -> Self {
        Self {
            name: Some(told.limit.name.clone()),
            is_observed,
            retry_after: Some(told.decision.retry_after()),
            rate: if is_observed { None } else { RateFields::of(told).map(Box::new) },
            ..Self::by(Cause::of_rate(told.limit.by))
        }
    }

    /// What the client is answered.
    pub fn answer(&self) -> Answer {
        match self.cause {
            Cause::DeniedAddress => Answer::Forbidden,
            Cause::BannedAddress
            | Cause::ConnectionsRate
            | Cause::RateAddress
            | Cause::RateTotal
            | Cause::RateRoute
            | Cause::RateDevice
            | Cause::RateToken
            | Cause::RateOrigin => Answer::TooManyRequests,
            Cause::ConnectionsTotal
            | Cause::ConnectionsReserve
            | Cause::ConnectionsAddress
            | Cause::ConnectionsListener
            | Cause::InFlightTotal
            | Cause::InFlightReserve
            | Cause::InFlightAddress => Answer::Unavailable,
            Cause::HeaderSize => Answer::HeaderTooLarge,
            Cause::TargetSize => Answer::UriTooLong,
            Cause::BodySize => Answer::ContentTooLarge,
            Cause::HandshakeTime | Cause::HeaderTime | Cause::BodyTime | Cause::WriteTime => {
                Answer::RequestTimeout
            }
        }
    }
}

impl RateFields {
    /// What a limit tells the client.
    pub fn of(told: Told<'_>) -> Option<Self> {
        // Names are checked when they are read: these are always field values.
        Some(Self {
            policy: HeaderValue::try_from(told.limit.policy()).ok()?,
            standing: HeaderValue::try_from(told.limit.standing(&told.decision)).ok()?,
        })
    }

    /// Tells the client.
    pub fn insert(&self, response: &mut ResponseHeader) -> Result<()> {
        response.insert_header(RATE_LIMIT_POLICY, self.policy.clone())?;
        response.insert_header(RATE_LIMIT, self.standing.clone())
    }
}
