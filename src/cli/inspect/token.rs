//! The report on a token.

use std::fmt::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Value, json};

use crate::approov::{Presented, Rejection, SigningClaims, Strategy, TokenJudgement, UnixTime, Verifier};
use crate::cli::show::{self, printable};

/// Decodes segments that the gateway would refuse, to show them.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text is not a token: not three segments with dots between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAToken;

impl fmt::Display for NotAToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is not a token: a token has three segments with dots between them")
    }
}

impl std::error::Error for NotAToken {}

/// What a token says, and the verdict.
pub struct TokenReport {
    header: Result<Value, String>,
    claims: Result<Value, String>,
    signature: Option<usize>,
    /// `None` if no key is configured.
    pub verdict: Option<Result<SigningClaims, Rejection>>,
}

impl TokenReport {
    /// Reads header and payload of the token in `value`, the value of a token header.
    ///
    /// # Errors
    /// [`NotAToken`] if the value does not have three segments.
    pub fn new(value: &str, verdict: Option<TokenJudgement<'_>>) -> Result<Self, NotAToken> {
        let segments: Vec<&str> = without_scheme(value).split('.').collect();
        let [header, payload, signature] = segments[..] else { return Err(NotAToken) };
        let verdict = verdict.map(|verdict| match (verdict.accepted, verdict.rejection) {
            (Some(accepted), None) => Ok(accepted.payload.signing()),
            (_, rejection) => Err(rejection.unwrap_or(Rejection::MalformedToken)),
        });
        Ok(Self {
            header: decode(header),
            claims: decode(payload),
            signature: LENIENT.decode(signature).map(|bytes| bytes.len()).ok(),
            verdict,
        })
    }

    /// Lines for people. Nothing in them can steer a terminal.
    pub fn to_text(&self, now: SystemTime) -> String {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut report = String::new();
        let mut line = |name: &str, text: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(report, "{name:<10} {}", printable(text));
        };
        line("header", &pretty(&self.header));
        line("claims", &pretty(&self.claims));
        for (name, label) in [("iat", "issued"), ("nbf", "not before"), ("exp", "expires")] {
            if let Some(value) = self.claims.as_ref().ok().and_then(|claims| claims.get(name)) {
                let text = value.as_f64().map_or("not a number".into(), |seconds| show::moment(seconds, now));
                line(label, &text);
            }
        }
        let algorithm =
            self.header.as_ref().ok().and_then(|header| header.get("alg")).and_then(Value::as_str);
        let size =
            self.signature.map_or("not base64url".to_owned(), |bytes| format!("{bytes} bytes, not shown"));
        line("signature", &format!("{}, {size}", algorithm.unwrap_or("no algorithm")));
        let verdict = match &self.verdict {
            None => "unknown: no key is configured, so the signature was not verified".into(),
            Some(Ok(_)) => "accepted (ok)".into(),
            Some(Err(rejection)) => format!("rejected ({}): {}", rejection.label(), rejection.explanation()),
        };
        line("verdict", &verdict);
        report
    }

    /// The members of a JSON object.
    pub fn to_json(&self) -> Value {
        let (verdict, reason) = match &self.verdict {
            None => ("unknown", None),
            Some(Ok(_)) => ("accepted", Some("ok")),
            Some(Err(rejection)) => ("rejected", Some(rejection.label())),
        };
        json!({
            "header": self.header.as_ref().ok(),
            "claims": self.claims.as_ref().ok(),
            "signature_bytes": self.signature,
            "verdict": verdict,
            "reason": reason,
        })
    }
}

/// Describes the value of a token header under the rules of `verifier`, binding aside. The text may
/// be the whole header line.
///
/// # Errors
/// [`NotAToken`] if there is nothing to describe.
pub fn inspect(text: &str, verifier: Option<&Verifier>, now: SystemTime) -> Result<String, NotAToken> {
    let value = header_value(text);
    let moment = UnixTime::since_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let verdict = verifier.map(|verifier| {
        verifier.verify(Strategy::Token, Presented::Once(value.as_bytes()), |_| Presented::Missing, moment)
    });
    Ok(TokenReport::new(value, verdict)?.to_text(now))
}

/// The value without white space, quotes and the name of the header.
pub fn header_value(text: &str) -> &str {
    let value = text.trim().trim_matches(['"', '\'']).trim();
    match value.split_once(':') {
        Some((name, value)) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            value.trim()
        }
        _ => value,
    }
}

fn without_scheme(value: &str) -> &str {
    match value.split_once([' ', '\t']) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
        _ => value,
    }
}

fn decode(segment: &str) -> Result<Value, String> {
    let bytes = LENIENT.decode(segment).map_err(|_| "not base64url".to_owned())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("not JSON: {error}"))
}

fn pretty(segment: &Result<Value, String>) -> String {
    match segment {
        // A value that was read can be written.
        Ok(value) => serde_json::to_string_pretty(value).unwrap_or_default(),
        Err(error) => format!("({error})"),
    }
}
