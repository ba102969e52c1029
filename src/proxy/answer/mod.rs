//! The gateway's own answers. All refusals look alike and carry no reason.

mod fields;
mod grpc;
mod send;

pub(super) use fields::{Notes, rate_fields};
pub(super) use send::{DRAIN_TIME, LINGER_TIME, MAX_DRAINED, MAX_LINGERED, PATIENCE};

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_core::Result;
use pingora_core::protocols::http::date::get_cached_date;
use pingora_http::ResponseHeader;

use super::head::RequestHead;
use super::settings::RejectionAnswer;
use super::validity::Invalid;
use crate::admission::Refusal;
use crate::limits::Cause;
use fields::{SetField, each_field_of};

/// Room for the fields of an answer that are not prepared.
const UNPREPARED: usize = 256;

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

const COUNT: usize = Answer::Preflight as usize + 1;

/// Every answer, prepared once for a configuration.
pub(super) struct Answers {
    prepared: [PreparedAnswer; COUNT],
    body: Bytes,
}

/// The part of an answer that is the same for every request.
struct PreparedAnswer {
    header: ResponseHeader,
    /// Status line and fields as bytes of HTTP/1.
    bytes: Box<[u8]>,
}

impl Answers {
    /// The answers in the configured form.
    ///
    /// # Errors
    /// If Pingora refuses a header field.
    pub fn new(form: &RejectionAnswer) -> Result<Self> {
        let header = |answer| -> Result<PreparedAnswer> {
            let mut header = ResponseHeader::build_no_case(status(answer, form), Some(6))?;
            header.insert_header(CONTENT_TYPE, form.content_type.clone())?;
            header.insert_header(CONTENT_LENGTH, HeaderValue::from(form.body.len()))?;
            header.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
            Ok(PreparedAnswer::new(header))
        };
        Ok(Self {
            prepared: [
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
                PreparedAnswer::new(preflight_header()?),
            ],
            body: form.body.clone(),
        })
    }

    /// The status of an answer.
    pub fn status(&self, answer: Answer) -> StatusCode {
        self.prepared[answer as usize].header.status
    }

    /// The answer to `head`, but for the body, in Pingora's form.
    fn header(&self, answer: Answer, head: &impl RequestHead, notes: &Notes<'_>) -> Result<ResponseHeader> {
        let mut header = self.prepared[answer as usize].header.clone();
        let mut set =
            |name: &HeaderName, value: &HeaderValue| header.insert_header(name.clone(), value.clone());
        notes.each_field(&mut set)?;
        each_field_of(answer, head, &mut set)?;
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
        Ok((self.header(answer, head, notes)?, self.body(answer, head.method()).clone()))
    }

    /// The answer to a request that has no valid head, as bytes of HTTP/1. It says that the connection
    /// is closed.
    ///
    /// # Errors
    /// None: no field of such an answer depends on the request.
    pub fn unparsed(&self, answer: Answer, method: &str, notes: &Notes<'_>) -> Result<Vec<u8>> {
        self.write(answer, self.body(answer, method), true, |append| notes.each_field(append))
    }

    /// The answer to `head` as bytes of HTTP/1, and the length of its body. `closes` says that the
    /// connection is closed.
    ///
    /// # Errors
    /// If the value of a field cannot be sent back to the client.
    pub fn bytes(
        &self,
        answer: Answer,
        head: &impl RequestHead,
        notes: &Notes<'_>,
        closes: bool,
    ) -> Result<(Vec<u8>, usize)> {
        let body = self.body(answer, head.method());
        let bytes = self.write(answer, body, closes, |append| {
            notes.each_field(append)?;
            each_field_of(answer, head, append)
        })?;
        Ok((bytes, body.len()))
    }

    /// An answer as bytes of HTTP/1. `fields` appends what is not prepared.
    fn write(
        &self,
        answer: Answer,
        body: &[u8],
        closes: bool,
        fields: impl FnOnce(&mut SetField<'_>) -> Result<()>,
    ) -> Result<Vec<u8>> {
        let prepared = &self.prepared[answer as usize].bytes;
        let mut bytes = Vec::with_capacity(prepared.len() + UNPREPARED + body.len());
        bytes.extend_from_slice(prepared);
        fields(&mut |name, value| {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
            Ok(())
        })?;
        let date = get_cached_date();
        let connection = if closes { &b"close"[..] } else { b"keep-alive" };
        for part in [b"Date: ", date.as_bytes(), b"\r\nConnection: ", connection, b"\r\n\r\n", body] {
            bytes.extend_from_slice(part);
        }
        Ok(bytes)
    }
}

impl PreparedAnswer {
    fn new(header: ResponseHeader) -> Self {
        let reason = header.status.canonical_reason().unwrap_or_default();
        let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", header.status.as_str()).into_bytes();
        header.header_to_h1_wire(&mut bytes);
        Self { header, bytes: bytes.into() }
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
