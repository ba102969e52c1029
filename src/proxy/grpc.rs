//! Refusals in the form that a gRPC client understands: a response without a message, whose header
//! is also its trailer ("Trailers-Only", gRPC over HTTP/2).

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode, Version};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::answer::Answer;

const GRPC: &[u8] = b"application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether the request is a gRPC call.
pub(super) fn is_call(request: &RequestHeader) -> bool {
    request.version == Version::HTTP_2
        && request.headers.get(CONTENT_TYPE).is_some_and(|media_type| {
            let rest = media_type.as_bytes().strip_prefix(GRPC);
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
        })
}

/// The answer as a gRPC status.
pub(super) fn header(answer: Answer) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(StatusCode::OK, Some(2))?;
    header.insert_header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))?;
    header.insert_header(GRPC_STATUS, HeaderValue::from_static(status(answer)))?;
    Ok(header)
}

/// As gRPC clients map HTTP statuses where there is no other word (gRPC, "HTTP to gRPC Status Code
/// Mapping").
fn status(answer: Answer) -> &'static str {
    const DEADLINE_EXCEEDED: &str = "4";
    const PERMISSION_DENIED: &str = "7";
    const RESOURCE_EXHAUSTED: &str = "8";
    const UNIMPLEMENTED: &str = "12";
    const INTERNAL: &str = "13";
    const UNAVAILABLE: &str = "14";
    const UNAUTHENTICATED: &str = "16";
    match answer {
        Answer::Refused => UNAUTHENTICATED,
        Answer::Forbidden => PERMISSION_DENIED,
        Answer::TooManyRequests => RESOURCE_EXHAUSTED,
        Answer::NotFound | Answer::MethodNotAllowed => UNIMPLEMENTED,
        Answer::Redirect
        | Answer::BadRequest
        | Answer::ContentTooLarge
        | Answer::UriTooLong
        | Answer::HeaderTooLarge
        | Answer::Internal => INTERNAL,
        Answer::BadGateway | Answer::Unavailable => UNAVAILABLE,
        Answer::RequestTimeout | Answer::GatewayTimeout => DEADLINE_EXCEEDED,
    }
}
