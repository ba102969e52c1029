//! Parts of HTTP messages: header names, media types, methods, paths and statuses.

use std::ops::RangeInclusive;

use http::{HeaderName, HeaderValue};

use crate::config::document::{Fault, quoted, whole_number};
use crate::policy::{check_plain, is_identity_field};

/// Header fields that belong to the connection (RFC 9110 §7.6.1), or that frame the message.
const NOT_FOR_TOKENS: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "expect",
];

/// The name of a header that can carry a token, or that a token can be bound to.
pub fn header_name(text: &str) -> Result<HeaderName, Fault> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::new(format!("{} is not a header name", quoted(text)), "write one such as Approov-Token")
    })?;
    if NOT_FOR_TOKENS.contains(&name.as_str()) || is_identity_field(name.as_str()) {
        let message = format!("{} is a header that proxies set or remove", quoted(text));
        return Err(Fault::new(message, "choose a header that no proxy changes"));
    }
    Ok(name)
}

/// The name of an identity header or method override that is to reach the origin.
pub fn forwarded_header(text: &str) -> Result<HeaderName, Fault> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::new(format!("{} is not a header name", quoted(text)), "write one such as X-Client-Cert")
    })?;
    match name.as_str() {
        "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" => {
            let message = format!("the gateway itself sets {}", quoted(text));
            Err(Fault::new(message, "remove it; trusted_proxies of a listener says whose values count"))
        }
        known if is_identity_field(known) => Ok(name),
        _ => Err(Fault::new(format!("{} is forwarded without this key", quoted(text)), "remove it")),
    }
}

/// A media type, as a header value.
pub fn media_type(text: &str) -> Result<HeaderValue, Fault> {
    match HeaderValue::from_str(text) {
        Ok(value) if text.is_ascii() && text.contains('/') => Ok(value),
        _ => Err(Fault::new(
            format!("{} is not a media type", quoted(text)),
            "write one such as application/json or text/plain; charset=utf-8",
        )),
    }
}

/// An HTTP method (RFC 9110 §9.1); the usual ones have upper-case letters only.
pub fn method(text: &str) -> Result<Box<str>, Fault> {
    let is_token = |text: &str| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    if !is_token(text) {
        return Err(Fault::new(format!("{} is not a method", quoted(text)), "write one such as GET or POST"));
    }
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let hint = format!("write {}", text.to_ascii_uppercase());
        return Err(Fault::new(
            format!("{} has lower-case letters; methods are case-sensitive", quoted(text)),
            hint,
        ));
    }
    Ok(text.into())
}

/// A route's path: one that every server reads the same way.
pub fn route_path(text: &str) -> Result<Box<str>, Fault> {
    if !text.starts_with('/') {
        return Err(Fault::new(format!("the path {} does not begin with /", quoted(text)), "write /…"));
    }
    if text.contains(['?', '#']) {
        let hint = "remove it; routes look at the path only";
        return Err(Fault::new("the path has a query or fragment", hint));
    }
    if text.contains('*') {
        let hint = "a path that ends in / takes everything below it; write /v1/ in place of /v1/*";
        return Err(Fault::new("the path has a *, and there are no wildcards in paths", hint));
    }
    check_plain(text.as_bytes()).map_err(|fault| {
        Fault::new(fault.to_string(), "requests with such a path are refused, so no route can take them")
    })?;
    Ok(text.into())
}

/// The target of a health check: a path, perhaps with a query.
pub fn check_path(text: &str) -> Result<Box<str>, Fault> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        Ok(text.into())
    } else {
        Err(Fault::new(format!("{} is not a path", quoted(text)), "write one such as /healthz"))
    }
}

/// One status, or the first and the last of several.
pub fn statuses(text: &str) -> Result<RangeInclusive<u16>, Fault> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| whole_number::<u16>(text, 100..=599).ok();
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(Fault::new(
            format!("{} is neither a status nor a range of them", quoted(text)),
            "write one such as 204 or 200-299",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_travel_in_headers_that_reach_the_gateway_untouched() {
        assert_eq!(header_name("Approov-Token"), Ok(HeaderName::from_static("approov-token")));
        for name in ["", "a b", "a:", "Host", "TRANSFER-ENCODING", "Content-Length", "X-Forwarded-For", "ä"]
        {
            assert!(header_name(name).is_err(), "{name}");
        }
        let forwarded = ["x-forwarded-for", "x-forwarded-server"];
        for name in NOT_FOR_TOKENS.into_iter().chain(crate::policy::identity_fields()).chain(forwarded) {
            assert!(HeaderName::from_lowercase(name.as_bytes()).is_ok(), "{name} could never be found");
            assert!(header_name(name).is_err(), "{name}");
        }
    }
}
