//! Verification as file and environment describe it together.

use std::sync::Arc;

use http::HeaderName;

use super::{ApproovSection, Failover, OwnRules};
use crate::approov::{
    ApproovSettings, BindingRules, ClaimRules, MissingClaim, Strategy, VerifiedSignatures, Verifier,
};
use crate::config::document::{Entries, Located, Report, Reported, Written, quoted, usable};
use crate::config::overrides::TokenOverrides;
use crate::config::sections::key_sets::KeySetList;
use crate::config::sections::keys::{LoadedKey, LoadedKeys};
use crate::key_sets::KeySetSettings;
use crate::policy::{Policy, Route};

const DEFAULT_TOKEN_HEADER: HeaderName = HeaderName::from_static("approov-token");
const DEFAULT_BINDING_HEADER: HeaderName = http::header::AUTHORIZATION;

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
