//! The report on a message signature.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::token::TokenReport;
use crate::approov::message_signing::{Label, ShownBase, SignatureJudgement, shown_base};
use crate::approov::{ApproovSettings, ContentDigest, Presented, Rejection, UnixTime};
use crate::cli::request::Request;
use crate::cli::show::printable;

/// How a request is signed, and the verdict.
pub struct SignatureReport {
    judgement: Option<SignatureJudgement>,
    /// The body has another hash than the digest says.
    has_wrong_body: bool,
    label: Option<Label>,
    base: Option<Result<ShownBase, Rejection>>,
    /// The client's own SHA-256 of its base, which debug builds send.
    clients_digest: Option<String>,
    token_header: String,
}

/// Judges the signature of a request whose token has this report.
pub fn report(
    settings: &ApproovSettings,
    request: &Request,
    token: &TokenReport,
    now: UnixTime,
) -> SignatureReport {
    let message = request.message();
    let judgement = match &token.verdict {
        Some(Ok(claims)) => Some(settings.message_signing.rules.verify(&message, claims, now)),
        _ => None,
    };
    let has_wrong_body = judgement.as_ref().and_then(|judgement| judgement.digest).is_some_and(|digest| {
        let mut verifier = ContentDigest::verifier(digest);
        verifier.update(&request.body);
        !verifier.matches()
    });
    // Without a verdict on the token, any label that is there is shown.
    let label = judgement.as_ref().and_then(|judgement| judgement.label);
    let label = label.or_else(|| Label::ALL.into_iter().find(|label| shown_base(&message, *label).is_ok()));
    let clients_digest = match request.presented("signature-base-digest") {
        Presented::Once(value) => Some(String::from_utf8_lossy(value).into_owned()),
        Presented::Missing | Presented::Repeated => None,
    };
    SignatureReport {
        judgement,
        has_wrong_body,
        label,
        base: label.map(|label| shown_base(&message, label)),
        clients_digest,
        token_header: format!("\"{}\"", settings.token_header.as_str()),
    }
}

fn sha256(text: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(text))
}

impl SignatureReport {
    /// Why the signature is not accepted. `None` also if the token names no key.
    pub fn rejection(&self) -> Option<Rejection> {
        let judgement = self.judgement.as_ref()?;
        let of_body = self.has_wrong_body.then_some(Rejection::ContentDigestMismatch);
        judgement.label.and(judgement.rejection).or(of_body)
    }

    fn result(&self) -> &'static str {
        match (&self.judgement, self.has_wrong_body) {
            (None, _) => "unknown",
            (Some(_), true) => "invalid",
            (Some(judgement), false) => judgement.result.label(),
        }
    }

    /// The value of a line as it may be printed: a token is a credential.
    fn value(&self, component: &str, value: &[u8]) -> String {
        if component == self.token_header {
            return format!("(the token, {} bytes, not shown)", value.len());
        }
        String::from_utf8_lossy(value).into_owned()
    }

    /// Lines for people. Nothing in them can steer a terminal.
    pub fn to_text(&self) -> String {
        let mut report = String::new();
        let mut line = |name: &str, text: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(report, "{name:<10} {}", printable(text));
        };
        let label = self.label.map_or("no signature", Label::label);
        let why = self.rejection().map_or(String::new(), |rejection| {
            format!(" ({}): {}", rejection.label(), rejection.explanation())
        });
        line("signed by", label);
        line("signature", &format!("{}{why}", self.result()));
        if let Some(Ok(base)) = &self.base {
            for shown in &base.lines {
                let value = shown.value.as_ref().map(|value| self.value(&shown.component, value));
                let value = value.unwrap_or_else(|| "(absent: the signature cannot be good)".into());
                line("base", &format!("{}: {value}", shown.component));
            }
            for (index, text) in base.texts.iter().enumerate() {
                let name = if index == 0 { "as the RFC says" } else { "as some clients do" };
                line("sha-256", &format!("{} {name}{}", sha256(text), self.agreement(text)));
            }
        }
        report
    }

    /// Whether a base is the one that the client signed, if the client says so.
    fn agreement(&self, text: &[u8]) -> &'static str {
        match &self.clients_digest {
            None => "",
            Some(digest) if digest.contains(&sha256(text)) => ", the client's own",
            Some(_) => ", not the client's",
        }
    }

    /// The report as a JSON object.
    pub fn to_json(&self) -> Value {
        let base = self.base.as_ref().and_then(|base| base.as_ref().ok());
        let components: Vec<Value> = base.map_or(Vec::new(), |base| {
            let line = |line: &crate::approov::message_signing::BaseLine| {
                let value = line.value.as_ref().map(|value| self.value(&line.component, value));
                json!({ "component": line.component, "value": value })
            };
            base.lines.iter().map(line).collect()
        });
        let hashes: Vec<String> =
            base.map_or(Vec::new(), |base| base.texts.iter().map(|text| sha256(text)).collect());
        json!({
            "label": self.label.map(Label::label),
            "result": self.result(),
            "reason": self.rejection().map(Rejection::label),
            "base": components,
            "base_sha256": hashes,
            "client_base_digest": self.clients_digest,
        })
    }
}
