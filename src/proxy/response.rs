//! The fields of a response from the origin: which of them the client gets, and which fields the
//! gateway sets.

use http::header::{CONNECTION, CONTENT_LENGTH, LOCATION, STRICT_TRANSPORT_SECURITY, TE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, StatusCode, Version};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use super::answer::rate_fields;
use super::head::ResponseHead;
use crate::admission::RateFields;

/// Hop-by-hop fields (RFC 9110 §7.6.1) that Pingora does not remove.
static HOP_BY_HOP: [HeaderName; 3] =
    [HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection"), TE];

/// The edits of one response.
pub(super) struct ResponseEdits<'a> {
    /// Fields for this hop only, which the origin names in `Connection`.
    nominated: Vec<HeaderName>,
    has_no_body: bool,
    is_for_http_10: bool,
    location: Option<HeaderValue>,
    hsts: Option<&'a HeaderValue>,
    rate: Option<&'a RateFields>,
    request_id: Option<&'a (HeaderName, HeaderValue)>,
}

impl<'a> ResponseEdits<'a> {
    /// The edits of a response with this head. `authority` is the origin's, `client_version` the
    /// version of HTTP that the client speaks.
    pub fn new(
        head: &impl ResponseHead,
        authority: &[u8],
        client_version: Version,
        hsts: Option<&'a HeaderValue>,
        rate: Option<&'a RateFields>,
        request_id: Option<&'a (HeaderName, HeaderValue)>,
    ) -> Self {
        let status = head.status();
        let is_interim = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
        let location = head.values(&LOCATION).next();
        let location = location.and_then(|location| within_origin(location, authority));
        Self {
            nominated: if status == StatusCode::SWITCHING_PROTOCOLS { Vec::new() } else { nominated(head) },
            // A client that believes the length of such a response would wait for a body (RFC 9112 §6).
            has_no_body: status.is_informational() || status == StatusCode::NO_CONTENT,
            // HTTP/1.0 has no chunks (RFC 9112 §6.1): the end of the connection ends the body.
            is_for_http_10: client_version == Version::HTTP_10,
            // A part of a valid field value is a valid value.
            location: location.and_then(|location| HeaderValue::try_from(location).ok()),
            hsts,
            rate,
            request_id: request_id.filter(|_| !is_interim),
        }
    }

    /// The fields that the client does not get.
    pub fn removed(&self) -> impl Iterator<Item = &HeaderName> {
        let length = self.has_no_body.then_some(&CONTENT_LENGTH);
        let encoding = (self.has_no_body || self.is_for_http_10).then_some(&TRANSFER_ENCODING);
        self.nominated.iter().chain(&HOP_BY_HOP).chain(length).chain(encoding)
    }

    /// The fields that the gateway sets. Each replaces all fields of its name.
    pub fn own(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let hsts = self.hsts.map(|hsts| (&STRICT_TRANSPORT_SECURITY, hsts));
        let location = self.location.as_ref().map(|location| (&LOCATION, location));
        let request_id = self.request_id.map(|(name, value)| (name, value));
        hsts.into_iter().chain(self.rate.into_iter().flat_map(rate_fields)).chain(request_id).chain(location)
    }

    /// Edits a response of Pingora's.
    pub fn apply(self, response: &mut ResponseHeader) -> Result<()> {
        if response.version == Version::HTTP_10 {
            // The version is that of the sender, not that of the origin (RFC 9110 §6.2).
            response.set_version(Version::HTTP_11);
        }
        for name in self.removed() {
            response.remove_header(name);
        }
        for (name, value) in self.own() {
            response.insert_header(name.clone(), value.clone())?;
        }
        Ok(())
    }
}

/// The fields that `Connection` names. Pingora needs the fields that frame the body.
fn nominated(head: &impl ResponseHead) -> Vec<HeaderName> {
    head.values(&CONNECTION)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| ![CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name))
        .collect()
}

/// A redirect to the origin itself as a path, so that the client stays with the gateway. `None` for
/// other redirects.
fn within_origin(location: &[u8], authority: &[u8]) -> Option<Vec<u8>> {
    let rest = strip_prefix_ignore_case(location, b"https://")
        .or_else(|| strip_prefix_ignore_case(location, b"http://"))
        .or_else(|| location.strip_prefix(b"//"))?;
    let rest = strip_prefix_ignore_case(rest, authority)?;
    let rest = rest.strip_prefix(b":443").or_else(|| rest.strip_prefix(b":80")).unwrap_or(rest);
    match rest {
        // A path that begins with `//` would name another host. `/.//` does not (RFC 3986 §4.2).
        [b'/', path @ ..] if begins_with_slash(path) => Some([b"/.", rest].concat()),
        [b'/', ..] => Some(rest.to_vec()),
        [] | [b'?' | b'#', ..] => Some([b"/", rest].concat()),
        _ => None,
    }
}

/// Whether browsers see a slash at the start. They read `\` as `/` and skip tabs (WHATWG URL, basic
/// URL parser).
fn begins_with_slash(path: &[u8]) -> bool {
    matches!(path.iter().find(|byte| **byte != b'\t'), Some(b'/' | b'\\'))
}

fn strip_prefix_ignore_case<'t>(text: &'t [u8], prefix: &[u8]) -> Option<&'t [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_to_the_origin_become_relative_and_others_stay() {
        for (location, expected) in [
            ("https://api.example.com/x?y", Some("/x?y")),
            ("HTTP://API.example.com/x", Some("/x")),
            ("//api.example.com/x", Some("/x")),
            ("https://api.example.com", Some("/")),
            ("https://api.example.com?y", Some("/?y")),
            ("https://api.example.com:443/x", Some("/x")),
            ("https://api.example.com//evil.example/x", Some("/.//evil.example/x")),
            ("https://api.example.com/\\evil.example/x", Some("/./\\evil.example/x")),
            ("https://api.example.com/\t/evil.example/x", Some("/./\t/evil.example/x")),
            ("https://api.example.com/\t\\evil.example/x", Some("/./\t\\evil.example/x")),
            ("https://api.example.com/\tx", Some("/\tx")),
            ("https://api.example.com.evil.example/", None),
            ("https://api.example.com@evil.example/", None),
            ("https://api.example.com:8443/", None),
            ("https://other.example/", None),
            ("/x", None),
        ] {
            let found = within_origin(location.as_bytes(), b"api.example.com");
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{location}");
        }
    }
}
