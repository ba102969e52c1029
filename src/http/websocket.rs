//! WebSocket handshakes (RFC 6455 §4).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::grammar::trim_blanks;

/// Appended to the key before it is hashed (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether `key` is a `Sec-WebSocket-Key`: 16 bytes in canonical base64.
pub fn is_websocket_key(key: &[u8]) -> bool {
    STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

/// The `Sec-WebSocket-Accept` that answers `key`. It shows that the origin has read the handshake.
pub fn websocket_accept(key: &[u8]) -> String {
    // RFC 6455 prescribes SHA-1; nothing secret depends on it.
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat()))
}

/// Whether a list such as `Connection` names this option.
pub fn has_option<'v>(mut values: impl Iterator<Item = &'v [u8]>, option: &[u8]) -> bool {
    values.any(|value| {
        value.split(|byte| *byte == b',').any(|item| trim_blanks(item).eq_ignore_ascii_case(option))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_that_of_the_rfc() {
        let accept = websocket_accept(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_canonical_base64() {
        assert!(is_websocket_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for key in [
            "",
            "x",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZR==",
            "AAAA",
            "dGhlIHNhbXBsZSBub25jZQ== ",
        ] {
            assert!(!is_websocket_key(key.as_bytes()), "{key:?}");
        }
    }

    #[test]
    fn options_are_found_in_lists_of_any_form() {
        let has_upgrade =
            |values: &[&str]| has_option(values.iter().map(|value| value.as_bytes()), b"upgrade");
        assert!(has_upgrade(&["Upgrade"]));
        assert!(has_upgrade(&["keep-alive,  UPGRADE\t"]));
        assert!(has_upgrade(&["keep-alive", "upgrade"]));
        assert!(!has_upgrade(&["keep-alive, upgraded", "up grade", ""]));
        assert!(!has_upgrade(&[]));
    }
}
