//! Pingora's errors, told apart: one match from error to answer, one to label.

use std::io;

use pingora_core::{Error, ErrorSource, ErrorType};

use super::answer::Answer;
use crate::http::{BadAnswer, BadChunk};
use crate::limits::Cause;
use crate::origins::UpstreamErrorKind;
use crate::upstream::{NotSent, Unavailable};

const NO_ADDRESS: ErrorType = ErrorType::new("NoAddress");
const ALL_DOWN: ErrorType = ErrorType::new("AllDown");
const QUEUE_FULL: ErrorType = ErrorType::new("QueueFull");
const QUEUE_TIMEOUT: ErrorType = ErrorType::new("QueueTimeout");

/// The body of a request is longer than it may be.
const TOO_LARGE: ErrorType = ErrorType::new("ContentTooLarge");

/// Not a failure: the answer is not passed on, and the request sent again.
const RESEND: ErrorType = ErrorType::new("Resend");

/// No address of the origin can be asked.
pub(super) fn unavailable(why: Unavailable) -> Box<Error> {
    Error::new_up(match why {
        Unavailable::NoAddress => NO_ADDRESS,
        Unavailable::AllDown(_) => ALL_DOWN,
        Unavailable::QueueFull => QUEUE_FULL,
        Unavailable::QueueTimeout => QUEUE_TIMEOUT,
    })
}

/// More of a body has come than may come.
pub(super) fn too_large() -> Box<Error> {
    Error::new_down(TOO_LARGE)
}

/// The request is to be sent again.
pub(super) fn resend() -> Box<Error> {
    let mut error = Error::new_up(RESEND);
    error.set_retry(true);
    error
}

/// The origin switches protocols without a handshake that asked for it.
pub(super) fn unasked_switch() -> Box<Error> {
    Error::new_up(ErrorType::InvalidHTTPHeader)
}

/// Whether it is an error of [`resend`].
pub(super) fn is_resend(error: &Error) -> bool {
    *error.etype() == RESEND
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
        etype if *etype == ALL_DOWN => UpstreamErrorKind::AllDown,
        etype if *etype == QUEUE_FULL => UpstreamErrorKind::QueueFull,
        etype if *etype == QUEUE_TIMEOUT => UpstreamErrorKind::QueueTimeout,
        _ if is_read_timeout(error) => UpstreamErrorKind::ReadTimeout,
        _ if cause::<BadAnswer>(error).is_some() => UpstreamErrorKind::InvalidResponse,
        _ if cause(error) == Some(&NotSent::Unsolicited) => UpstreamErrorKind::Unsolicited,
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => UpstreamErrorKind::ConnectTimeout,
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::SocketError => UpstreamErrorKind::Connect,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::HandshakeError => {
            UpstreamErrorKind::Tls
        }
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

/// Nothing came in time.
fn is_read_timeout(error: &Error) -> bool {
    has_timed_out(error, &ErrorType::ReadTimedout, &ErrorType::ReadError)
}

/// Nothing was taken in time.
fn is_write_timeout(error: &Error) -> bool {
    has_timed_out(error, &ErrorType::WriteTimedout, &ErrorType::WriteError)
}

/// As Pingora says it, with a type of its own, and as our own connections do, with a cause.
fn has_timed_out(error: &Error, by_type: &ErrorType, by_cause: &ErrorType) -> bool {
    let is_timeout = |cause: &io::Error| cause.kind() == io::ErrorKind::TimedOut;
    error.etype() == by_type
        || error.etype() == by_cause && error.root_cause().downcast_ref().is_some_and(is_timeout)
}

/// Why one of the gateway's own connections failed, if it was for a reason of this kind.
fn cause<C: std::error::Error + 'static>(error: &Error) -> Option<&C> {
    error.root_cause().downcast_ref::<io::Error>().and_then(io::Error::get_ref)?.downcast_ref()
}

/// Whether nothing of the request was sent, because a kept connection was of no use any more.
pub(super) fn was_not_sent(error: &Error) -> bool {
    cause::<NotSent>(error).is_some()
}

/// The answer for the client; none when the client has gone.
pub(super) fn answer(error: &Error) -> Option<Answer> {
    match (error.esource(), error.etype()) {
        (ErrorSource::Upstream, _) => Some(match kind(error) {
            UpstreamErrorKind::ConnectTimeout
            | UpstreamErrorKind::ReadTimeout
            | UpstreamErrorKind::WriteTimeout => Answer::GatewayTimeout,
            UpstreamErrorKind::AllDown | UpstreamErrorKind::QueueFull | UpstreamErrorKind::QueueTimeout => {
                Answer::Unavailable
            }
            UpstreamErrorKind::Resolve
            | UpstreamErrorKind::Connect
            | UpstreamErrorKind::Tls
            | UpstreamErrorKind::Closed
            | UpstreamErrorKind::InvalidResponse
            | UpstreamErrorKind::Unsolicited
            | UpstreamErrorKind::Other => Answer::BadGateway,
        }),
        (ErrorSource::Downstream, etype) if *etype == TOO_LARGE => Some(Answer::ContentTooLarge),
        (ErrorSource::Downstream, _) if is_read_timeout(error) => Some(Answer::RequestTimeout),
        (ErrorSource::Downstream, _) if cause::<BadChunk>(error).is_some() => Some(Answer::BadRequest),
        (
            ErrorSource::Downstream,
            // A stream of HTTP/2 that the client has reset, as gRPC clients do to cancel a call.
            ErrorType::H2Error
            | ErrorType::WriteError
            | ErrorType::WriteTimedout
            | ErrorType::ReadError
            | ErrorType::ConnectionClosed,
        ) => None,
        (ErrorSource::Downstream, _) => Some(Answer::BadRequest),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Answer::Internal),
    }
}

/// What the client was too slow with, if that is why.
pub(super) fn slowness(error: &Error) -> Option<Cause> {
    match error.esource() {
        ErrorSource::Downstream if is_write_timeout(error) => Some(Cause::WriteTime),
        ErrorSource::Downstream if is_read_timeout(error) => Some(Cause::BodyTime),
        _ => None,
    }
}

/// `error.type` of the access log.
pub(super) fn label(error: &Error) -> &'static str {
    match error.esource() {
        ErrorSource::Upstream => kind(error).label(),
        ErrorSource::Downstream if slowness(error).is_some() => "client_timeout",
        ErrorSource::Downstream => match answer(error) {
            None => "client_closed",
            Some(Answer::ContentTooLarge) => "client_too_large",
            Some(_) => "client_malformed",
        },
        ErrorSource::Internal | ErrorSource::Unset => "internal",
    }
}
