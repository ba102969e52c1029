//! Bytes that are not a valid request: they are answered, counted and logged like a request.

use std::time::Duration;

use pingora_core::Result;

use super::answer::{Answer, Notes};
use super::correlation::Correlation;
use super::failure::ClientFault;
use super::judgement::Judgement;
use super::record::{Finished, HeadFacts, Transfer};
use super::shared::Shared;
use crate::admission::Refusal;
use crate::clock;
use crate::downstream::{Unparsed, UnparsedRequest};
use crate::http::RequestLine;
use crate::limits::{Cause, Outcome};
use crate::telemetry::Source;

impl Shared {
    /// Counts and logs the bytes. Returns the bytes of the answer, after which the connection is
    /// closed.
    ///
    /// # Errors
    /// If Pingora refuses a header field that it has accepted before.
    pub(super) fn refuse_unparsed(&self, request: &UnparsedRequest<'_>) -> Result<Vec<u8>> {
        let snapshot = self.snapshot.load();
        let connection = request.connection;
        let limits = &snapshot.limits;
        let client = limits.client_key(connection.client, connection.known_client().is_none());
        // The limits by address apply to every client, whatever it sends.
        let refusal = limits.admit_head(client, None, limits.now()).err();
        let (answer, fault, limit) = match refusal {
            Some(refusal) => (Answer::from(&refusal), None, Some(refusal)),
            None => {
                let (answer, fault, cause) = fault(request.why);
                (answer, Some(fault), cause.map(Refusal::by))
            }
        };
        if let Some(limit) = &limit {
            self.metrics.limited(limit.cause, Outcome::Refused);
        }
        let line = RequestLine::of(request.head);
        let method = line.and_then(|line| std::str::from_utf8(line.method).ok()).unwrap_or_default();
        let path = line.and_then(|line| line.target.split(|byte| *byte == b'?').next());
        let correlation = Correlation::of_unparsed(&snapshot.correlation);
        let is_direct = connection.client == connection.peer.ip();
        let finished = Finished {
            head: HeadFacts { method, path: path.unwrap_or_default(), ..HeadFacts::default() },
            connection,
            client: (connection.client, is_direct.then(|| connection.peer.port())),
            correlation: &correlation,
            route: None,
            judgement: &Judgement::denied(),
            limit: limit.as_ref(),
            transfer: Transfer {
                status: Some(snapshot.answers.status(answer).as_u16()),
                ..Transfer::default()
            },
            started: clock::now(),
            duration: Duration::ZERO,
            error_message: None,
            peer: None,
            source: Source::Gateway,
            error: fault.map(ClientFault::label),
            origin: None,
            resends: 0,
            scheme: if connection.tls.is_some() { "https" } else { "http" },
            attempts: &[],
        };
        self.record(&snapshot, &finished);
        let notes =
            Notes { request_id: correlation.request_id.as_ref(), ..Notes::new(None, limit.as_ref(), None) };
        snapshot.answers.unparsed(answer, method, &notes)
    }
}

/// The answer, the label for the log, and the limit that is exceeded.
fn fault(why: Unparsed) -> (Answer, ClientFault, Option<Cause>) {
    match why {
        Unparsed::Malformed => (Answer::BadRequest, ClientFault::Malformed, None),
        Unparsed::TargetTooLong => (Answer::UriTooLong, ClientFault::TooLarge, Some(Cause::TargetSize)),
        Unparsed::HeadTooLarge => (Answer::HeaderTooLarge, ClientFault::TooLarge, Some(Cause::HeaderSize)),
        Unparsed::HeadTooSlow => (Answer::RequestTimeout, ClientFault::SlowRequest, Some(Cause::HeaderTime)),
    }
}
