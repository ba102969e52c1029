//! The responses of the admin listener.

use std::fmt::Display;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Response, StatusCode};

pub(super) fn not_allowed(methods: &'static str) -> Response<Vec<u8>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format_args!("{methods} only\n"));
    response.headers_mut().insert(ALLOW, http::HeaderValue::from_static(methods));
    response
}

pub(super) fn text(status: StatusCode, body: impl Display) -> Response<Vec<u8>> {
    response(status, "text/plain; charset=utf-8", body.to_string())
}

pub(super) fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, http::HeaderValue::from(body.len()));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    *response.body_mut() = body.into_bytes();
    response
}
