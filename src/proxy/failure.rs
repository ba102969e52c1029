//! Pingora's errors, told apart: one match from error to answer, one to label.

use pingora_core::{Error, ErrorSource, ErrorType};

use super::answer::Answer;
use crate::telemetry::UpstreamErrorKind;

/// The type of the error for an origin whose name has no address yet.
const NO_ADDRESS: ErrorType = ErrorType::new("NoAddress");

/// The origin's name has not been resolved.
pub(super) fn no_address() -> Box<Error> {
    Error::new_up(NO_ADDRESS)
}

/// A request without a route came past `request_filter`, which cannot be.
pub(super) fn no_route() -> Box<Error> {
    Error::new_in(ErrorType::InternalError)
}

/// Whether the origin is to blame.
pub(super) fn is_upstream(error: &Error) -> bool {
    matches!(error.esource(), ErrorSource::Upstream)
}

/// How the origin failed.
pub(super) fn kind(error: &Error) -> UpstreamErrorKind {
    match error.etype() {
        etype if *etype == NO_ADDRESS => UpstreamErrorKind::Resolve,
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => UpstreamErrorKind::ConnectTimeout,
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::SocketError => UpstreamErrorKind::Connect,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::HandshakeError => {
            UpstreamErrorKind::Tls
        }
        ErrorType::ReadTimedout => UpstreamErrorKind::ReadTimeout,
        ErrorType::WriteTimedout => UpstreamErrorKind::WriteTimeout,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => {
            UpstreamErrorKind::Closed
        }
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::H2Error | ErrorType::InvalidH2 => {
            UpstreamErrorKind::InvalidResponse
        }
        _ => UpstreamErrorKind::Other,
    }
}

/// The answer for the client; none when the client has gone.
pub(super) fn answer(error: &Error) -> Option<Answer> {
    match (error.esource(), error.etype()) {
        (
            ErrorSource::Upstream,
            ErrorType::ConnectTimedout
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout,
        ) => Some(Answer::GatewayTimeout),
        (ErrorSource::Upstream, _) => Some(Answer::BadGateway),
        (
            ErrorSource::Downstream,
            ErrorType::WriteError
            | ErrorType::WriteTimedout
            | ErrorType::ReadError
            | ErrorType::ConnectionClosed,
        ) => None,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(Answer::RequestTimeout),
        (ErrorSource::Downstream, _) => Some(Answer::BadRequest),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Answer::Internal),
    }
}

/// `error.type` of the access log.
pub(super) fn label(error: &Error) -> &'static str {
    match error.esource() {
        ErrorSource::Upstream => kind(error).label(),
        ErrorSource::Downstream => match answer(error) {
            None => "client_closed",
            Some(Answer::RequestTimeout) => "client_timeout",
            Some(_) => "client_malformed",
        },
        ErrorSource::Internal | ErrorSource::Unset => "internal",
    }
}
