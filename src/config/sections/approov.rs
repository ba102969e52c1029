//! `approov`: which tokens are accepted, and what they are bound to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::key_sets::KeySetList;
use super::keys::{CheckedKey, KeyKind, LoadedKey, LoadedKeys, load_keys};
use super::message_signing::MessageSigningSection;
use crate::approov::{
    ApproovSettings, BindingRules, ClaimRules, DEFAULT_MAX_TOKEN_LENGTH, MissingClaim, RESERVED_CLAIMS,
    Secret, Strategy, VerifiedSignatures, Verifier,
};
use crate::config::document::{
    Entries, Fault, Located, Location, Report, Reported, Written, always, boolean, default, list, number,
    quoted, required, section, text, usable, words,
};
use crate::config::overrides::TokenOverrides;
use crate::config::values::{MINUTE, duration, header_name, printable};
use crate::key_sets::KeySetSettings;
use crate::policy::{Policy, Route};

const DEFAULT_TOKEN_HEADER: HeaderName = HeaderName::from_static("approov-token");
const DEFAULT_BINDING_HEADER: HeaderName = http::header::AUTHORIZATION;

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

/// Verification as file and environment describe it.
pub struct VerificationConfig {
    section: ApproovSection,
    overrides: TokenOverrides,
    binding_headers: Option<Vec<Located<HeaderName>>>,
}

impl VerificationConfig {
    /// What the environment says replaces what the file says.
    pub fn new(mut section: ApproovSection, mut overrides: TokenOverrides) -> Self {
        let of_file = std::mem::take(&mut section.binding.headers).value();
        let of_file = of_file.map(|headers| headers.into_iter().flatten().collect());
        let binding_headers = overrides.binding_headers.take().or(of_file);
        Self { section, overrides, binding_headers }
    }

    fn token_header(&self) -> Option<&Located<HeaderName>> {
        self.overrides.token_header.as_ref().or(self.section.token_header.get())
    }

    fn binding_claim(&self) -> Option<&Located<String>> {
        self.overrides.binding_claim.as_ref().or(self.section.binding.claim.get())
    }

    /// The header that carries the token.
    fn token_header_name(&self) -> HeaderName {
        self.token_header().map_or(DEFAULT_TOKEN_HEADER, |header| header.value.clone())
    }

    /// The headers that tokens are bound to.
    fn binding_header_names(&self) -> Vec<HeaderName> {
        match &self.binding_headers {
            Some(headers) => headers.iter().map(|header| header.value.clone()).collect(),
            None => vec![DEFAULT_BINDING_HEADER],
        }
    }

    /// The headers that carry tokens or what tokens are bound to.
    pub fn verified_headers(&self) -> Vec<HeaderName> {
        let mut headers = self.binding_header_names();
        headers.push(self.token_header_name());
        headers
    }

    /// The settings with these keys, and the key sets that are fetched.
    ///
    /// # Errors
    /// If a message-signing key cannot be used.
    pub fn resolve(
        self,
        keys: LoadedKeys,
        of_origins: Vec<Option<OwnRules>>,
        report: &Report,
    ) -> Result<(ApproovSettings, Vec<KeySetSettings>), Reported> {
        let (token_header, binding_headers) = (self.token_header_name(), self.binding_header_names());
        let defaults = BindingRules::default();
        let binding = BindingRules {
            claim: self.binding_claim().map_or(defaults.claim, |claim| claim.value.clone()),
            headers: binding_headers.len(),
            missing_claim: self
                .section
                .binding
                .missing_claim
                .get()
                .map_or(MissingClaim::Reject, |how| how.value),
        };
        let section = self.section;
        let names = |written: Written<Entries<String>>| {
            written.value().map_or(Vec::new(), |names| usable(names).collect())
        };
        let claims = ClaimRules {
            leeway: section.leeway.as_secs_f64(),
            issuers: names(section.issuers),
            audiences: names(section.audiences),
        };
        let mut sets = KeySetList::default();
        let verified = Arc::<VerifiedSignatures>::default();
        let mut verifier = |keys: LoadedKeys, claims: ClaimRules| {
            let key_sets = keys.sets.into_iter().map(|set| sets.add(set, report)).collect();
            let verifier = Verifier::new(keys.keys.into_iter().map(LoadedKey::into_key).collect());
            let verifier = verifier.with_key_sets(key_sets).with_verified_signatures(verified.clone());
            let accepts_failover = section.failover == Failover::Accept;
            let verifier = if accepts_failover { verifier.with_failover() } else { verifier };
            verifier
                .with_prefix(&section.token_prefix)
                .with_max_token_length(section.max_token_length)
                .with_claim_rules(claims)
                .with_binding_rules(binding.clone())
        };
        let usual = verifier(keys, claims.clone());
        let mut of_origin = |own: OwnRules| {
            let claims = ClaimRules {
                leeway: claims.leeway,
                issuers: own.issuers.unwrap_or_else(|| claims.issuers.clone()),
                audiences: own.audiences.unwrap_or_else(|| claims.audiences.clone()),
            };
            verifier(own.keys, claims)
        };
        let origin_verifiers = of_origins.into_iter().map(|own| own.map(&mut of_origin)).collect();
        let message_signing = section.message_signing.resolve(&token_header, report)?;
        let settings = ApproovSettings {
            message_signing,
            forward_claims: Vec::new(),
            origin_verifiers,
            verifier: usual,
            token_header,
            forward_token: section.forward_token,
            binding_headers,
        };
        Ok((settings, sets.into_settings()))
    }

    /// Checks that headers are not both token and binding, and that a route uses the binding.
    pub fn check_binding(&self, routes: &[Route], report: &Report) {
        let token_header = self.token_header_name();
        let headers = self.binding_headers.as_deref();
        for (index, header) in headers.unwrap_or_default().iter().enumerate() {
            let name = quoted(header.value.as_str());
            if header.value == token_header {
                let hint = "bind tokens to another header, such as Authorization";
                report.problem(&header.at, format!("{name} carries the token itself"), hint);
            }
            if headers.unwrap_or_default()[..index].iter().any(|other| other.value == header.value) {
                report.problem(&header.at, format!("{name} is named twice"), "remove one");
            }
        }
        let is_bound = |route: &Route| {
            route.strategy == Strategy::TokenBinding
                && matches!(route.policy, Policy::Protect | Policy::Observe)
        };
        let is_used = routes.iter().any(is_bound);
        if let (None, true, Some(header)) = (headers, is_used, self.token_header())
            && header.value == DEFAULT_BINDING_HEADER
        {
            let hint = "name another token header, or name binding headers";
            report.problem(&header.at, "it is also the header that tokens are bound to by default", hint);
        }
        if let Some([_, second, ..]) = headers {
            let message = "several bound values are hashed without a separator: \"ab\" and \"c\" hash as \"a\" and \"bc\" do";
            let hint = "bind to one header, unless a client cannot choose these values freely";
            report.warning(&second.at, message, hint);
        }
        if let Some(Located { value: MissingClaim::Accept, at }) = self.section.binding.missing_claim.get() {
            let message = "a token without the binding claim is accepted with any value of the bound header";
            let hint = "write reject, and failover: accept for the tokens of Approov's failover service";
            report.warning(at, message, hint);
        }
        let first = headers.and_then(<[_]>::first).map(|header| &header.at);
        if let (false, Some(at)) = (is_used, first.or(self.binding_claim().map(|claim| &claim.at))) {
            let hint = "set the strategy token-binding for all routes, or for some";
            report.warning(at, "binding is set up, but no route asks for it", hint);
        }
    }
}
