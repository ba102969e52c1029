//! Keeps credentials, line breaks and escape sequences out of logs.

use std::borrow::Cow;
use std::fmt::Write;

/// The most characters of a client's value that are logged.
const MAX_VALUE: usize = 256;

/// A client's value as it may be logged: without JWTs and control characters, and cut to a maximum length.
pub(super) fn client_value(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MAX_VALUE)]);
    if text.len() <= MAX_VALUE && !text.contains(is_deceptive) && !holds_jwt(&text) {
        return text;
    }
    let mut clean = String::with_capacity(MAX_VALUE + 3);
    for word in text.split_inclusive(|c: char| !is_jwt_character(c)) {
        if holds_jwt(word) {
            clean.push_str("[redacted]");
            clean.extend(word.chars().last().filter(|c| !is_jwt_character(*c)));
        } else {
            clean.push_str(word);
        }
    }
    let mut short: String = escape(&clean).chars().take(MAX_VALUE).collect();
    if clean.chars().count() > MAX_VALUE || bytes.len() > 4 * MAX_VALUE {
        short.push('…');
    }
    Cow::Owned(short)
}

/// Whether a value can be logged unchanged, also between JSON quotation marks: short, visible ASCII without
/// quotation mark and backslash, no JWT.
pub(super) fn is_plain(value: &[u8]) -> bool {
    // Most values are short and without a `J`: a look at a table for each byte is then the cheapest.
    let is_plain = |byte: &u8| PLAIN[usize::from(*byte)];
    value.len() <= MAX_VALUE
        && (value.iter().all(is_plain)
            || value.iter().all(|byte| is_plain(byte) || *byte == b'J')
                && memchr::memmem::find(value, b"eyJ").is_none())
}

/// The bytes that stand for themselves in JSON, except for the `J` that every JWT has.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b'"' | b'\\' | b'J');
        byte += 1;
    }
    plain
};

/// One line of text, with control characters and invisible ones written as escapes.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_deceptive(c) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Whether a message of another crate may quote a request. Such a message is not logged.
pub(super) fn may_hold_credential(message: &str) -> bool {
    const MARKS: [&str; 6] = ["eyj", "authorization", "bearer", "buf:", "token", "header"];
    let lower = message.to_ascii_lowercase();
    MARKS.iter().any(|mark| lower.contains(mark))
}

/// Whether `c` is a control character, or hides or reorders the text around it, or cannot be seen (Unicode's
/// general categories Cc and Cf). No output of the gateway shows one that came from outside.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether the text may contain a JWT: every JWT begins with the base64url of `{"`.
fn holds_jwt(text: &str) -> bool {
    text.contains("eyJ")
}

fn is_jwt_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_tokens_wherever_they_stand() {
        for (value, shown) in [
            ("/v1/posts", "/v1/posts"),
            ("/t/eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln/x", "/t/[redacted]/x"),
            ("eyJhbGciOiJIUzI1NiJ9", "[redacted]"),
            ("a\r\nb\u{1b}[31m", "a\\u{d}\\u{a}b\\u{1b}[31m"),
            ("a\u{2028}b", "a\\u{2028}b"),
        ] {
            assert_eq!(client_value(value.as_bytes()), shown);
            assert_eq!(is_plain(value.as_bytes()), value == shown, "{value}");
        }
    }

    #[test]
    fn bounds_the_length() {
        let long = "x".repeat(100_000);
        assert_eq!(client_value(long.as_bytes()).chars().count(), MAX_VALUE + 1);
        let hidden = format!("{}eyJhbGciOiJIUzI1NiJ9.e30.x", "x".repeat(MAX_VALUE - 3));
        assert!(!client_value(hidden.as_bytes()).contains("eyJ"));
    }

    #[test]
    fn shows_bytes_that_are_no_text() {
        assert_eq!(client_value(b"/\xff"), "/\u{fffd}");
    }
}
