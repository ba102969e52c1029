//! Answers to gRPC calls: a response without a message whose header is also its trailer
//! ("Trailers-Only", gRPC over HTTP/2).

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{Answer, Notes};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Sends the answer as one frame that ends the stream. Pingora's session would end the stream by a data
/// frame behind the header, which gRPC clients report as an internal error.
pub(super) fn send(session: &mut Session, answer: Answer, notes: &Notes<'_>) -> Result<()> {
    match session.as_downstream_mut() {
        HttpSession::H2(stream) => stream.write_response_header(Box::new(header(answer, notes)?), true),
        _ => Error::e_explain(ErrorType::InternalError, "a gRPC call outside of HTTP/2"),
    }
}

/// The answer as a gRPC status.
fn header(answer: Answer, notes: &Notes<'_>) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(StatusCode::OK, Some(3))?;
    header.insert_header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))?;
    header.insert_header(GRPC_STATUS, HeaderValue::from_static(status(answer)))?;
    if let Some((name, value)) = notes.request_id {
        header.insert_header(name.clone(), value.clone())?;
    }
    Ok(header)
}

/// The gRPC status of an answer, as gRPC clients map HTTP statuses (gRPC, "HTTP to gRPC Status Code
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
        | Answer::Internal
        | Answer::Preflight => INTERNAL,
        Answer::BadGateway | Answer::Unavailable => UNAVAILABLE,
        Answer::RequestTimeout | Answer::GatewayTimeout => DEADLINE_EXCEEDED,
    }
}
