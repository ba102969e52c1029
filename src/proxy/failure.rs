//! Failures of an exchange: whose fault they are, what the client is answered, and their labels.

use std::io;

use pingora_core::{Error, ErrorSource, ErrorType};

use super::answer::Answer;
use crate::http::{BadAnswer, BadChunk};
use crate::limits::Cause;
use crate::origins::UpstreamErrorKind;
use crate::upstream::{NotSent, SpeaksTls, Unavailable};

/// The side that is at fault when an exchange fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The origin is at fault.
    Origin(UpstreamErrorKind),
    /// The client is at fault.
    Client(ClientFault),
    /// The gateway is at fault.
    Gateway,
}

/// What the client did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientFault {
    /// The client sent its request too slowly.
    SlowRequest,
    /// The client read the response too slowly.
    SlowReader,
    /// The client closed the connection or the stream, or the connection broke.
    Closed,
    /// The request is larger than a limit allows.
    TooLarge,
    /// The request is malformed or ambiguous.
    Malformed,
}

impl Failure {
    /// The answer to the client; `None` if the client is gone.
    pub fn answer(self) -> Option<Answer> {
        match self {
            Failure::Origin(kind) => Some(answer_of_origin(kind)),
            Failure::Client(ClientFault::SlowRequest) => Some(Answer::RequestTimeout),
            Failure::Client(ClientFault::SlowReader | ClientFault::Closed) => None,
            Failure::Client(ClientFault::TooLarge) => Some(Answer::ContentTooLarge),
            Failure::Client(ClientFault::Malformed) => Some(Answer::BadRequest),
            Failure::Gateway => Some(Answer::Internal),
        }
    }

    /// The limit that the client exceeds by being slow.
    pub fn limit(self) -> Option<Cause> {
        match self {
            Failure::Client(ClientFault::SlowRequest) => Some(Cause::BodyTime),
            Failure::Client(ClientFault::SlowReader) => Some(Cause::WriteTime),
            Failure::Client(_) | Failure::Origin(_) | Failure::Gateway => None,
        }
    }

    /// The value of `error.type` in the access log.
    pub fn label(self) -> &'static str {
        match self {
            Failure::Origin(kind) => kind.label(),
            Failure::Client(fault) => fault.label(),
            Failure::Gateway => "internal",
        }
    }
}

impl ClientFault {
    /// The value of `error.type` in the access log.
    pub fn label(self) -> &'static str {
        match self {
            ClientFault::SlowRequest | ClientFault::SlowReader => "client_timeout",
            ClientFault::Closed => "client_closed",
            ClientFault::TooLarge => "client_too_large",
            ClientFault::Malformed => "client_malformed",
        }
    }
}

fn answer_of_origin(kind: UpstreamErrorKind) -> Answer {
    match kind {
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
    }
}

// Pingora's errors. The types below are the gateway's own and travel through Pingora's proxy.

const NO_ADDRESS: ErrorType = ErrorType::new("NoAddress");
const ALL_DOWN: ErrorType = ErrorType::new("AllDown");
const QUEUE_FULL: ErrorType = ErrorType::new("QueueFull");
const QUEUE_TIMEOUT: ErrorType = ErrorType::new("QueueTimeout");

/// The body of a request is longer than allowed.
const TOO_LARGE: ErrorType = ErrorType::new("ContentTooLarge");

/// Not a failure: the response is not passed on, and the request is sent again.
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

/// The origin's total time has passed.
pub(super) fn out_of_time() -> Box<Error> {
    Error::new_up(ErrorType::ReadTimedout)
}

/// The body of the request is longer than allowed.
pub(super) fn too_large() -> Box<Error> {
    Error::new_down(TOO_LARGE)
}

/// The request is to be sent again.
pub(super) fn resend() -> Box<Error> {
    let mut error = Error::new_up(RESEND);
    error.set_retry(true);
    error
}

/// The origin switches protocols though no handshake asked for it.
pub(super) fn unasked_switch() -> Box<Error> {
    Error::new_up(ErrorType::InvalidHTTPHeader)
}

/// Whether the error is an error of [`resend`].
pub(super) fn is_resend(error: &Error) -> bool {
    *error.etype() == RESEND
}

/// Pingora called a hook in a state in which the hook has no meaning.
pub(super) fn wrong_state() -> Box<Error> {
    Error::new_in(ErrorType::InternalError)
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        match (error.esource(), error.etype()) {
            (ErrorSource::Upstream, _) => Failure::Origin(kind(error)),
            (ErrorSource::Downstream, etype) => Failure::Client(match etype {
                etype if *etype == TOO_LARGE => ClientFault::TooLarge,
                _ if is_write_timeout(error) => ClientFault::SlowReader,
                _ if is_read_timeout(error) => ClientFault::SlowRequest,
                _ if cause::<BadChunk>(error).is_some() => ClientFault::Malformed,
                // An HTTP/2 stream that the client has reset, as gRPC clients do to cancel a call,
                // is an `H2Error`.
                ErrorType::H2Error
                | ErrorType::WriteError
                | ErrorType::WriteTimedout
                | ErrorType::ReadError
                | ErrorType::ConnectionClosed => ClientFault::Closed,
                _ => ClientFault::Malformed,
            }),
            (ErrorSource::Internal | ErrorSource::Unset, _) => Failure::Gateway,
        }
    }
}

/// The kind of failure that Pingora's error stands for.
pub(super) fn kind(error: &Error) -> UpstreamErrorKind {
    match error.etype() {
        etype if *etype == NO_ADDRESS => UpstreamErrorKind::Resolve,
        etype if *etype == ALL_DOWN => UpstreamErrorKind::AllDown,
        etype if *etype == QUEUE_FULL => UpstreamErrorKind::QueueFull,
        etype if *etype == QUEUE_TIMEOUT => UpstreamErrorKind::QueueTimeout,
        _ if is_read_timeout(error) => UpstreamErrorKind::ReadTimeout,
        _ if cause::<BadAnswer>(error).is_some() || cause::<SpeaksTls>(error).is_some() => {
            UpstreamErrorKind::InvalidResponse
        }
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

fn is_read_timeout(error: &Error) -> bool {
    has_timed_out(error, &ErrorType::ReadTimedout, &ErrorType::ReadError)
}

fn is_write_timeout(error: &Error) -> bool {
    has_timed_out(error, &ErrorType::WriteTimedout, &ErrorType::WriteError)
}

/// Pingora reports a timeout by an error type of its own. The gateway's streams report it as an I/O
/// error, which is the cause of a read or write error.
fn has_timed_out(error: &Error, by_type: &ErrorType, by_cause: &ErrorType) -> bool {
    let is_timeout = |cause: &io::Error| cause.kind() == io::ErrorKind::TimedOut;
    error.etype() == by_type
        || error.etype() == by_cause && error.root_cause().downcast_ref().is_some_and(is_timeout)
}

/// Why one of the gateway's own connections failed, if the reason is a `C`.
fn cause<C: std::error::Error + 'static>(error: &Error) -> Option<&C> {
    error.root_cause().downcast_ref::<io::Error>().and_then(io::Error::get_ref)?.downcast_ref()
}

/// Whether nothing of the request was sent, because a kept connection was no longer usable.
pub(super) fn was_not_sent(error: &Error) -> bool {
    cause::<NotSent>(error).is_some()
}
