//! The origins and what is wrong with them, in words.

use serde::Serialize;

use crate::telemetry::{AddressReport, AddressState, OriginReport};

#[derive(Debug, Serialize)]
pub(in crate::admin) struct OriginStatus {
    pub name: String,
    /// `up` if every address is, `down` if none answers, else `degraded`.
    pub state: &'static str,
    pub in_flight: usize,
    pub queued: usize,
    pub addresses: Vec<AddressStatus>,
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct AddressStatus {
    pub address: String,
    /// `up`, `failing` or `down`.
    pub state: &'static str,
    /// Requests at this address; `None` if only those of the origin are counted.
    pub in_flight: Option<usize>,
    /// What is wrong and how to fix it; `None` if the address is up.
    pub reason: Option<String>,
    /// The last failure, also of an address that answers again.
    pub last_failure: Option<FailureReport>,
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct FailureReport {
    pub message: String,
    pub seconds_ago: u64,
}

impl OriginStatus {
    pub fn of(report: OriginReport) -> Self {
        let is_up = |address: &AddressReport| address.state == AddressState::Up;
        let up = report.addresses.iter().filter(|address| is_up(address)).count();
        let state = match up {
            0 => "down",
            up if up < report.addresses.len() => "degraded",
            _ => "up",
        };
        let OriginReport { name, in_flight, queued, addresses } = report;
        Self {
            name,
            state,
            in_flight,
            queued,
            addresses: addresses.into_iter().map(AddressStatus::of).collect(),
        }
    }

    /// What is wrong, in one sentence.
    pub fn problem(&self) -> Option<String> {
        let broken: Vec<_> = self.addresses.iter().filter(|address| address.state != "up").collect();
        let (name, first) = (&self.name, broken.first()?.reason.as_deref().unwrap_or_default());
        let (count, all) = (broken.len(), self.addresses.len());
        Some(match (count, all) {
            (1, 1) => format!("origin {name} does not answer: {first}"),
            (count, all) if count == all => {
                format!("none of the {all} addresses of origin {name} answers: {first}")
            }
            (count, all) => format!("{count} of {all} addresses of origin {name} do not answer: {first}"),
        })
    }
}

impl AddressStatus {
    fn of(report: AddressReport) -> Self {
        let AddressReport { address, state, in_flight, last_failure } = report;
        let reason = (state != AddressState::Up).then(|| match &last_failure {
            Some(failure) => failure.message.clone(),
            None => format!("{address} gets no requests because it failed them"),
        });
        let last_failure = last_failure
            .map(|failure| FailureReport { message: failure.message, seconds_ago: failure.ago.as_secs() });
        Self { address, state: state.label(), in_flight, reason, last_failure }
    }
}
