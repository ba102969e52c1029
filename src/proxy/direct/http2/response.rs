//! The head of a response for an HTTP/2 client.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use pingora_core::{Error, ErrorType, OrErr, Result};
use pingora_http::ResponseHeader;

use super::super::head::ResponseView;
use super::super::write::passes;
use crate::proxy::response::ResponseEdits;

/// Room for the fields that the gateway sets.
const OWN_FIELDS: usize = 4;

/// The head of a response. Pingora's session adds `Date` and removes the fields that HTTP/2 does not have.
///
/// # Errors
/// If a field cannot be one of HTTP/2.
pub(super) fn response(head: &ResponseView<'_>, edits: &ResponseEdits<'_>) -> Result<Box<ResponseHeader>> {
    // One copy, of which all values are parts.
    let copy = Bytes::copy_from_slice(head.view.bytes());
    let room = head.view.field_count() + OWN_FIELDS;
    let mut response = ResponseHeader::build_no_case(head.status, Some(room))?;
    for field in head.view.over(&copy).fields() {
        if passes(field, edits) {
            let name = HeaderName::from_bytes(field.name);
            let name =
                name.or_err(ErrorType::InvalidHTTPHeader, "the name of a field").map_err(Error::into_up)?;
            let value = HeaderValue::from_maybe_shared(copy.slice_ref(field.value));
            let value =
                value.or_err(ErrorType::InvalidHTTPHeader, "the value of a field").map_err(Error::into_up)?;
            response.append_header(name, value)?;
        }
    }
    for (name, value) in edits.own() {
        response.append_header(name.clone(), value.clone())?;
    }
    Ok(Box::new(response))
}
