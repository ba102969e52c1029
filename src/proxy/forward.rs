//! Header work: what the origin may see of the request, and the client of the response.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, LOCATION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderValue, StatusCode};
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::client::Client;
use crate::approov::ApproovSettings;
use crate::origins::{Origin, SecretHeader};
use crate::policy::RemovedFields;
use crate::telemetry::write_address;

/// Hop-by-hop fields of a response (RFC 9110 §7.6.1) that Pingora leaves in.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What is done to the header of every forwarded request.
#[derive(Debug)]
pub(super) struct Forwarding {
    /// The token header, if the origin is not to see it.
    removed_token: Option<HeaderName>,
    /// Fields whose other spellings (`approov.token`, `content_length`) are removed: CGI maps every character
    /// outside `[A-Za-z0-9]` to `_` (RFC 3875 §4.1.18), so they collide with the field itself.
    guarded: Vec<HeaderName>,
    /// The fields by which origins know the gateway. A client must not set them, for any origin.
    secrets: Vec<HeaderName>,
    /// Identity headers and method overrides.
    removed: RemovedFields,
}

impl Forwarding {
    /// As configured.
    pub fn new(approov: &ApproovSettings, origins: &[Origin], forward_headers: &[HeaderName]) -> Self {
        let framing = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE];
        let verified = approov.binding_headers.iter().chain([&approov.token_header]).cloned();
        let secrets = origins.iter().filter_map(|origin| origin.secret_header.as_ref());
        let secrets: Vec<HeaderName> =
            secrets.flat_map(SecretHeader::fields).map(|(name, _)| name.clone()).collect();
        Self {
            guarded: verified.chain(framing).chain(secrets.iter().cloned()).collect(),
            secrets,
            removed: RemovedFields::except(forward_headers.to_vec()),
            removed_token: (!approov.forward_token).then(|| approov.token_header.clone()),
        }
    }

    /// Removes what only the gateway may say, and says it.
    pub fn apply(&self, request: &mut RequestHeader, client: Option<&Client>, origin: &Origin) -> Result<()> {
        if let Some(token) = &self.removed_token {
            request.remove_header(token);
        }
        let removed: Vec<HeaderName> =
            request.headers.keys().filter(|name| self.is_removed(name)).cloned().collect();
        for name in &removed {
            request.remove_header(name);
        }
        join_cookies(request)?;
        let asked = client.and_then(|client| client.host.clone());
        if let Some(host) = asked.or_else(|| host_value(request)) {
            request.insert_header("X-Forwarded-Host", host)?;
        }
        if let Some(client) = client {
            let mut address = Vec::with_capacity(39);
            write_address(client.address, &mut address);
            let address = HeaderValue::try_from(address)
                .or_err(ErrorType::InternalError, "an IP address is a field value")?;
            request.insert_header("X-Forwarded-For", address)?;
            request.insert_header("X-Forwarded-Proto", HeaderValue::from_static(client.scheme()))?;
        }
        for (name, value) in origin.own_fields() {
            request.insert_header(name.clone(), value.clone())?;
        }
        Ok(())
    }

    fn is_removed(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        if self.removed.contains(text.as_bytes()) || self.secrets.contains(name) {
            return true;
        }
        let is_odd = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'-';
        if !text.bytes().any(is_odd) {
            return false;
        }
        let plain = text.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        self.guarded.iter().any(|guarded| guarded.as_str() == plain)
    }
}

/// The host that the client asked for: the `Host` field, or the authority of HTTP/2.
fn host_value(request: &RequestHeader) -> Option<HeaderValue> {
    match request.headers.get(HOST) {
        Some(host) => Some(host.clone()),
        None => HeaderValue::from_str(request.uri.authority()?.as_str()).ok(),
    }
}

/// HTTP/2 may send a cookie list in parts, which HTTP/1 must see as one (RFC 9113 §8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let parts: Vec<&[u8]> = request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if parts.len() < 2 {
        return Ok(());
    }
    let whole = HeaderValue::from_bytes(&parts.join(&b"; "[..]))
        .or_err(ErrorType::InternalError, "joined field values are one")?;
    request.insert_header(COOKIE, whole)
}

/// Removes hop-by-hop fields and makes redirects to the origin itself relative, so that the
/// client stays with the gateway.
pub(super) fn clean_response(response: &mut ResponseHeader, origin: &Origin) -> Result<()> {
    if response.status != StatusCode::SWITCHING_PROTOCOLS {
        remove_nominated(response);
    }
    if response.status.is_informational() || response.status == StatusCode::NO_CONTENT {
        // These have no body, and who believes such a field waits for one (RFC 9112 §6).
        response.remove_header(&CONTENT_LENGTH);
        response.remove_header(&TRANSFER_ENCODING);
    }
    response.remove_header(&KEEP_ALIVE);
    response.remove_header(&PROXY_CONNECTION);
    if let Some(location) = response.headers.get(LOCATION)
        && let Some(relative) = within_origin(location.as_bytes(), origin.authority.as_bytes())
    {
        let value = HeaderValue::from_bytes(&relative)
            .or_err(ErrorType::InvalidHTTPHeader, "a part of a field value is one")?;
        response.insert_header(LOCATION, value)?;
    }
    Ok(())
}

/// Fields that the origin's `Connection` names are for this hop only.
fn remove_nominated(response: &mut ResponseHeader) {
    let nominated: Vec<HeaderName> = response
        .headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| ![CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name))
        .collect();
    for name in &nominated {
        response.remove_header(name);
    }
}

/// The target of a redirect to `authority`, as a path of the gateway's.
fn within_origin(location: &[u8], authority: &[u8]) -> Option<Vec<u8>> {
    let rest = strip_prefix_ignore_case(location, b"https://")
        .or_else(|| strip_prefix_ignore_case(location, b"http://"))
        .or_else(|| location.strip_prefix(b"//"))?;
    let rest = strip_prefix_ignore_case(rest, authority)?;
    let rest = rest.strip_prefix(b":443").or_else(|| rest.strip_prefix(b":80")).unwrap_or(rest);
    match rest {
        // A path that begins with // would name another host; RFC 3986 §4.2 knows the way out.
        [b'/', path @ ..] if begins_with_slash(path) => Some([b"/.", rest].concat()),
        [b'/', ..] => Some(rest.to_vec()),
        [] | [b'?' | b'#', ..] => Some([b"/", rest].concat()),
        _ => None,
    }
}

/// As browsers read it: they take `\` for `/`, and leave tabs out (WHATWG URL, basic URL parser).
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
