//! Request targets (RFC 9112 §3.2).

/// Whether a target may have this byte: visible ASCII without `"`, `#`, `<`, `>` and `` ` ``, which
/// RFC 3986 §2 leaves out. No parser changes or cuts such a target.
pub fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`')
}

/// Whether `target` is in origin-form (RFC 9112 §3.2.1): a path that begins with `/`, and a query.
/// Apps send `` ` `` in queries, where parsers keep it.
pub fn is_origin_form(target: &[u8]) -> bool {
    let (path, query) = match memchr::memchr(b'?', target) {
        Some(at) => target.split_at(at),
        None => (target, &b""[..]),
    };
    path.first() == Some(&b'/')
        && path.iter().all(|byte| is_target_byte(*byte))
        && query.iter().all(|byte| is_target_byte(*byte) || *byte == b'`')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_in_origin_form_and_visible() {
        assert!(is_origin_form(b"/a?b=%20{}"));
        assert!(is_origin_form(b"/a?b=^\\`|?"));
        for target in
            ["", "*", "http://a/", "/a b", "/a`b", "/a#b", "/a?#b", "?b", "/a?\"", "/caf\u{e9}", "/\u{0}"]
        {
            assert!(!is_origin_form(target.as_bytes()), "{target:?}");
        }
    }
}
