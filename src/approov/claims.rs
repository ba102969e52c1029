//! The claims of a token whose signature is good (RFC 7519 §4), and the rules for them.

use std::borrow::Cow;

use super::json::{self, Scalar};
use super::{Rejection, UnixTime};

/// The claims that verification or the access log use.
#[derive(Debug, Default)]
pub(super) struct Claims<'a> {
    expiry: Option<Scalar<'a>>,
    not_before: Option<Scalar<'a>>,
    issuer: Option<Scalar<'a>>,
    audience: Option<Scalar<'a>>,
    /// The claim with the binding hash, which has a configured name.
    pub binding: Option<Scalar<'a>>,
    /// Whether there is a claim `ipk`.
    pub has_install_key: bool,
    device_id: Option<Scalar<'a>>,
    response_code: Option<Scalar<'a>>,
}

/// Claims that have another meaning, so that the binding hash cannot be in them.
pub const RESERVED_CLAIMS: [&str; 8] = ["exp", "nbf", "iss", "aud", "did", "arc", "ipk", "mskid"];

impl<'a> Claims<'a> {
    /// Reads the payload. The binding hash is in the claim `binding`.
    pub fn parse(payload: &'a str, binding: &str) -> Result<Self, Rejection> {
        let mut claims = Self::default();
        json::members(payload, |name, value| {
            let claim = match name {
                "exp" => &mut claims.expiry,
                "nbf" => &mut claims.not_before,
                "iss" => &mut claims.issuer,
                "aud" => &mut claims.audience,
                "did" => &mut claims.device_id,
                "arc" => &mut claims.response_code,
                "ipk" => {
                    claims.has_install_key = true;
                    return Ok(());
                }
                name if name == binding => &mut claims.binding,
                _ => return Ok(()),
            };
            *claim = Some(value);
            Ok(())
        })
        .map_err(|json::InvalidJson| Rejection::MalformedToken)?;
        Ok(claims)
    }

    /// `did`: base64 of 16 bytes that name the device.
    pub fn device_id(&self) -> Option<&str> {
        text(&self.device_id)
    }

    /// `arc`: the attestation response code.
    pub fn response_code(&self) -> Option<&str> {
        text(&self.response_code)
    }
}

/// What the claims of a signed token must satisfy.
#[derive(Clone, Debug, Default)]
pub struct ClaimRules {
    /// Clock difference allowed for `exp` and `nbf`, in seconds.
    pub leeway: f64,
    /// Accepted `iss` values. If empty, any token is accepted, with or without `iss`.
    pub issuers: Vec<String>,
    /// Accepted `aud` values. The token must name one of them. If empty, any token is accepted.
    pub audiences: Vec<String>,
}

impl ClaimRules {
    /// Checks the claims at the time `now`.
    pub(super) fn check(&self, claims: &Claims<'_>, now: UnixTime) -> Result<(), Rejection> {
        let now = now.as_secs();
        match claims.expiry {
            Some(Scalar::Number(expiry)) if expiry + self.leeway > now => {}
            Some(Scalar::Number(_)) => return Err(Rejection::Expired),
            _ => return Err(Rejection::MissingExpiry),
        }
        match claims.not_before {
            None => {}
            Some(Scalar::Number(not_before)) if not_before - self.leeway <= now => {}
            Some(_) => return Err(Rejection::NotYetValid),
        }
        if !self.issuers.is_empty()
            && !text(&claims.issuer).is_some_and(|issuer| contains(&self.issuers, issuer))
        {
            return Err(Rejection::WrongIssuer);
        }
        if !self.audiences.is_empty() && !self.names_audience(&claims.audience) {
            return Err(Rejection::WrongAudience);
        }
        Ok(())
    }

    fn names_audience(&self, claim: &Option<Scalar<'_>>) -> bool {
        match claim {
            Some(Scalar::Text(audience)) => contains(&self.audiences, audience),
            Some(Scalar::Texts(audiences)) => {
                audiences.iter().any(|audience: &Cow<'_, str>| contains(&self.audiences, audience))
            }
            _ => false,
        }
    }
}

fn text<'c>(claim: &'c Option<Scalar<'_>>) -> Option<&'c str> {
    match claim {
        Some(Scalar::Text(text)) => Some(text),
        _ => None,
    }
}

fn contains(list: &[String], value: &str) -> bool {
    list.iter().any(|entry| entry == value)
}
