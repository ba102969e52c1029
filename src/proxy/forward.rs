//! The fields of a forwarded request: which of the client's fields the origin gets, and which fields
//! the gateway sets.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue};
use pingora_core::Result;
use pingora_http::RequestHeader;

use super::client::Client;
use super::correlation::Correlation;
use super::head::RequestHead;
use super::settings::SnapshotSettings;
use crate::approov::{Payload, Rejection};
use crate::origins::{Origin, SecretHeader};
use crate::policy::RemovedFields;
use crate::telemetry::write_address;

/// The field that tells an origin what verification found on an observed route.
const VERDICT: HeaderName = HeaderName::from_static("approov-gateway-verdict");

/// The rules for the fields of forwarded requests.
#[derive(Debug)]
pub(super) struct Forwarding {
    /// The token header, if origins do not get the token.
    removed_token: Option<HeaderName>,
    /// Fields whose other spellings (`approov.token`, `content_length`) are removed. CGI maps every
    /// character outside `[A-Za-z0-9]` to `_` (RFC 3875 §4.1.18), so the spellings collide with the
    /// field itself.
    guarded: Vec<HeaderName>,
    /// The fields by which origins recognise the gateway, and by which it tells them facts. No client
    /// may send them, to any origin.
    own: Vec<HeaderName>,
    /// The fields that tell claims, each with its claim.
    claims: Vec<(HeaderName, Box<str>)>,
    /// Identity headers and method overrides.
    removed: RemovedFields,
}

/// The name of a field that the gateway sets.
#[derive(Clone, Copy, Debug)]
pub(super) enum FieldName<'a> {
    /// A name in its usual letter case.
    Usual(&'static str),
    /// A name from the configuration.
    Configured(&'a HeaderName),
}

/// The fields that the gateway sets in one request. Each replaces all fields of its name.
pub(super) struct OwnFields<'a>(Vec<(FieldName<'a>, HeaderValue)>);

/// A field that tells the origin what verification found out.
pub(super) type Fact = (HeaderName, HeaderValue);

/// The field for an observed request: `accepted`, or `rejected` with the reason.
pub(super) fn verdict_fact(rejection: Option<Rejection>) -> Fact {
    let value = match rejection {
        None => Ok(HeaderValue::from_static("accepted")),
        Some(rejection) => HeaderValue::try_from(format!("rejected; reason={}", rejection.label())),
    };
    // Labels are letters and underscores.
    (VERDICT, value.unwrap_or(HeaderValue::from_static("rejected")))
}

impl Forwarding {
    /// The rules of this configuration.
    pub fn new(settings: &SnapshotSettings) -> Self {
        let SnapshotSettings { approov, origins, forward_headers, correlation, .. } = settings;
        let framing = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE];
        let verified = approov.binding_headers.iter().chain([&approov.token_header]).cloned();
        let secrets = origins.iter().filter_map(|origin| origin.secret_header.as_ref());
        let secrets = secrets.flat_map(SecretHeader::fields).map(|(name, _)| name.clone());
        let claims = approov.forward_claims.iter().map(|(name, _)| name.clone());
        let own: Vec<HeaderName> =
            secrets.chain(claims).chain(correlation.request_id.clone()).chain([VERDICT]).collect();
        Self {
            guarded: verified.chain(framing).chain(own.iter().cloned()).collect(),
            own,
            claims: approov.forward_claims.clone(),
            removed: RemovedFields::except(forward_headers.to_vec()),
            removed_token: (!approov.forward_token).then(|| approov.token_header.clone()),
        }
    }

    /// Whether a client's field is removed. `name` is in lower case.
    pub fn removes(&self, name: &str) -> bool {
        if self.removed.contains(name.as_bytes())
            || self.removed_token.as_ref().is_some_and(|token| token.as_str() == name)
            || self.own.iter().any(|own| own.as_str() == name)
        {
            return true;
        }
        let is_odd = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'-';
        if !name.bytes().any(is_odd) {
            return false;
        }
        let plain = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        self.guarded.iter().any(|guarded| guarded.as_str() == plain)
    }

    /// The fields that tell the claims of an accepted token. A claim that is absent, or that cannot be
    /// the value of a field, has none.
    pub fn claims(&self, payload: &Payload) -> Vec<(HeaderName, HeaderValue)> {
        let field = |(name, claim): &(HeaderName, Box<str>)| {
            let text = payload.text(claim).filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))?;
            Some((name.clone(), HeaderValue::try_from(text).ok()?))
        };
        self.claims.iter().filter_map(field).collect()
    }

    /// Edits a request of Pingora's that is about to be sent to `origin`.
    pub fn apply(
        &self,
        request: &mut RequestHeader,
        client: &Client,
        correlation: &Correlation,
        facts: &[Fact],
        origin: &Origin,
    ) -> Result<()> {
        let removed: Vec<HeaderName> =
            request.headers.keys().filter(|name| self.removes(name.as_str())).cloned().collect();
        for name in &removed {
            request.remove_header(name);
        }
        for (name, value) in OwnFields::new(request, client, correlation, facts, origin).fields() {
            match *name {
                FieldName::Usual(name) => request.insert_header(name, value.clone())?,
                FieldName::Configured(name) => request.insert_header(name.clone(), value.clone())?,
            }
        }
        Ok(())
    }
}

impl FieldName<'_> {
    /// Whether this is the name of a field whose name in lower case is `name`.
    fn is(self, name: &str) -> bool {
        match self {
            FieldName::Usual(usual) => usual.eq_ignore_ascii_case(name),
            FieldName::Configured(configured) => configured.as_str() == name,
        }
    }
}

impl<'a> OwnFields<'a> {
    /// The fields for a request with this head.
    pub fn new(
        head: &impl RequestHead,
        client: &Client,
        correlation: &'a Correlation,
        facts: &'a [Fact],
        origin: &'a Origin,
    ) -> Self {
        let mut address = Vec::with_capacity(39);
        write_address(client.address, &mut address);
        let host = || HeaderValue::from_bytes(Some(head.host()).filter(|host| !host.is_empty())?).ok();
        let mut fields = Vec::with_capacity(8);
        let mut set = |name, value: Option<HeaderValue>| fields.extend(value.map(|value| (name, value)));
        set(FieldName::Usual("Cookie"), joined_cookies(head));
        set(FieldName::Usual("X-Forwarded-Host"), client.host.clone().or_else(host));
        // The text of an address is always a valid field value.
        set(FieldName::Usual("X-Forwarded-For"), HeaderValue::try_from(address).ok());
        set(FieldName::Usual("X-Forwarded-Proto"), Some(HeaderValue::from_static(client.scheme())));
        correlation.each(|name, value| set(FieldName::Configured(name), Some(value)));
        for (name, value) in facts.iter().map(|(name, value)| (name, value)).chain(origin.own_fields()) {
            set(FieldName::Configured(name), Some(value.clone()));
        }
        Self(fields)
    }

    /// All fields that the gateway sets.
    pub fn fields(&self) -> &[(FieldName<'a>, HeaderValue)] {
        &self.0
    }

    /// Whether one of the fields replaces a field of the client. `name` is in lower case.
    pub fn replaces(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own.is(name))
    }
}

/// The cookies of a request that has several `Cookie` fields. HTTP/2 may split the list, which HTTP/1
/// must not (RFC 9113 §8.2.3). An empty field adds nothing: the joined value never ends with a separator.
fn joined_cookies(head: &impl RequestHead) -> Option<HeaderValue> {
    head.values(&COOKIE).nth(1)?;
    let parts: Vec<&[u8]> = head.values(&COOKIE).filter(|part| !part.is_empty()).collect();
    // Valid values joined by `; ` are a valid value.
    HeaderValue::from_bytes(&parts.join(&b"; "[..])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_cookie_fields_become_one() {
        for (fields, expected) in [
            (&["a=b"][..], None),
            (&["a=b", "c=d"], Some("a=b; c=d")),
            (&["a=b", "", "c=d", ""], Some("a=b; c=d")),
            (&["", ""], Some("")),
        ] {
            let mut head = RequestHeader::build("GET", b"/", None).expect("a request");
            for value in fields {
                head.append_header(COOKIE, *value).expect("a field");
            }
            let joined = joined_cookies(&head);
            assert_eq!(joined.as_ref().map(HeaderValue::as_bytes), expected.map(str::as_bytes), "{fields:?}");
        }
    }
}
