//! The report of `inspect` as text and as JSON.

use std::time::SystemTime;

use serde_json::Value;

use super::signature::SignatureReport;
use super::token::TokenReport;

/// What is reported on a token, or on a request with its token.
pub struct Inspection {
    pub token: TokenReport,
    /// Of a request, if keys are configured.
    pub signature: Option<SignatureReport>,
}

impl Inspection {
    /// The report as text for people.
    pub fn to_text(&self, now: SystemTime) -> String {
        let signature = self.signature.as_ref().map_or(String::new(), SignatureReport::to_text);
        self.token.to_text(now) + &signature
    }

    /// The report as one JSON object.
    pub fn to_json(&self) -> Value {
        let mut report = self.token.to_json();
        if let Some(signature) = &self.signature {
            report["message_signature"] = signature.to_json();
        }
        report
    }

    /// Why the command fails. `None` if everything is accepted.
    pub fn failure(&self) -> Option<String> {
        let rejection = match &self.token.verdict {
            None => return Some("not judged: no key is configured".into()),
            Some(Err(rejection)) => Some(*rejection),
            Some(Ok(_)) => self.signature.as_ref().and_then(SignatureReport::rejection),
        };
        rejection.map(|rejection| format!("rejected ({})", rejection.label()))
    }
}
