//! The gateway's own answers. All refusals look alike and carry no reason.

mod grpc;
mod send;

pub(super) use send::{DRAIN_TIME, LINGER_TIME, MAX_DRAINED, MAX_LINGERED, PATIENCE};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL,
    CONTENT_LENGTH, CONTENT_TYPE, LOCATION, ORIGIN, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, VARY,
};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_core::protocols::http::date::get_cached_date;
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::ResponseHeader;

use super::head::RequestHead;
use super::settings::RejectionAnswer;
use super::validity::Invalid;
use crate::admission::{RateFields, Refusal};
use crate::limits::Cause;

const RESPONSE_CODE: HeaderName = HeaderName::from_static("approov-arc");
static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

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
    /// `retry_after` takes precedence over the time of the limit.
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
        for (name, value) in notes.rate.into_iter().flat_map(rate_fields) {
            header.insert_header(name.clone(), value.clone())?;
        }
        if let Some((name, value)) = notes.request_id {
            header.insert_header(name.clone(), value.clone())?;
        }
        if let Some(Ok(code)) = notes.response_code.map(HeaderValue::from_str) {
            header.insert_header(RESPONSE_CODE, code)?;
        }
        Ok(header)
    }

    /// The answer to `head`, but for the body.
    fn header_for(
        &self,
        answer: Answer,
        head: &impl RequestHead,
        notes: &Notes<'_>,
    ) -> Result<ResponseHeader> {
        let mut header = self.header(answer, notes)?;
        match answer {
            Answer::Redirect => header.insert_header(LOCATION, secure_url(head)?)?,
            Answer::Preflight => allow(head, &mut header)?,
            _ => {}
        }
        Ok(header)
    }

    /// The body of an answer to this method.
    fn body(&self, answer: Answer, method: &str) -> &Bytes {
        static EMPTY: Bytes = Bytes::new();
        if method == "HEAD" || answer == Answer::Preflight { &EMPTY } else { &self.body }
    }

    /// The answer to `head` as header and body.
    ///
    /// # Errors
    /// If Pingora refuses a header field.
    pub fn parts(
        &self,
        answer: Answer,
        head: &impl RequestHead,
        notes: &Notes<'_>,
    ) -> Result<(ResponseHeader, Bytes)> {
        Ok((self.header_for(answer, head, notes)?, self.body(answer, head.method()).clone()))
    }

    /// The answer to a request that has no valid head, as bytes of HTTP/1. It says that the connection
    /// is closed.
    ///
    /// # Errors
    /// If Pingora refuses a header field.
    pub fn unparsed(&self, answer: Answer, method: &str, notes: &Notes<'_>) -> Result<Vec<u8>> {
        Ok(bytes(&self.header(answer, notes)?, self.body(answer, method), true))
    }

    /// The answer to `head` as bytes of HTTP/1, and the length of its body. `closes` says that the
    /// connection is closed.
    ///
    /// # Errors
    /// If Pingora refuses a header field.
    pub fn bytes(
        &self,
        answer: Answer,
        head: &impl RequestHead,
        notes: &Notes<'_>,
        closes: bool,
    ) -> Result<(Vec<u8>, usize)> {
        let body = self.body(answer, head.method());
        Ok((bytes(&self.header_for(answer, head, notes)?, body, closes), body.len()))
    }
}

/// A response as bytes of HTTP/1.
fn bytes(header: &ResponseHeader, body: &[u8], closes: bool) -> Vec<u8> {
    let reason = header.status.canonical_reason().unwrap_or_default();
    let mut bytes = Vec::with_capacity(512 + body.len());
    for part in [b"HTTP/1.1 ", header.status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\r\n"] {
        bytes.extend_from_slice(part);
    }
    header.header_to_h1_wire(&mut bytes);
    let date = get_cached_date();
    let connection = if closes { &b"close"[..] } else { b"keep-alive" };
    for part in [b"Date: ", date.as_bytes(), b"\r\nConnection: ", connection, b"\r\n"] {
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// The answer to a CORS preflight, but for what depends on the request.
fn preflight_header() -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(StatusCode::NO_CONTENT, Some(8))?;
    header.insert_header(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"))?;
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    header.insert_header(VARY, HeaderValue::from_static(vary))?;
    Ok(header)
}

/// Allows what a CORS preflight asks for. The request that follows needs a token like any other.
fn allow(head: &impl RequestHead, response: &mut ResponseHeader) -> Result<()> {
    for (asked, allowed) in [
        (ORIGIN, ACCESS_CONTROL_ALLOW_ORIGIN),
        (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
        (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(value) = head.values(&asked).next() {
            let value = HeaderValue::from_bytes(value);
            response
                .insert_header(allowed, value.or_err(ErrorType::InternalError, "the value of a field")?)?;
        }
    }
    Ok(())
}

/// The URL of the request with `https` and that scheme's default port. The host is valid, so it cannot
/// hold anything but a host.
fn secure_url(head: &impl RequestHead) -> Result<HeaderValue> {
    let host = head.host();
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let name = host[..host.len() - digits].strip_suffix(b":").unwrap_or(host);
    HeaderValue::from_bytes(&[b"https://", name, head.target()].concat())
        .or_err(ErrorType::InternalError, "host and target are visible ASCII")
}

/// The fields that tell the client about a rate limit.
pub(super) fn rate_fields(rate: &RateFields) -> [(&HeaderName, &HeaderValue); 2] {
    [(&RATE_LIMIT_POLICY, &rate.policy), (&RATE_LIMIT, &rate.standing)]
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
