//! The steps of a request that is forwarded. Pingora's hooks and the direct exchange both take them, so
//! that every decision exists once.

use http::{StatusCode, Version};
use pingora_core::{Error, ErrorSource, ErrorType, Result, RetryType};

use super::admit::Refused;
use super::answer::Answer;
use super::arrival::Arrival;
use super::body::{BodyFault, HeldBody};
use super::exchange::{Break, Exchange, Progress};
use super::failure::{self, Failure};
use super::head::ResponseHead;
use super::life::{Life, RequestContext};
use super::record::{HeadFacts, Transfer};
use super::response::ResponseEdits;
use super::shared::Shared;
use crate::admission::Refusal;
use crate::clock;
use crate::limits::{Cause, Outcome};
use crate::origins::UpstreamErrorKind;
use crate::telemetry::Metrics;

impl RequestContext {
    /// The request is not forwarded. Returns the answer, and whether the client is to send no more
    /// requests on this connection.
    pub(super) fn refuse(&mut self, arrival: Arrival, refused: Refused) -> (Answer, bool) {
        let ends = refused.ends_connection && arrival.is_direct();
        if ends {
            arrival.connection.end();
        }
        let answer = refused.answer;
        self.life = Life::Refused(arrival, refused);
        (answer, ends)
    }

    /// Stores the held body of a verified request; `None` if no body was held back.
    ///
    /// # Errors
    /// If the request was not admitted.
    pub(super) fn keep_held_body(&mut self, held: Option<HeldBody>) -> Result<()> {
        self.exchange()?.held_body = held;
        Ok(())
    }

    /// Turns an admitted request into a refused one, because its body has the fault `fault`.
    ///
    /// # Errors
    /// If the request was not admitted.
    pub(super) fn refuse_body(&mut self, fault: BodyFault, metrics: &Metrics) -> Result<(Arrival, Refused)> {
        match std::mem::replace(&mut self.life, Life::Done) {
            Life::Exchange(exchange) => Ok(exchange.refuse_body(fault, metrics)),
            life => {
                self.life = life;
                Err(failure::wrong_state())
            }
        }
    }

    /// Chooses the address for the next attempt.
    ///
    /// # Errors
    /// If no address of the origin can be asked.
    pub(super) async fn choose_address(&mut self, metrics: &Metrics) -> Result<&Exchange> {
        let exchange = self.exchange()?;
        if !exchange.has_asked() {
            metrics.overhead(clock::since(exchange.arrival.started));
        }
        exchange.choose_address().await?;
        let address = exchange.endpoint()?.socket_address();
        let attempt = exchange.arrival.correlation.begin_attempt(address);
        self.asked.peer = address;
        self.asked.attempts.extend(attempt);
        Ok(self.exchange()?)
    }

    /// The connection could not be made, or the client has given up meanwhile, and nothing was sent. Returns
    /// whether to try another address.
    pub(super) fn connect_failed(&mut self, error: &Error) -> bool {
        let Life::Exchange(exchange) = &mut self.life else { return false };
        if *error.esource() == ErrorSource::Downstream {
            return false;
        }
        self.asked.explanation = Some(exchange.explain(error));
        let kind = failure::kind(error);
        self.asked.attempt_failed(kind);
        exchange.connect_failed(kind)
    }

    /// A request begins on a connection to the origin.
    pub(super) fn begins_to_send(&mut self) {
        self.asked.sent_at = Some(clock::now());
    }

    /// A part of the request body has arrived.
    ///
    /// # Errors
    /// If the body is longer than allowed, or the origin's total time has passed.
    pub(super) fn take_body(&mut self, metrics: &Metrics, length: usize) -> Result<()> {
        let exchange = self.exchange()?;
        if let Err(cause) = exchange.take_body(length) {
            self.exceed(metrics, cause);
            return Err(failure::too_large());
        }
        exchange.time_left().map(drop)
    }

    /// The head of a final response, or of a switch of protocols, has arrived. Returns whether to send
    /// the request again in place of passing the response on.
    ///
    /// # Errors
    /// If the request is not forwarded.
    pub(super) fn answered(&mut self, status: StatusCode, progress: Progress) -> Result<bool> {
        let sent_at = self.asked.sent_at;
        let exchange = self.exchange()?;
        if let Some(sent_at) = sent_at {
            exchange.upstream().answered_after(status, clock::since(sent_at));
        }
        let is_resent = exchange.answered(status, progress);
        self.asked.answered(status, is_resent);
        self.asked.is_answered |= !is_resent;
        Ok(is_resent)
    }

    /// The edits of a response for the client.
    ///
    /// # Errors
    /// If the request is not forwarded.
    pub(super) fn edits(
        &self,
        head: &impl ResponseHead,
        client_version: Version,
    ) -> Result<ResponseEdits<'_>> {
        let Life::Exchange(exchange) = &self.life else { return Err(failure::wrong_state()) };
        let authority = exchange.upstream().origin().authority.as_bytes();
        let (hsts, rate) = (exchange.arrival.hsts(), exchange.rate.as_deref());
        let request_id = exchange.arrival.correlation.request_id.as_ref();
        Ok(ResponseEdits::new(head, authority, client_version, hsts, rate, request_id))
    }

    /// The exchange with the origin, or with the client, broke. Returns whether to send the request
    /// again. `was_kept` tells that the connection to the origin was a kept one.
    pub(super) fn broke(&mut self, error: &Error, was_kept: bool, progress: Progress) -> bool {
        let (Failure::Origin(kind), Life::Exchange(exchange)) = (Failure::from(error), &mut self.life) else {
            return false;
        };
        let is_close =
            matches!(error.retry, RetryType::ReusedOnly) || *error.etype() == ErrorType::WriteError;
        let how = Break {
            kind,
            is_untouched: matches!(error.retry, RetryType::Decided(true))
                || was_kept && failure::was_not_sent(error),
            was_kept_closed: was_kept && is_close,
        };
        let waits_for_client = kind == UpstreamErrorKind::ReadTimeout && !progress.is_body_done;
        if !how.is_untouched && !how.was_kept_closed && !waits_for_client {
            self.asked.explanation = Some(exchange.explain(error));
        }
        self.asked.attempt_failed(kind);
        exchange.broke(how, progress)
    }

    /// The request has failed for good. Returns the answer to the client; `None` if the client is gone.
    pub(super) fn fail(&mut self, error: &Error) -> Option<Answer> {
        let failure = Failure::from(error);
        self.failure.get_or_insert(failure);
        let was_not_asked = matches!(
            failure,
            Failure::Origin(
                UpstreamErrorKind::Resolve
                    | UpstreamErrorKind::AllDown
                    | UpstreamErrorKind::QueueFull
                    | UpstreamErrorKind::QueueTimeout
            )
        );
        if was_not_asked && let Life::Exchange(exchange) = &self.life {
            self.asked.explanation.get_or_insert_with(|| exchange.explain(error));
        }
        failure.answer()
    }

    /// Records the request. `error` is the failure that ended it.
    pub(super) fn record(
        &mut self,
        shared: &Shared,
        head: HeadFacts<'_>,
        transfer: Transfer,
        error: Option<&Error>,
    ) {
        let failure = error.map(Failure::from);
        if let Some(cause) = failure.and_then(Failure::limit) {
            self.exceed(&shared.metrics, cause);
        }
        // Before the duration is counted: no page of metrics shows a tunnel that is open and over.
        self.asked.tunnel = None;
        shared.record_life(&self.life, head, transfer, self.failure.or(failure), &self.asked);
        self.life = Life::Done;
    }

    /// The request exceeds a limit after it was admitted.
    fn exceed(&mut self, metrics: &Metrics, cause: Cause) {
        metrics.limited(cause, Outcome::Refused);
        self.life.exceed(Refusal::by(cause));
    }
}
