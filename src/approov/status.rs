//! The words with which an SDK says why it has no token.

use crate::closed_set::closed_set;

use super::presented::{Presented, trim};

closed_set! {
    /// The value of `Approov-Status`, as a closed set for logs and metrics.
    pub enum AppStatus {
        /// The SDK got a token.
        Success => "success",
        /// The device has no network.
        NoNetwork => "no_network",
        /// The network is too slow or fails.
        PoorNetwork => "poor_network",
        /// The connection to Approov is intercepted. Older SDKs call it `MITM_DETECTED`.
        UntrustedNetwork => "untrusted_network",
        /// The Approov service cannot be reached.
        NoApproovService => "no_approov_service",
        /// Approov refuses the app.
        Rejected => "rejected",
        /// The SDK failed internally.
        InternalError => "internal_error",
        /// The URL is not one that the SDK protects.
        BadUrl => "bad_url",
        /// Any other value, and several values.
        Other => "other",
    }
}

impl AppStatus {
    /// Reads the header. `None` if the request has none.
    pub fn of_header(header: Presented<'_>) -> Option<Self> {
        match header {
            Presented::Missing => None,
            Presented::Once(value) => Some(Self::of_word(trim(value)).unwrap_or(AppStatus::Other)),
            Presented::Repeated => Some(AppStatus::Other),
        }
    }

    /// The status that a word names, in any letter case. `None` for other words.
    pub(super) fn of_word(word: &[u8]) -> Option<Self> {
        if word.eq_ignore_ascii_case(b"mitm_detected") {
            return Some(AppStatus::UntrustedNetwork);
        }
        let mut known = AppStatus::ALL.into_iter().filter(|status| *status != AppStatus::Other);
        known.find(|status| word.eq_ignore_ascii_case(status.label().as_bytes()))
    }
}

/// Whether a header that should carry a secret contains the status of a failed SDK call instead, with or
/// without a scheme word: `Bearer rejected`.
pub(super) fn stands_for_secret(value: &[u8]) -> bool {
    // A status has letters and `_` only. A secret ends in few of them, so most of it is not looked at.
    let before = value.iter().rposition(|byte| !byte.is_ascii_alphabetic() && *byte != b'_');
    let word = match before {
        None => value,
        Some(at) if matches!(value[at], b' ' | b'\t') => &value[at + 1..],
        Some(_) => return false,
    };
    AppStatus::of_word(word).is_some_and(|status| status != AppStatus::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_known_words_in_any_case_and_counts_the_rest_as_other() {
        for (value, expected) in [
            ("success", AppStatus::Success),
            (" NO_NETWORK ", AppStatus::NoNetwork),
            ("MITM_DETECTED", AppStatus::UntrustedNetwork),
            ("other", AppStatus::Other),
            ("", AppStatus::Other),
            ("rejected, rejected", AppStatus::Other),
        ] {
            assert_eq!(AppStatus::of_header(Presented::Once(value.as_bytes())), Some(expected), "{value:?}");
        }
        assert_eq!(AppStatus::of_header(Presented::Missing), None);
        assert_eq!(AppStatus::of_header(Presented::Repeated), Some(AppStatus::Other));
    }

    #[test]
    fn a_failure_in_place_of_a_secret_is_recognised() {
        for value in ["Bearer rejected", "rejected", "Bearer  NO_APPROOV_SERVICE", "untrusted_network"] {
            assert!(stands_for_secret(value.as_bytes()), "{value}");
        }
        for value in ["Bearer rejected1", "Bearer x.rejected", "", "Bearer", "success", "other", "rejected x"]
        {
            assert!(!stands_for_secret(value.as_bytes()), "{value}");
        }
    }
}
