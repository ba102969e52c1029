//! The closed sets of message signatures.

use crate::closed_set::closed_set;

closed_set! {
    /// What a route does with message signatures.
    #[derive(Default)]
    pub enum Mode {
        /// It does not look at them.
        #[default]
        Off => "off",
        /// It verifies and counts them, and refuses nothing.
        Observe => "observe",
        /// It refuses a request whose token names a key, unless that key signed the request.
        WhenKeyed => "when_keyed",
        /// It refuses a request that is not signed.
        Required => "required",
    }
}

closed_set! {
    /// The name of a signature in its dictionary, in metrics and in logs. It tells whose key signed.
    pub enum Label {
        /// The installation, with the key of the claim `ipk`.
        Install => "install",
        /// The account, with the key that the claim `mskid` names.
        Account => "account",
    }
}

impl Label {
    /// The name of its algorithm (RFC 9421 §3.3).
    pub fn algorithm(self) -> &'static str {
        match self {
            Label::Install => "ecdsa-p256-sha256",
            Label::Account => "hmac-sha256",
        }
    }
}

closed_set! {
    /// How the verification of one request ended: a label of metrics and logs.
    pub enum SignatureResult {
        /// The signature is good, and made as the RFC says.
        Valid => "valid",
        /// The signature is good for a client that deviates from the RFC in a known way.
        Compat => "compat",
        /// The token names no key.
        NoKey => "no_key",
        /// The token names a key and the request is not signed.
        Missing => "missing",
        /// The signature is not good.
        Invalid => "invalid",
        /// The signature was accepted before.
        Replayed => "replayed",
    }
}
