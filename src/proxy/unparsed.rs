//! What a client sent in place of a request: answered, counted and logged like one.

use std::time::Duration;

use super::answer::Answer;
use super::{Connection, Shared, snapshot};
use crate::downstream::RequestLine;
use crate::limits::{Cause, Size, Slow};
use crate::policy::Policy;
use crate::telemetry::{Entry, Exceeded, Outcome, Verdict, reason_label};

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
    pub fn refuse_unparsed(&self, request: &UnparsedRequest<'_>) -> Vec<u8> {
        let snapshot = self.snapshot.load();
        let (answer, error, cause) = match request.why {
            Unparsed::Malformed => (Answer::BadRequest, "client_malformed", None),
            Unparsed::TargetTooLong => {
                (Answer::UriTooLong, "client_too_large", Some(Cause::Size(Size::Target)))
            }
            Unparsed::HeadTooLarge => {
                (Answer::HeaderTooLarge, "client_too_large", Some(Cause::Size(Size::Header)))
            }
            Unparsed::HeadTooSlow => {
                (Answer::RequestTimeout, "client_timeout", Some(Cause::Time(Slow::Header)))
            }
        };
        if let Some(cause) = cause {
            self.metrics.limited(cause, Outcome::Refused);
        }
        let line = RequestLine::of(request.head);
        let method = line.and_then(|line| std::str::from_utf8(line.method).ok()).unwrap_or_default();
        let path =
            line.map_or(&b""[..], |line| line.target.split(|byte| *byte == b'?').next().unwrap_or_default());
        snapshot.unrouted_metrics.record(Verdict::Denied, None, Duration::ZERO);
        let connection = request.connection;
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
                error: Some(error),
                route: snapshot::UNROUTED,
                policy: Policy::Deny.label(),
                verdict: Verdict::Denied.label(),
                reason: reason_label(None),
                limit: cause.map(|cause| Exceeded { cause: cause.label(), name: None, is_observed: false }),
                device_id: None,
                response_code: None,
                origin: None,
                resends: 0,
            });
        }
        snapshot.answers.bytes(answer, method == "HEAD")
    }
}
