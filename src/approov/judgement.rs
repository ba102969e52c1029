//! The outcome of the verification of a token.

use super::{Payload, Rejection};

/// The outcome of the verification of one request's token.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenJudgement<'r> {
    /// Why the request is not accepted, if it is not.
    pub rejection: Option<Rejection>,
    /// The accepted token, if there is one.
    pub accepted: Option<Accepted<'r>>,
    /// The device that sent the request. Known as soon as a key has verified the signature, even if a later
    /// check rejects the token.
    pub device: Device,
}

/// A token that satisfies every check.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted<'r> {
    /// The part of the token that its signature covers. It is the same for every spelling of the
    /// signature.
    pub signed: &'r [u8],
    /// The claims of the token.
    pub payload: Payload,
    /// Whether this is a token of Approov's failover service, which has neither a binding hash nor an
    /// installation key, and the configuration accepts such tokens.
    pub is_failover: bool,
}

/// What a token with a verified signature says about its sender, for logs and limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The claim `did`, if it is text.
    pub id: Option<Box<str>>,
    /// The claim `arc`, the attestation response code, if it is text.
    pub response_code: Option<Box<str>>,
}
