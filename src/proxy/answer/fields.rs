//! The fields of an answer that are not the same for every request.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, LOCATION, ORIGIN, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY,
};
use http::{HeaderName, HeaderValue};
use pingora_core::{ErrorType, OrErr, Result};

use super::Answer;
use crate::admission::{RateFields, Refusal};
use crate::proxy::head::RequestHead;

const RESPONSE_CODE: HeaderName = HeaderName::from_static("approov-arc");
static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Takes one field of an answer.
pub(super) type SetField<'s> = dyn FnMut(&HeaderName, &HeaderValue) -> Result<()> + 's;

/// What an answer says beyond its status.
#[derive(Clone, Copy, Default)]
pub(in crate::proxy) struct Notes<'a> {
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

    /// Calls `set` for each field of the notes.
    pub fn each_field(&self, set: &mut SetField<'_>) -> Result<()> {
        if let Some(hsts) = self.hsts {
            set(&STRICT_TRANSPORT_SECURITY, hsts)?;
        }
        if let Some(seconds) = self.retry_after {
            set(&RETRY_AFTER, &HeaderValue::from(seconds))?;
        }
        for (name, value) in self.rate.into_iter().flat_map(rate_fields) {
            set(name, value)?;
        }
        if let Some((name, value)) = self.request_id {
            set(name, value)?;
        }
        if let Some(Ok(code)) = self.response_code.map(HeaderValue::from_str) {
            set(&RESPONSE_CODE, &code)?;
        }
        Ok(())
    }
}

/// Calls `set` for each field of an answer that depends on the request.
pub(super) fn each_field_of(answer: Answer, head: &impl RequestHead, set: &mut SetField<'_>) -> Result<()> {
    match answer {
        Answer::Redirect => set(&LOCATION, &secure_url(head)?),
        Answer::Preflight => allow(head, set),
        _ => Ok(()),
    }
}

/// Allows what a CORS preflight asks for. The request that follows needs a token like any other.
fn allow(head: &impl RequestHead, set: &mut SetField<'_>) -> Result<()> {
    for (asked, allowed) in [
        (ORIGIN, ACCESS_CONTROL_ALLOW_ORIGIN),
        (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
        (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(value) = head.values(&asked).next() {
            let value = HeaderValue::from_bytes(value);
            set(&allowed, &value.or_err(ErrorType::InternalError, "the value of a field")?)?;
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
pub(in crate::proxy) fn rate_fields(rate: &RateFields) -> [(&HeaderName, &HeaderValue); 2] {
    [(&RATE_LIMIT_POLICY, &rate.policy), (&RATE_LIMIT, &rate.standing)]
}
