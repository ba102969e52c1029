//! Request lines (RFC 9112 §3).

use super::grammar::is_token;
use super::target::{is_origin_form, is_target_byte};

/// The three parts of a request line.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'h> {
    /// A token, such as `GET`.
    pub method: &'h [u8],
    /// The target in origin-form; for `CONNECT`, in authority-form.
    pub target: &'h [u8],
    /// `HTTP/1.1`, or whatever stands in its place.
    pub version: &'h [u8],
}

impl<'h> RequestLine<'h> {
    /// The request line of a head. `None` if the first line is not complete or not a request line.
    pub fn of(head: &'h [u8]) -> Option<Self> {
        let end = memchr::memchr(b'\r', head)?;
        Self::split(&head[..end])
    }

    /// Takes one line apart. Exactly one space separates the parts.
    pub fn split(line: &'h [u8]) -> Option<Self> {
        let (method, rest) = split_once(line, b' ')?;
        let (target, version) = split_once(rest, b' ')?;
        let is_target = match method {
            b"CONNECT" => !target.is_empty() && target.iter().all(|byte| is_target_byte(*byte)),
            _ => is_origin_form(target),
        };
        (is_token(method) && is_target).then_some(Self { method, target, version })
    }
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(separator, text)?;
    Some((&text[..at], &text[at + 1..]))
}
