//! Message signatures (RFC 9421) as Approov's SDKs make them: was this request sent by the app that
//! the token was issued to?
//!
//! A token that is stolen can be sent by anyone until it expires. A signature ties each request to a
//! key that only the installation or the account has. [`Rules::verify`] judges the signature of one
//! request; the cheap checks come first, so that an unsigned or stale request costs no cryptography:
//!
//! 1. which key the token names (`keys`);
//! 2. the two signature fields (`input`) and what they cover;
//! 3. the times;
//! 4. the signature over the base (`base`), in at most four ways (`deviations`).

mod base;
mod component;
mod deviations;
mod input;
mod judgement;
mod keys;
mod labels;
mod message;
mod query_param;
mod replay;
mod rules;
mod settings;
mod signature;

pub use base::{BaseLine, ShownBase, base_to_sign, shown_base};
pub use judgement::{Mark, SignatureJudgement};
pub use keys::AccountKey;
pub use labels::{Label, Mode, SignatureResult};
pub use message::{Fields, Message};
pub use replay::{ReplayStore, Seen, SignatureId, WhenFull};
pub use rules::Rules;
pub use settings::{MessageSigningSettings, ReplayMode, ReplaySettings};
