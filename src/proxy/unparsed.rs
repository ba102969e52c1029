//! What a client sent in place of a request: answered, counted and logged like one.

use std::time::Duration;

use pingora_core::Result;

use super::answer::{Answer, Notes};
use super::{Connection, Shared, snapshot};
use crate::http::RequestLine;
use crate::limits::{Cause, Outcome};
use crate::policy::{Policy, Verdict};
use crate::telemetry::{Entry, Exceeded, reason_label};

/// Why it is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsed {
    /// Its head is malformed or ambiguous.
    Malformed,
    /// Its target is too long.
    TargetTooLong,
    /// Its head is too long, or has too many fields.
    HeadTooLarge,
    /// Its head was not complete in time.
    HeadTooSlow,
}

/// What there is of it.
#[derive(Clone, Copy)]
pub struct UnparsedRequest<'a> {
    /// The bytes so far.
    pub head: &'a [u8],
    /// The connection they came on.
    pub connection: &'a Connection,
    /// What is wrong.
    pub why: Unparsed,
}

impl Shared {
    /// Counts and logs it; returns the bytes of the answer, which ends the connection.
    ///
    /// # Errors
    /// None in practice: what the answer is made of has been an answer before.
    pub fn refuse_unparsed(&self, request: &UnparsedRequest<'_>) -> Result<Vec<u8>> {
        let snapshot = self.snapshot.load();
        let connection = request.connection;
        let limits = &snapshot.limits;
        let visitor = limits.client_key(connection.client, connection.known_client().is_none());
        // Whoever sends nonsense meets the limits by address like everybody.
        let limited = limits.admit_head(visitor, None, limits.now()).err();
        let (answer, error, cause) = match &limited {
            Some(limited) => (Answer::from(limited), None, Some(limited.cause)),
            None => fault(request.why),
        };
        if let Some(cause) = cause {
            self.metrics.limited(cause, Outcome::Refused);
        }
        let line = RequestLine::of(request.head);
        let method = line.and_then(|line| std::str::from_utf8(line.method).ok()).unwrap_or_default();
        let path =
            line.map_or(&b""[..], |line| line.target.split(|byte| *byte == b'?').next().unwrap_or_default());
        snapshot.unrouted_metrics.record(Verdict::Denied, None, Duration::ZERO);
        let is_direct = connection.client == connection.peer.ip();
        if snapshot.is_logged {
            self.access_log.log(&Entry {
                method,
                path,
                status: Some(snapshot.answers.status(answer).as_u16()),
                client: Some((connection.client, Some(connection.peer.port()).filter(|_| is_direct))),
                protocol: "",
                tls_version: connection.tls.as_ref().map(|tls| tls.version),
                client_subject: None,
                host: b"",
                user_agent: b"",
                request_bytes: 0,
                response_bytes: 0,
                duration: Duration::ZERO,
                error,
                route: snapshot::UNROUTED,
                policy: Policy::Deny.label(),
                verdict: Verdict::Denied.label(),
                reason: reason_label(None),
                limit: cause.map(|cause| Exceeded {
                    cause: cause.label(),
                    name: limited.as_ref().and_then(|limited| limited.name.as_deref()),
                    is_observed: false,
                }),
                device_id: None,
                response_code: None,
                origin: None,
                resends: 0,
            });
        }
        let notes = Notes {
            hsts: None,
            retry_after: limited.as_ref().and_then(|limited| limited.retry_after),
            rate: limited.as_ref().and_then(|limited| limited.rate.as_deref()),
        };
        snapshot.answers.bytes(answer, method == "HEAD", &notes)
    }
}

/// The answer, the label for the log, and the limit that was exceeded.
fn fault(why: Unparsed) -> (Answer, Option<&'static str>, Option<Cause>) {
    let (answer, error, cause) = match why {
        Unparsed::Malformed => (Answer::BadRequest, "client_malformed", None),
        Unparsed::TargetTooLong => (Answer::UriTooLong, "client_too_large", Some(Cause::TargetSize)),
        Unparsed::HeadTooLarge => (Answer::HeaderTooLarge, "client_too_large", Some(Cause::HeaderSize)),
        Unparsed::HeadTooSlow => (Answer::RequestTimeout, "client_timeout", Some(Cause::HeaderTime)),
    };
    (answer, Some(error), cause)
}
