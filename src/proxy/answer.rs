//! The gateway's own answers. They look alike whatever the reason, and say nothing of it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, EXPECT, LOCATION, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use jiff::Timestamp;
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::extract::{self, Unfit};
use super::grpc;
use crate::admission::{RateFields, Refusal};
use crate::config::RejectionAnswer;
use crate::limits::Cause;

/// An unread body of at most this many bytes is read, so that the connection can be kept.
const MAX_DRAINED: u64 = 64 * 1024;

/// How long reading such a body may take.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How long an HTTP/2 client may leave no room for an answer of the gateway's own.
const PATIENCE: Duration = Duration::from_secs(1);

/// A longer body is read for so long or so far after the answer: a connection closed over unread
/// data is reset, and the client may never see the answer.
const LINGER_TIME: Duration = Duration::from_secs(2);
const MAX_LINGERED: usize = 1024 * 1024;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Which answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Not from a genuine app, or denied by policy.
    Refused,
    /// To be asked again with TLS.
    Redirect,
    /// Not a proper request.
    BadRequest,
    /// From an address that is not served.
    Forbidden,
    /// No route.
    NotFound,
    /// `TRACE`.
    MethodNotAllowed,
    /// The client took too long to send its request.
    RequestTimeout,
    /// The body is too long.
    ContentTooLarge,
    /// The target is too long.
    UriTooLong,
    /// More than a limit allows, or from an address that is banned.
    TooManyRequests,
    /// The header is too long, or has too many fields.
    HeaderTooLarge,
    /// The gateway's own fault.
    Internal,
    /// The origin is down or talks nonsense.
    BadGateway,
    /// The origin is not asked: it is down, or it or the gateway has enough to do.
    Unavailable,
    /// The origin is too slow.
    GatewayTimeout,
}

impl From<Unfit> for Answer {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Method => Answer::MethodNotAllowed,
            Unfit::Form => Answer::BadRequest,
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

/// Tells the client about a rate limit.
pub(super) fn insert_rate(response: &mut ResponseHeader, rate: &RateFields) -> Result<()> {
    response.insert_header(RATE_LIMIT_POLICY, rate.policy.clone())?;
    response.insert_header(RATE_LIMIT, rate.standing.clone())
}

/// What an answer says besides.
#[derive(Clone, Copy, Default)]
pub(super) struct Notes<'a> {
    /// `Strict-Transport-Security`.
    pub hsts: Option<&'a HeaderValue>,
    /// In how many seconds another may be had.
    pub retry_after: Option<u64>,
    /// What is left of a rate.
    pub rate: Option<&'a RateFields>,
}

const COUNT: usize = Answer::GatewayTimeout as usize + 1;

/// Every answer, prepared once.
pub(super) struct Answers {
    headers: [ResponseHeader; COUNT],
    body: Bytes,
}

impl Answers {
    /// Answers in the configured form.
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
            ],
            body: form.body.clone(),
        })
    }

    /// The status of an answer.
    pub fn status(&self, answer: Answer) -> StatusCode {
        self.headers[answer as usize].status
    }

    /// The header of an answer, with what it says besides.
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
        Ok(header)
    }

    /// The answer as bytes, for a client whose request Pingora never saw; it ends the connection.
    ///
    /// # Errors
    /// None in practice: every field has been one before.
    pub fn bytes(&self, answer: Answer, is_head: bool, notes: &Notes<'_>) -> Result<Vec<u8>> {
        let header = self.header(answer, notes)?;
        let reason = header.status.canonical_reason().unwrap_or_default();
        let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", header.status.as_str()).into_bytes();
        let date = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
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

    /// Sends the answer. The connection is kept where that is safe: Pingora closes it over a body
    /// that has not been read to its end.
    pub async fn send(&self, session: &mut Session, answer: Answer, notes: &Notes<'_>) -> Result<()> {
        if grpc::is_call(session.req_header()) {
            return grpc::send(session, answer);
        }
        let is_http1 = session.req_header().version != Version::HTTP_2;
        if answer == Answer::BadRequest {
            // Where one request is malformed, the start of the next is a guess.
            session.set_keepalive(None);
        } else if is_http1 {
            drain_small_body(session).await;
        }
        if !is_http1 {
            // For as long as it makes no room for the answer, what it sends besides takes memory.
            session.set_write_timeout(Some(PATIENCE));
        }
        let mut header = self.header(answer, notes)?;
        if answer == Answer::Redirect {
            header.insert_header(LOCATION, secure_url(session.req_header())?)?;
        }
        let body = if session.req_header().method == Method::HEAD { Bytes::new() } else { self.body.clone() };
        let without_body = body.is_empty();
        session.write_response_header(Box::new(header), without_body).await?;
        if !without_body {
            session.write_response_body(Some(body), true).await?;
        }
        // A stream of HTTP/2 that is still being written to is reset without an error.
        if is_http1 {
            linger(session).await;
        }
        Ok(())
    }
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
    }
}

/// The same URL with `https`, at that scheme's own port. The host was judged before: it can name
/// nothing but a host.
fn secure_url(request: &RequestHeader) -> Result<HeaderValue> {
    let host = extract::host(request);
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let name = host[..host.len() - digits].strip_suffix(b":").unwrap_or(host);
    HeaderValue::from_bytes(&[b"https://", name, request.raw_path()].concat())
        .or_err(ErrorType::InternalError, "host and target are visible ASCII")
}

/// Reads a declared small body that the client is sending anyway.
async fn drain_small_body(session: &mut Session) {
    if session.is_body_done() || session.req_header().headers.contains_key(EXPECT) {
        return;
    }
    if extract::length(session.req_header()).is_some_and(|length| length <= MAX_DRAINED) {
        session.set_total_drain_timeout(Some(DRAIN_TIME));
        // What could not be read closes the connection after the answer.
        let _ = session.drain_request_body().await;
    }
}

/// Goes on reading after an answer that closes the connection, within bounds.
async fn linger(session: &mut Session) {
    if session.is_body_done() {
        return;
    }
    let mut read = 0;
    let rest = async {
        while read < MAX_LINGERED {
            match session.read_request_body().await {
                Ok(Some(part)) => read += part.len(),
                Ok(None) | Err(_) => break,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, rest).await;
}
