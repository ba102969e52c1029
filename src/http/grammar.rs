//! Tokens and field values (RFC 9110 §5.5, §5.6).

/// Whether `text` is a token (RFC 9110 §5.6.2): a method, a field name, a transfer coding.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TOKEN[usize::from(*byte)])
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128u8 {
        let is_mark = matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        table[byte as usize] = byte.is_ascii_alphanumeric() || is_mark;
        byte += 1;
    }
    table
};

/// Whether `value` has no control character except tabs (RFC 9110 §5.5).
///
/// The loop has no early exit: the compiler then tests sixteen bytes at a time, and tokens are long.
pub fn is_field_value(value: &[u8]) -> bool {
    value.iter().fold(true, |is_value, byte| is_value & (*byte >= b' ' && *byte != 0x7f || *byte == b'\t'))
}

/// Removes the blanks around a value (RFC 9110 §5.6.3): spaces and tabs, no other white space.
pub fn trim_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The byte that two hexadecimal digits at the start of `text` stand for.
pub fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_separator() {
        assert!(is_token(b"X-a_b.c!#$%&'*+^`|~09"));
        for text in ["", "a b", "a:b", "a(", "a,b", "a/b", "a\"", "caf\u{e9}", "a\0"] {
            assert!(!is_token(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn a_value_may_have_tabs_and_high_bytes_and_no_control_character() {
        assert!(is_field_value("\tcaf\u{e9} b\t".as_bytes()));
        for byte in (0..b' ').chain([0x7f]).filter(|byte| *byte != b'\t') {
            assert!(!is_field_value(&[b'a', byte]), "{byte}");
        }
    }

    #[test]
    fn only_spaces_and_tabs_are_trimmed() {
        assert_eq!(trim_blanks(b" \t a b\t "), b"a b");
        assert_eq!(trim_blanks(b"\x0ca\r"), b"\x0ca\r");
        assert_eq!(trim_blanks(b" \t"), b"");
    }
}
