//! `@query-param` (RFC 9421 §2.2.8): one parameter of a form-encoded query.

use crate::http::hex_pair;

/// The value of the parameter with this percent-encoded name, percent-encoded again. `None` if the
/// query does not have the parameter exactly once.
pub(super) fn value(query: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut found = None;
    for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (key, value) = equals.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
        if normal(key) == name.as_bytes() && found.replace(value).is_some() {
            return None;
        }
    }
    found.map(normal)
}

/// Decodes form encoding and encodes the bytes again in the one spelling of the RFC.
fn normal(part: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = Vec::with_capacity(part.len());
    let mut rest = part;
    while let [byte, tail @ ..] = rest {
        let mut decoded = *byte;
        rest = tail;
        if *byte == b'+' {
            decoded = b' ';
        } else if let (b'%', Some(hidden)) = (*byte, hex_pair(tail)) {
            decoded = hidden;
            rest = &tail[2..];
        }
        if decoded.is_ascii_alphanumeric() || b"*-._".contains(&decoded) {
            encoded.push(decoded);
        } else {
            let (high, low) = (decoded >> 4, decoded & 15);
            encoded.extend_from_slice(&[b'%', HEX[usize::from(high)], HEX[usize::from(low)]]);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The queries of RFC 9421 §2.2.8.
    #[test]
    fn gives_the_values_of_the_rfc() {
        let simple = "param=value&foo=bar&baz=batman&qux=";
        let odd = "parameter=this%20is%20a%20big%0Amultiline%20value&\
                   var=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something";
        for (query, name, expected) in [
            (simple, "baz", Some("batman")),
            (simple, "qux", Some("")),
            (simple, "param", Some("value")),
            (simple, "absent", None),
            (odd, "parameter", Some("this%20is%20a%20big%0Amultiline%20value")),
            (odd, "var", Some("with%20plus%20whitespace")),
            (odd, "fa%C3%A7ade%22%3A%20", Some("something")),
            ("a=1&a=2", "a", None),
            ("a=1&%61=2", "a", None),
            ("a=1&&b", "b", Some("")),
            ("a=%zz", "a", Some("%25zz")),
            ("", "a", None),
        ] {
            let found = value(query.as_bytes(), name);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{query} {name}");
        }
    }
}
