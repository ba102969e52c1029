//! `approov`: which tokens are accepted, and what they are bound to.

mod verification;

use std::path::Path;
use std::time::Duration;

use http::HeaderName;

use super::keys::{CheckedKey, KeyKind, LoadedKeys, load_keys};
use super::message_signing::MessageSigningSection;
use crate::approov::{DEFAULT_MAX_TOKEN_LENGTH, MissingClaim, RESERVED_CLAIMS, Secret, Strategy};
use crate::config::document::{
    Entries, Fault, Located, Location, Report, Reported, Written, always, boolean, default, list, number,
    quoted, required, section, text, usable, words,
};
use crate::config::values::{MINUTE, duration, header_name, printable};

pub use verification::VerificationConfig;

/// Every word for a strategy. Some documents of Approov use the last word.
pub const STRATEGIES: [(&str, Strategy); 3] = [
    ("token", Strategy::Token),
    ("token-binding", Strategy::TokenBinding),
    ("token-with-binding", Strategy::TokenBinding),
];

const IF_EMPTY: &str = "write what is accepted, or remove the key to accept any";

section! {
    /// Verification of tokens.
    pub struct ApproovSection {
        /// The header with the token. Default: `Approov-Token`. (`APPROOV_TOKEN_HEADER_NAME`)
        token_header: Written<HeaderName> = text("header name", header_name),
        /// A word that may precede the token, such as `Bearer`.
        token_prefix: String = default(text("word", token_prefix).shown(|word| format!("{word:?}")), String::new()),
        /// Whether the token is forwarded to the origin.
        forward_token: bool = default(boolean(), false),
        /// The longest token in bytes. A longer token is refused without being read. It must also fit into
        /// `limits.requests.header_bytes`.
        max_token_length: usize = default(number(256..=64 * 1024), DEFAULT_MAX_TOKEN_LENGTH),
        /// The keys that verify tokens, tried in order. Default: the account secret of the
        /// environment, which replaces this whole list. To change the account secret without
        /// refusing anyone, list the new secret and the old one for a while.
        pub keys: Written<Entries<CheckedKey>> = list(KeyKind),
        /// What is verified for routes without their own strategy: `token` verifies signature,
        /// expiry and the other claims (default), `token-binding` also verifies that the token is
        /// bound to the headers of `binding`. (`APPROOV_VERIFICATION_STRATEGY`)
        pub strategy: Written<Strategy> = words(STRATEGIES),
        /// Token binding: the token is only valid together with the value of a header.
        binding: BindingSection = always::<BindingSection>(),
        /// The clock difference that is allowed for `exp` and `nbf`.
        leeway: Duration = default(duration(Duration::ZERO..=5 * MINUTE), Duration::ZERO),
        /// The accepted `iss` claims. Default: any value, and a token may have none.
        issuers: Written<Entries<String>> = list(text("claim", printable)).not_empty(IF_EMPTY),
        /// The accepted `aud` claims. Default: any value, and a token may have none.
        audiences: Written<Entries<String>> = list(text("claim", printable)).not_empty(IF_EMPTY),
        /// The tokens of Approov's failover service, which have neither a binding claim nor an
        /// installation key: `reject` them where one of the two is required, or `accept` them.
        failover: Failover = default(
            words([("reject", Failover::Reject), ("accept", Failover::Accept)]),
            Failover::Reject,
        ),
        /// Message signatures.
        pub message_signing: MessageSigningSection = always::<MessageSigningSection>(),
    }
}

/// What happens to the tokens of Approov's failover service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failover {
    Reject,
    Accept,
}

section! {
    /// Token binding.
    struct BindingSection {
        /// The headers that tokens are bound to. The values of several headers are hashed without a
        /// separator, in this order, as the app does it. Default: `[Authorization]`.
        /// (`APPROOV_BINDING_HEADER_NAME`, separated by commas)
        headers: Written<Entries<HeaderName>> = list(text("header name", header_name))
            .not_empty("name a header, or remove the key for Authorization"),
        /// The claim with the hash. Default: `pay`. (`APPROOV_BINDING_CLAIM_NAME`)
        claim: Written<String> = text("name of a claim", binding_claim),
        /// What happens to a token without that claim: `reject` (default), or `accept` for tokens of the
        /// failover service.
        missing_claim: Written<MissingClaim> =
            words([("reject", MissingClaim::Reject), ("accept", MissingClaim::Accept)]),
    }
}

section! {
    /// Verification of the tokens of one origin, instead of what `approov` says.
    pub struct OriginApproovSection {
        /// The keys for this origin, like `approov.keys`.
        pub keys: Located<Entries<CheckedKey>> = required(
            list(KeyKind)
                .not_empty("write a key, or remove approov from this origin to use the usual ones"),
            "list the keys, as approov.keys does",
        ),
        /// The accepted `iss` claims. Default: those of `approov`.
        pub issuers: Written<Entries<String>> = list(text("claim", printable)).not_empty(IF_EMPTY),
        /// The accepted `aud` claims. Default: those of `approov`.
        pub audiences: Written<Entries<String>> = list(text("claim", printable)).not_empty(IF_EMPTY),
    }
}

/// The strategy's usual name.
pub fn strategy_name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Token => "token",
        Strategy::TokenBinding => "token-binding",
    }
}

/// A claim that may hold the binding hash.
pub fn binding_claim(text: &str) -> Result<String, Fault> {
    if RESERVED_CLAIMS.contains(&text) {
        let message = format!("the claim {} has a meaning of its own", quoted(text));
        return Err(Fault::new(message, "use pay, which Approov writes, or your own name"));
    }
    printable(text)
}

/// A word that may precede a token. A blank at its end is allowed and ignored.
fn token_prefix(text: &str) -> Result<String, Fault> {
    let word = text.trim();
    if word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        Ok(word.to_owned())
    } else {
        let message = format!("{} is not one word", quoted(text));
        Err(Fault::new(message, "write a word such as Bearer, or \"\" for none"))
    }
}

/// The keys for origins without their own. `is_needed` is false if every origin has its own.
pub fn usual_keys(
    keys: Written<Entries<CheckedKey>>,
    variable: Option<Result<Secret, Reported>>,
    is_needed: bool,
    config: Option<&Path>,
    whole: &Location,
    report: &Report,
) -> Result<LoadedKeys, Reported> {
    if let Some(secret) = variable {
        return Ok(LoadedKeys::of_account(secret?));
    }
    match keys.checked()? {
        Some(keys) if !keys.value.is_empty() => load_keys(keys.value, config, report),
        _ if !is_needed => Ok(LoadedKeys::default()),
        _ => {
            let hint =
                "set APPROOV_SECRET_BASE64 or APPROOV_SECRET_BASE64_FILE, or write approov.keys in a file";
            Err(report.problem(whole, "there is no key to verify tokens with", hint))
        }
    }
}

/// Keys and claims of one origin, instead of those of `approov`.
pub struct OwnRules {
    keys: LoadedKeys,
    issuers: Option<Vec<String>>,
    audiences: Option<Vec<String>>,
}

impl OriginApproovSection {
    /// Reads the files of the keys.
    pub fn load(self, config: Option<&Path>, report: &Report) -> Result<OwnRules, Reported> {
        Ok(OwnRules {
            keys: load_keys(self.keys.value, config, report)?,
            issuers: self.issuers.value().map(|names| usable(names).collect()),
            audiences: self.audiences.value().map(|names| usable(names).collect()),
        })
    }
}
