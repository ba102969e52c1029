//! The bytes of a signature: base64, DER, and the normal one of two equivalent forms.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// An ECDSA signature: r and s, 32 bytes each.
pub(super) type FixedSignature = [u8; 64];

/// The order of the group of P-256 (FIPS 186-5, SP 800-186 §3.2.1.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The longest encoded signature that can be good: DER in base64.
const MAX_ENCODED: usize = 96;

/// Decodes canonical base64 with padding.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_ENCODED {
        return None;
    }
    STANDARD.decode(text).ok()
}

/// An ECDSA signature as r‖s, and whether it was DER.
pub(super) fn ecdsa(bytes: &[u8]) -> Option<(FixedSignature, bool)> {
    match bytes.len() {
        64 => Some((bytes.try_into().ok()?, false)),
        68..=72 => Some((from_der(bytes)?, true)),
        _ => None,
    }
}

/// `SEQUENCE { INTEGER r, INTEGER s }` in DER, and nothing behind it.
fn from_der(bytes: &[u8]) -> Option<FixedSignature> {
    let [0x30, length @ 0..=0x7f, content @ ..] = bytes else { return None };
    if content.len() != usize::from(*length) {
        return None;
    }
    let mut fixed = [0; 64];
    let rest = integer(content, &mut fixed[..32])?;
    let rest = integer(rest, &mut fixed[32..])?;
    rest.is_empty().then_some(fixed)
}

/// Reads a non-negative INTEGER into `number`, right-aligned, and returns what follows it.
fn integer<'d>(der: &'d [u8], number: &mut [u8]) -> Option<&'d [u8]> {
    let [0x02, length @ 0..=0x7f, rest @ ..] = der else { return None };
    let (digits, rest) = rest.split_at_checked(usize::from(*length))?;
    let digits = match digits {
        [] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => return None,
        [0, digits @ ..] if !digits.is_empty() => digits,
        digits => digits,
    };
    let start = number.len().checked_sub(digits.len())?;
    number[start..].copy_from_slice(digits);
    Some(rest)
}

/// The signature with the lower of s and n − s. Both verify, so only this form identifies a signature.
pub(super) fn with_low_s(mut signature: FixedSignature) -> FixedSignature {
    let (_, s) = signature.split_at_mut(32);
    let mut twin = [0; 32];
    let mut borrow = 0;
    for index in (0..32).rev() {
        let difference = i16::from(ORDER[index]) - i16::from(s[index]) - borrow;
        borrow = i16::from(difference < 0);
        // Truncation keeps the digit in base 256.
        twin[index] = difference.rem_euclid(256) as u8;
    }
    if borrow == 0 && twin[..] < s[..] {
        s.copy_from_slice(&twin);
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(hex: &str) -> Option<FixedSignature> {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        from_der(&bytes)
    }

    #[test]
    fn pads_the_integers_of_der() {
        let mut expected = [0; 64];
        (expected[31], expected[63]) = (1, 2);
        assert_eq!(der("3006020101020102"), Some(expected));
        expected[31] = 0x80;
        assert_eq!(der("300702020080020102"), Some(expected));
    }

    #[test]
    fn refuses_what_is_not_der() {
        for hex in [
            "",
            "30",
            "3106020101020102",
            "3080020101020102",
            "308106020101020102",
            "300602010102010200",
            "3009020101020102020103",
            "3006020181020102",
            "30070202000102010200",
            "3007020200010201",
            "3005020002010200",
            "3003020101",
            "30060201010201",
            "3006020101030102",
        ] {
            assert_eq!(der(hex), None, "{hex}");
        }
        let long = format!("3026022101{}020102", "00".repeat(32));
        assert_eq!(der(&long), None, "33 significant bytes");
    }

    #[test]
    fn a_signature_and_its_twin_have_the_same_low_form() {
        let mut low = [7; 64];
        low[32] = 0x10;
        let mut twin = low;
        let mut borrow = 0;
        for index in (0..32).rev() {
            let difference = i16::from(ORDER[index]) - i16::from(low[32 + index]) - borrow;
            borrow = i16::from(difference < 0);
            twin[32 + index] = difference.rem_euclid(256) as u8;
        }
        assert_ne!(low, twin);
        assert_eq!(with_low_s(twin), low);
        assert_eq!(with_low_s(low), low);
    }
}
