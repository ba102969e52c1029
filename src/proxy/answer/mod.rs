//! The gateway's own answers. All refusals look alike and carry no reason.

mod grpc;
mod send;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, VARY,
};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use super::settings::RejectionAnswer;
use super::validity::Invalid;
use crate::admission::{RateFields, Refusal};
use crate::clock;
use crate::limits::Cause;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RESPONSE_CODE: HeaderName = HeaderName::from_static("approov-arc");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// An answer of the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The request is not from a genuine app, or the policy denies it.
    Refused,
    /// The client should use TLS.
    Redirect,
    /// The request is malformed or ambiguous.
    BadRequest,
    /// The client's address is denied.
    Forbidden,
    /// No route matches the request.
    NotFound,
    /// The method is not served.
    MethodNotAllowed,
    /// The client sent its request too slowly.
    RequestTimeout,
    /// The body is too long.
    ContentTooLarge,
    /// The target is too long.
    UriTooLong,
    /// A rate is used up, or the client's address is banned.
    TooManyRequests,
    /// The head is too long or has too many fields.
    HeaderTooLarge,
    /// The gateway itself has failed.
    Internal,
    /// The origin cannot be reached, or its response is not valid.
    BadGateway,
    /// The origin is not asked, because it is down or because there are too many requests.
    Unavailable,
    /// The origin is too slow.
    GatewayTimeout,
    /// The request is a CORS preflight that the gateway answers itself.
    Preflight,
}

impl From<Invalid> for Answer {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Method => Answer::MethodNotAllowed,
            Invalid::Head => Answer::BadRequest,
        }
    }
}

impl From<&Refusal> for Answer {
    fn from(refusal: &Refusal) -> Self {
        match refusal.cause {
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
            | Cause::InFlightAddress
            | Cause::HeldBodies => Answer::Unavailable,
            Cause::HeaderSize => Answer::HeaderTooLarge,
            Cause::TargetSize => Answer::UriTooLong,
            Cause::BodySize => Answer::ContentTooLarge,
            Cause::HandshakeTime | Cause::HeaderTime | Cause::BodyTime | Cause::WriteTime => {
                Answer::RequestTimeout
            }
        }
    }
}

/// What an answer says beyond its status.
#[derive(Clone, Copy, Default)]
pub(super) struct Notes<'a> {
    /// The value of the field `Strict-Transport-Security`.
    pub hsts: Option<&'a HeaderValue>,
    /// The value of `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The fields about a rate limit.
    pub rate: Option<&'a RateFields>,
    /// The attestation response code of a refused token, if the app is told.
    pub response_code: Option<&'a str>,
    /// The field with the id of the request.
    pub request_id: Option<&'a (HeaderName, HeaderValue)>,
}

impl<'a> Notes<'a> {
    /// The notes for a request that exceeds `limit`. A limit that only observes says nothing.
    /// `retry_after` goes before the time that the limit tells.
    pub fn new(hsts: Option<&'a HeaderValue>, limit: Option<&'a Refusal>, retry_after: Option<u64>) -> Self {
        let limit = limit.filter(|limit| !limit.is_observed);
        Self {
            hsts,
            retry_after: retry_after.or(limit.and_then(|limit| limit.retry_after)),
            rate: limit.and_then(|limit| limit.rate.as_deref()),
            response_code: None,
            request_id: None,
        }
    }
}

const COUNT: usize = Answer::Preflight as usize + 1;

/// Every answer, prepared once for a configuration.
pub(super) struct Answers {
    headers: [ResponseHeader; COUNT],
    body: Bytes,
}

impl Answers {
    /// The answers in the configured form.
    ///
    /// # Errors
    /// If Pingora refuses a header field.
    pub fn new(form: &RejectionAnswer) -> Result<Self> {
        let header = |answer| -> Result<ResponseHeader> {
            let mut header = ResponseHeader::build_no_case(status(answer, form), Some(6))?;
            header.insert_header(CONTENT_TYPE, form.content_type.clone())?;
            header.insert_header(CONTENT_LENGTH, HeaderValue::from(form.body.len()))?;
            header.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
            Ok(header)
        };
        Ok(Self {
            headers: [
                header(Answer::Refused)?,
                header(Answer::Redirect)?,
                header(Answer::BadRequest)?,
                header(Answer::Forbidden)?,
                header(Answer::NotFound)?,
                header(Answer::MethodNotAllowed)?,
                header(Answer::RequestTimeout)?,
                header(Answer::ContentTooLarge)?,
                header(Answer::UriTooLong)?,
                header(Answer::TooManyRequests)?,
                header(Answer::HeaderTooLarge)?,
                header(Answer::Internal)?,
                header(Answer::BadGateway)?,
                header(Answer::Unavailable)?,
                header(Answer::GatewayTimeout)?,
                preflight_header()?,
            ],
            body: form.body.clone(),
        })
    }

    /// The status of an answer.
    pub fn status(&self, answer: Answer) -> StatusCode {
        self.headers[answer as usize].status
    }

    /// The header of an answer.
    fn header(&self, answer: Answer, notes: &Notes<'_>) -> Result<ResponseHeader> {
        let mut header = self.headers[answer as usize].clone();
        if let Some(hsts) = notes.hsts {
            header.insert_header(STRICT_TRANSPORT_SECURITY, hsts.clone())?;
        }
        if let Some(seconds) = notes.retry_after {
            header.insert_header(RETRY_AFTER, HeaderValue::from(seconds))?;
        }
        if let Some(rate) = notes.rate {
            insert_rate(&mut header, rate)?;
        }
        if let Some((name, value)) = notes.request_id {
            header.insert_header(name.clone(), value.clone())?;
        }
        if let Some(Ok(code)) = notes.response_code.map(HeaderValue::from_str) {
            header.insert_header(RESPONSE_CODE, code)?;
        }
        Ok(header)
    }

    /// The answer as bytes of HTTP/1, for a client whose request Pingora never saw. The answer says
    /// that the connection is closed.
    ///
    /// # Errors
    /// If Pingora refuses a header field.
    pub fn bytes(&self, answer: Answer, is_head: bool, notes: &Notes<'_>) -> Result<Vec<u8>> {
        let header = self.header(answer, notes)?;
        let reason = header.status.canonical_reason().unwrap_or_default();
        let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", header.status.as_str()).into_bytes();
        let date = clock::timestamp().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let date = (&DATE, date.as_bytes());
        let close = (&CONNECTION, &b"close"[..]);
        let fields = header.headers.iter().map(|(name, value)| (name, value.as_bytes()));
        for (name, value) in fields.chain([date, close]) {
            bytes.extend_from_slice(&[name.as_str().as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        if !is_head {
            bytes.extend_from_slice(&self.body);
        }
        Ok(bytes)
    }
}

/// The answer to a CORS preflight, but for what depends on the request.
fn preflight_header() -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(StatusCode::NO_CONTENT, Some(8))?;
    header.insert_header(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"))?;
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    header.insert_header(VARY, HeaderValue::from_static(vary))?;
    Ok(header)
}

/// Tells the client about a rate limit.
pub(super) fn insert_rate(response: &mut ResponseHeader, rate: &RateFields) -> Result<()> {
    response.insert_header(RATE_LIMIT_POLICY, rate.policy.clone())?;
    response.insert_header(RATE_LIMIT, rate.standing.clone())
}

fn status(answer: Answer, form: &RejectionAnswer) -> StatusCode {
    match answer {
        Answer::Refused => form.status,
        Answer::Redirect => StatusCode::PERMANENT_REDIRECT,
        Answer::BadRequest => StatusCode::BAD_REQUEST,
        Answer::Forbidden => StatusCode::FORBIDDEN,
        Answer::NotFound => StatusCode::NOT_FOUND,
        Answer::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Answer::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Answer::ContentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Answer::UriTooLong => StatusCode::URI_TOO_LONG,
        Answer::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        Answer::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Answer::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Answer::BadGateway => StatusCode::BAD_GATEWAY,
        Answer::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Answer::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
        Answer::Preflight => StatusCode::NO_CONTENT,
    }
}
