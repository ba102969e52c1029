//! How the body of a message is framed (RFC 9112 §6).

/// The body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// This many bytes. A request without a length has 0.
    Length(u64),
    /// Chunks, up to the last one.
    Chunked,
}

/// The value of one `Content-Length` field: digits without a leading zero, at most 2⁶⁴−1.
///
/// RFC 9110 §8.6 allows leading zeros. They are refused because some readers take `010` for eight.
pub fn content_length(value: &[u8]) -> Option<u64> {
    let is_plain = match value {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_plain.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_plain_digits_without_leading_zeros() {
        for (value, length) in [("0", 0), ("7", 7), ("10", 10), ("18446744073709551615", u64::MAX)] {
            assert_eq!(content_length(value.as_bytes()), Some(length), "{value}");
        }
        for value in [
            "",
            "00",
            "010",
            "+5",
            "-5",
            " 5",
            "5 ",
            "5,5",
            "0x5",
            "5\r",
            "18446744073709551616",
            "1111111111111111111111111111111111111111",
        ] {
            assert_eq!(content_length(value.as_bytes()), None, "{value:?}");
        }
    }
}
