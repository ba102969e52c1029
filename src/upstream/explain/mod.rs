//! Why an exchange with an origin failed, in words for operators: what is wrong and how to fix it.

mod server;
mod tls;

use std::io::{self, ErrorKind};

use pingora_core::{Error, ErrorType};

use super::connection::SpeaksTls;
use crate::http::BadAnswer;

use tls::explain_tls;

pub(super) use server::{AskedServer, ServerKind};

/// The cause of a failed exchange. Finer than `error.type`: each has a remedy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FailureCause {
    /// The connection was refused: nothing listens at the address.
    Refused,
    /// No connection came about in time.
    ConnectTimeout,
    /// The network has no route to the address.
    Unroutable,
    /// The host name has no address.
    Unresolved,
    /// `https` is configured, and the origin does not speak TLS.
    NoTls,
    /// `http` is configured, and the origin speaks TLS.
    OnlyTls,
    /// The origin refused the TLS handshake.
    HandshakeRefused,
    /// The certificate is signed by its own key, and not trusted.
    SelfSigned,
    /// The certificate's authority is not trusted.
    UnknownAuthority,
    /// The certificate is for other names.
    WrongName,
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate cannot be used for another reason.
    BadCertificate,
    /// The origin reset or closed the connection.
    Closed,
    /// The origin sent nothing in time.
    Silent,
    /// The origin read nothing in time.
    NotReading,
    /// The total time of the request has passed.
    OutOfTime,
    /// The origin sent something that is not an HTTP response, or a response with two readings.
    NotHttp,
    /// No address may be used, because all are down.
    AllDown,
    /// Too many requests are at the origin, and the queue is full.
    Full,
    /// Any other failure.
    Other,
}

/// The explanation of a failed exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    /// The cause, by which warnings are counted.
    pub cause: FailureCause,
    /// One sentence: what is wrong; how to fix it. Its length is limited, and it may hold a text from
    /// the origin's certificate.
    pub message: String,
}

/// Explains Pingora's error in words.
pub(super) fn explain(error: &Error, asked: AskedServer<'_>) -> Explanation {
    let AskedServer { address, domain, server, is_tls, timeouts, .. } = asked;
    let what = server.what();
    if let Some(tls) = tls_error(error) {
        return explain_tls(tls, asked);
    }
    let io = io_kind(error);
    if let Some(total) = asked.passed_total
        && is_time_limit(error.etype(), io)
    {
        let hint = server.or_raise("total_timeout");
        let message = format!(
            "{address} has not finished its response after the total time of {total:?}; check the load of {what}{hint}"
        );
        return Explanation { cause: FailureCause::OutOfTime, message };
    }
    let is_refused = *error.etype() == ErrorType::ConnectRefused || io == Some(ErrorKind::ConnectionRefused);
    let within = timeouts.connect;
    let (cause, message) = match error.etype() {
        ErrorType::ConnectRefused | ErrorType::ConnectError if is_refused => (
            FailureCause::Refused,
            format!("{address} refuses connections; check that {what} runs and listens there"),
        ),
        ErrorType::ConnectTimedout => (
            FailureCause::ConnectTimeout,
            format!(
                "{address} does not accept a connection within {within:?}; check the address, and firewalls on the way"
            ),
        ),
        ErrorType::TLSHandshakeTimedout => (
            FailureCause::ConnectTimeout,
            format!(
                "{address} does not finish the TLS handshake within {within:?}; if it does not speak TLS, write \
                 http://{domain}"
            ),
        ),
        ErrorType::ConnectNoRoute => (
            FailureCause::Unroutable,
            format!("there is no route to {address}; check the address and this machine's network"),
        ),
        etype if etype.as_str() == "NoAddress" => (
            FailureCause::Unresolved,
            format!(
                "the name {domain} has no address; check its spelling, and that DNS works on this machine"
            ),
        ),
        etype if etype.as_str() == "AllDown" => (
            FailureCause::AllDown,
            "no address is used: each has failed its health checks or was ejected; earlier warnings say why"
                .to_owned(),
        ),
        etype if matches!(etype.as_str(), "QueueFull" | "QueueTimeout") => (
            FailureCause::Full,
            "max_in_flight requests are in progress; check the load of the API, or raise max_in_flight"
                .to_owned(),
        ),
        ErrorType::TLSHandshakeFailure | ErrorType::HandshakeError if is_end(io) => (
            FailureCause::HandshakeRefused,
            format!(
                "{address} closes the connection in the TLS handshake; check that it speaks TLS 1.2 or 1.3"
            ),
        ),
        _ if cause::<SpeaksTls>(error).is_some() => {
            (FailureCause::OnlyTls, format!("{address} speaks TLS; write https://{domain}"))
        }
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error => not_http(address),
        _ if cause::<BadAnswer>(error).is_some() => not_http(address),
        ErrorType::H2Error | ErrorType::InvalidH2 => (
            FailureCause::NotHttp,
            match server {
                ServerKind::Origin(name) => {
                    format!("{address} does not speak HTTP/2; remove `http: h2` from origin {name}")
                }
                ServerKind::KeySets | ServerKind::Collector => format!("{address} does not speak HTTP/2"),
            },
        ),
        ErrorType::ReadTimedout => {
            let hint = server.or_raise("read_timeout");
            let message =
                format!("{address} sends nothing for {:?}; check the load of {what}{hint}", timeouts.read);
            (FailureCause::Silent, message)
        }
        ErrorType::ReadError if io == Some(ErrorKind::TimedOut) => {
            let has_first_byte = timeouts.first_byte.is_some();
            let limit = if has_first_byte { "first_byte_timeout or total_timeout" } else { "total_timeout" };
            let hint = server.or_raise(limit);
            let message = format!("{address} does not respond in time; check the load of {what}{hint}");
            (FailureCause::Silent, message)
        }
        ErrorType::WriteTimedout => {
            let hint = server.or_raise("write_timeout");
            let message = format!(
                "{address} takes nothing of the request for {:?}; check the load of {what}{hint}",
                timeouts.write
            );
            (FailureCause::NotReading, message)
        }
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => {
            let how = if io == Some(ErrorKind::ConnectionReset) { "resets" } else { "closes" };
            let hint = if is_tls { "" } else { " if it speaks TLS, write https:// in front of its domain;" };
            (
                FailureCause::Closed,
                format!(
                    "{address} {how} the connection before its response is complete;{hint} check the log of {what}"
                ),
            )
        }
        _ => (FailureCause::Other, format!("{address} cannot be asked: {}", error.etype().as_str())),
    };
    Explanation { cause, message }
}

fn not_http(address: &str) -> (FailureCause, String) {
    let message = format!(
        "{address} sends something that is not an HTTP response, or a response with two readings, such as two \
         lengths; check what listens there"
    );
    (FailureCause::NotHttp, message)
}

/// The error of rustls that is the cause, if one is.
fn tls_error(error: &Error) -> Option<&rustls::Error> {
    error.root_cause().downcast_ref().or_else(|| cause(error))
}

/// The cause of this type, inside of an error of a stream.
fn cause<E: std::error::Error + 'static>(error: &Error) -> Option<&E> {
    error.root_cause().downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

fn io_kind(error: &Error) -> Option<ErrorKind> {
    error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind)
}

/// Whether a time limit ended the exchange.
fn is_time_limit(etype: &ErrorType, io: Option<ErrorKind>) -> bool {
    let is_by_type = matches!(
        etype,
        ErrorType::ConnectTimedout
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
    );
    is_by_type || io == Some(ErrorKind::TimedOut)
}

/// Whether the other side ended the connection.
fn is_end(kind: Option<ErrorKind>) -> bool {
    matches!(kind, Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError};

    use super::super::tls::SelfSigned;
    use super::*;
    use crate::origins::OriginTimeouts;

    const TIMEOUTS: OriginTimeouts = OriginTimeouts {
        connect: Duration::from_secs(5),
        first_byte: None,
        read: Duration::from_secs(60),
        write: Duration::from_secs(60),
        total: None,
        idle: Duration::from_secs(60),
    };

    const ASKED: AskedServer<'_> = AskedServer {
        address: "192.0.2.1:443",
        domain: "api.example.com",
        server: ServerKind::Origin("api"),
        is_tls: true,
        has_own_authorities: false,
        timeouts: &TIMEOUTS,
        passed_total: None,
    };

    fn in_handshake(error: rustls::Error) -> Box<Error> {
        Error::because(ErrorType::TLSHandshakeFailure, "", io::Error::new(ErrorKind::InvalidData, error))
    }

    fn of_io(etype: ErrorType, error: impl Into<io::Error>) -> Box<Error> {
        Error::because(etype, "", error.into())
    }

    #[test]
    fn every_failure_has_its_cause_and_says_how_to_fix_it() {
        let certificate = |error| in_handshake(rustls::Error::InvalidCertificate(error));
        let not_http = |error: io::Error| of_io(ErrorType::ReadError, error);
        let bad = |why: Box<dyn std::error::Error + Send + Sync>| io::Error::new(ErrorKind::InvalidData, why);
        let name = CertificateError::NotValidForNameContext {
            expected: "api.example.com".try_into().expect("a name"),
            presented: vec!["DnsName(\"other.example.com\")".into()],
        };
        let no_tls = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let cases = [
            (Error::new(ErrorType::ConnectRefused), FailureCause::Refused, "check that the API runs"),
            (Error::new(ErrorType::ConnectTimedout), FailureCause::ConnectTimeout, "within 5s"),
            (Error::new(ErrorType::ConnectNoRoute), FailureCause::Unroutable, "no route"),
            (
                Error::new(ErrorType::new("NoAddress")),
                FailureCause::Unresolved,
                "api.example.com has no address",
            ),
            (in_handshake(no_tls), FailureCause::NoTls, "write http://api.example.com"),
            (of_io(ErrorType::ConnectError, ErrorKind::ConnectionRefused), FailureCause::Refused, "API runs"),
            (Error::new(ErrorType::new("AllDown")), FailureCause::AllDown, "earlier warnings"),
            (Error::new(ErrorType::new("QueueFull")), FailureCause::Full, "raise max_in_flight"),
            (not_http(bad(Box::new(SpeaksTls))), FailureCause::OnlyTls, "write https://api.example.com"),
            (not_http(bad(Box::new(BadAnswer))), FailureCause::NotHttp, "check what listens there"),
            (
                in_handshake(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)),
                FailureCause::HandshakeRefused,
                "tls.client_certificate of origin api",
            ),
            (
                certificate(CertificateError::Other(OtherError(Arc::new(SelfSigned)))),
                FailureCause::SelfSigned,
                "tls.ca_file of origin api",
            ),
            (
                certificate(CertificateError::UnknownIssuer),
                FailureCause::UnknownAuthority,
                "name the authority",
            ),
            (certificate(name), FailureCause::WrongName, "is for other.example.com, not for api.example.com"),
            (certificate(CertificateError::Expired), FailureCause::Expired, "renew it"),
            (of_io(ErrorType::ReadError, ErrorKind::ConnectionReset), FailureCause::Closed, "resets"),
            (of_io(ErrorType::ReadError, ErrorKind::TimedOut), FailureCause::Silent, "raise total_timeout"),
            (Error::new(ErrorType::ReadTimedout), FailureCause::Silent, "nothing for 60s"),
        ];
        for (error, cause, hint) in cases {
            let explanation = explain(&error, ASKED);
            assert_eq!(explanation.cause, cause, "{explanation:?}");
            assert!(explanation.message.contains(hint), "{explanation:?}");
        }
    }

    #[test]
    fn after_the_total_time_no_other_limit_is_named() {
        let asked = AskedServer { passed_total: Some(Duration::from_secs(70)), ..ASKED };
        for error in [
            Error::new(ErrorType::ConnectTimedout),
            Error::new(ErrorType::TLSHandshakeTimedout),
            Error::new(ErrorType::ReadTimedout),
            Error::new(ErrorType::WriteTimedout),
            of_io(ErrorType::ReadError, ErrorKind::TimedOut),
        ] {
            let Explanation { cause, message } = explain(&error, asked);
            assert_eq!(cause, FailureCause::OutOfTime, "{message}");
            assert!(message.contains("the total time of 70s") && !message.contains("60s"), "{message}");
            assert!(message.ends_with("raise total_timeout"), "{message}");
        }
        let refused = explain(&Error::new(ErrorType::ConnectRefused), asked);
        assert_eq!(refused.cause, FailureCause::Refused, "other failures are explained by their own cause");
    }
}
