//! Verification of Approov tokens: is this request from a genuine app?
//!
//! This room is pure: no network, no environment, no log, no clock. A [`Verifier`] is built once from
//! keys and rules. [`Verifier::verify`] takes the headers of a request and the time, and returns a
//! [`TokenJudgement`]. The cheap checks come first. The payload of a token decides nothing before
//! its signature has been verified:
//!
//! 1. presence, size, status words;
//! 2. the three segments and the JOSE header (`token`);
//! 3. the key by `kid` and its algorithm, the signature (`keys`, `key_set`), unless the key has verified it
//!    before (`verified_signatures`);
//! 4. expiry and the other claims (`claims`);
//! 5. the binding to other headers (`binding`).
//!
//! Of a refused token, [`Unverified`] reads two claims for the log.
//!
//! A route can ask for more: conditions on claims ([`Payload::check`]) and a signature over the
//! request itself ([`message_signing`]).

mod algorithm;
mod binding;
mod claims;
mod content_digest;
mod json;
mod judgement;
mod key_set;
mod keys;
pub mod message_signing;
mod payload;
mod presented;
mod rejection;
mod secret;
mod settings;
mod shared_key_set;
mod status;
mod token;
mod unix_time;
mod unverified;
mod verified_signatures;
mod verifier;

pub use algorithm::{Algorithm, KeyType};
pub use binding::{BindingRules, MissingClaim, binding_hash};
pub use claims::{ClaimRules, RESERVED_CLAIMS};
pub use content_digest::{BodyVerifier, ContentDigest, MalformedDigest};
pub use judgement::{Accepted, Device, TokenJudgement};
pub use key_set::{KeySet, KeySetError, KeySetSource, MAX_KEY_SET, MAX_KEYS, SkipReason, SkippedKey};
pub use keys::{Key, KeyError, Role};
pub use payload::{ClaimCondition, Demand, Payload, SigningClaims};
pub use presented::Presented;
pub use rejection::{Rejection, Rejections};
pub use secret::{MIN_SECRET_BYTES, Secret, SecretError};
pub use settings::ApproovSettings;
pub use shared_key_set::SharedKeySet;
pub use status::AppStatus;
pub use unix_time::UnixTime;
pub use unverified::Unverified;
pub use verified_signatures::VerifiedSignatures;
pub use verifier::{DEFAULT_MAX_TOKEN_LENGTH, Strategy, Verifier};
