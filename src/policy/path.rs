//! Paths that every server reads in the same way.

use std::fmt;

use crate::http::hex_pair;

/// Why the origin might read a path as another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// Not in origin-form: it does not begin with `/` (RFC 9112 §3.2.1).
    NotOriginForm,
    /// The path has `//`.
    EmptySegment,
    /// A segment `.` or `..`, in any spelling.
    DotSegment,
    /// `\`, which some servers read as `/`.
    Backslash,
    /// `;`. Some servers ignore the rest of the segment.
    Semicolon,
    /// A `%` without two hexadecimal digits behind it.
    BadEscape,
    /// A letter, a digit, `-`, `.`, `_`, `~` or `/` as an escape, or an escape of an escape.
    HiddenCharacter,
    /// A control character, literal or escaped.
    ControlCharacter,
    /// The decoded path is not UTF-8.
    NotUtf8,
    /// The literal path and the decoded path meet different routes.
    TwoRoutes,
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathFault::NotOriginForm => "the target does not begin with /",
            PathFault::EmptySegment => "the path has an empty segment (//)",
            PathFault::DotSegment => "the path has a dot segment",
            PathFault::Backslash => "the path has a backslash",
            PathFault::Semicolon => "the path has a semicolon",
            PathFault::BadEscape => "the path has a % without two hexadecimal digits",
            PathFault::HiddenCharacter => {
                "the path escapes a character that needs no escape, a slash or an escape"
            }
            PathFault::ControlCharacter => "the path has a control character",
            PathFault::NotUtf8 => "the path is not UTF-8",
            PathFault::TwoRoutes => {
                "the path meets one route as it stands and another with its escapes replaced"
            }
        })
    }
}

/// Checks that no usual normalisation (RFC 3986 §6.2.2: dot segments, escapes of unreserved
/// characters; and the habits of servers: merged slashes, `\`, `;`, double decoding) turns `path`
/// into another one. A path that passes can be judged by its bytes.
///
/// # Errors
/// The first [`PathFault`] found.
pub fn check_plain(path: &[u8]) -> Result<(), PathFault> {
    if path.first() != Some(&b'/') {
        return Err(PathFault::NotOriginForm);
    }
    let mut escaped = false;
    let mut previous = 0;
    let mut bytes = path.iter().copied().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'/' if previous == b'/' => return Err(PathFault::EmptySegment),
            b'/' if is_dot_segment(path, at + 1) => return Err(PathFault::DotSegment),
            b'\\' => return Err(PathFault::Backslash),
            b';' => return Err(PathFault::Semicolon),
            b'%' => {
                check_escape(&path[at + 1..])?;
                escaped = true;
                bytes.nth(1);
            }
            0..=0x20 | 0x7f => return Err(PathFault::ControlCharacter),
            0x80.. => escaped = true,
            _ => {}
        }
        previous = byte;
    }
    if escaped && std::str::from_utf8(&decode(path)).is_err() {
        return Err(PathFault::NotUtf8);
    }
    Ok(())
}

fn is_dot_segment(path: &[u8], start: usize) -> bool {
    let rest = &path[start..];
    let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let mut segment = &rest[..end];
    // Windows ignores blanks at the end of a name.
    while let Some(shorter) = segment.strip_suffix(b"%20") {
        segment = shorter;
    }
    matches!(segment, b"." | b"..")
}

fn check_escape(rest: &[u8]) -> Result<(), PathFault> {
    let byte = hex_pair(rest).ok_or(PathFault::BadEscape)?;
    match byte {
        0..=0x1f | 0x7f => Err(PathFault::ControlCharacter),
        b'\\' => Err(PathFault::Backslash),
        b';' => Err(PathFault::Semicolon),
        b'/' | b'-' | b'.' | b'_' | b'~' => Err(PathFault::HiddenCharacter),
        byte if byte.is_ascii_alphanumeric() => Err(PathFault::HiddenCharacter),
        b'%' if hex_pair(&rest[2..]).is_some() => Err(PathFault::HiddenCharacter),
        _ => Ok(()),
    }
}

/// The path with every well-formed escape decoded.
pub(super) fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, behind @ ..] = rest {
        match (byte, hex_pair(behind)) {
            (b'%', Some(value)) => {
                decoded.push(value);
                rest = &behind[2..];
            }
            _ => {
                decoded.push(*byte);
                rest = behind;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_paths_that_all_servers_read_alike() {
        for path in [
            "/",
            "/v1/posts/1",
            "/a.b/..c/.d./...",
            "/a%20b",
            "/a..%20/%20",
            "/100%25",
            "/caf%C3%A9",
            "/a:b@c,d=e+f!$&'()*",
            "/%E2%82%AC/",
            "/café",
            "/a%25zz",
        ] {
            assert_eq!(check_plain(path.as_bytes()), Ok(()), "{path}");
        }
    }

    #[test]
    fn names_the_fault_of_paths_that_servers_read_differently() {
        use PathFault::*;
        for (path, fault) in [
            ("", NotOriginForm),
            ("*", NotOriginForm),
            ("http://a/b", NotOriginForm),
            ("a/b", NotOriginForm),
            ("//", EmptySegment),
            ("/a//b", EmptySegment),
            ("/.", DotSegment),
            ("/..", DotSegment),
            ("/a/./b", DotSegment),
            ("/a/../b", DotSegment),
            ("/a/..", DotSegment),
            ("/a/..%20/b", DotSegment),
            ("/a/.%20%20", DotSegment),
            ("/a\\b", Backslash),
            ("/a%5cb", Backslash),
            ("/a%5C..%5cb", Backslash),
            ("/a;x", Semicolon),
            ("/..;/b", Semicolon),
            ("/a%3bx", Semicolon),
            ("/%", BadEscape),
            ("/%4", BadEscape),
            ("/%zz", BadEscape),
            ("/a%2", BadEscape),
            ("/%61dmin", HiddenCharacter),
            ("/%2e%2e/b", HiddenCharacter),
            ("/.%2e/b", HiddenCharacter),
            ("/a%2fb", HiddenCharacter),
            ("/a%2Fb", HiddenCharacter),
            ("/a%252fb", HiddenCharacter),
            ("/a%2561", HiddenCharacter),
            ("/a%00", ControlCharacter),
            ("/a%0d%0ab", ControlCharacter),
            ("/a\u{0}", ControlCharacter),
            ("/a b", ControlCharacter),
            ("/%c0%ae%c0%ae/", NotUtf8),
            ("/%ff", NotUtf8),
            ("/%C3", NotUtf8),
        ] {
            assert_eq!(check_plain(path.as_bytes()), Err(fault), "{path}");
        }
        assert_eq!(check_plain(b"/\xff"), Err(NotUtf8));
    }
}
