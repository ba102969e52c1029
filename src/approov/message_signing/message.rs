//! A request in the form in which its client sent it.

use http::HeaderMap;

/// The parts of a request that a signature can cover, before the gateway changes any of them.
#[derive(Clone, Copy)]
pub struct Message<'r> {
    /// The method, as received.
    pub method: &'r [u8],
    /// Whether the client used `https`.
    pub is_secure: bool,
    /// `Host`, `:authority`, or the authority that a trusted proxy reported.
    pub authority: &'r [u8],
    /// Path and query as received.
    pub target: &'r [u8],
    /// The header fields, as received.
    pub fields: &'r dyn Fields,
    /// Whether a body follows the head.
    pub has_body: bool,
}

/// Access to header fields by name.
pub trait Fields {
    /// Calls `each` with every value of a field, in order of arrival. `name` is in lower case.
    fn each_value<'f>(&'f self, name: &str, each: &mut dyn FnMut(&'f [u8]));
}

impl Fields for HeaderMap {
    fn each_value<'f>(&'f self, name: &str, each: &mut dyn FnMut(&'f [u8])) {
        self.get_all(name).iter().for_each(|value| each(value.as_bytes()));
    }
}

/// A list of names and values, as a command reads them from a file.
impl Fields for Vec<(String, Vec<u8>)> {
    fn each_value<'f>(&'f self, name: &str, each: &mut dyn FnMut(&'f [u8])) {
        for (_, value) in self.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)) {
            each(value);
        }
    }
}

impl<'r> Message<'r> {
    /// All values of a field, trimmed and joined with `, ` (RFC 9421 §2.1). `None` if the field is
    /// absent.
    pub(super) fn field(&self, name: &str) -> Option<Vec<u8>> {
        let mut joined: Option<Vec<u8>> = None;
        self.fields.each_value(name, &mut |value| match &mut joined {
            None => joined = Some(value.trim_ascii().to_vec()),
            Some(joined) => {
                joined.extend_from_slice(b", ");
                joined.extend_from_slice(value.trim_ascii());
            }
        });
        joined
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }

    /// The authority in lower case, without the scheme's default port (RFC 9421 §2.2.3).
    pub(super) fn normal_authority(&self) -> Vec<u8> {
        let (host, port) = split_port(self.authority);
        let default_port: &[u8] = if self.is_secure { b"443" } else { b"80" };
        let is_default = port.is_some_and(|port| port.is_empty() || port == default_port);
        let kept = if is_default { host } else { self.authority };
        kept.to_ascii_lowercase()
    }

    /// The path of the target, and the query without its `?`.
    pub(super) fn path_and_query(&self) -> (&'r [u8], Option<&'r [u8]>) {
        match self.target.iter().position(|byte| *byte == b'?') {
            Some(at) => (&self.target[..at], Some(&self.target[at + 1..])),
            None => (self.target, None),
        }
    }
}

/// The host, and the port if a colon follows the host.
pub(super) fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(at) if authority[at + 1..].iter().all(u8::is_ascii_digit) => {
            (&authority[..at], Some(&authority[at + 1..]))
        }
        _ => (authority, None),
    }
}
