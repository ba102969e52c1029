//! The values of one header, as the request has them.

/// One header of a request: how often it was sent, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'r> {
    /// The request does not have the header.
    Missing,
    /// The request has the header once, with this value.
    Once(&'r [u8]),
    /// The request has the header more than once.
    Repeated,
}

impl<'r> Presented<'r> {
    /// Counts the values of one header.
    pub fn from_values(values: impl IntoIterator<Item = &'r [u8]>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (None, _) => Presented::Missing,
            (Some(value), None) => Presented::Once(value),
            (Some(_), Some(_)) => Presented::Repeated,
        }
    }
}

/// Removes optional white space (RFC 9110 §5.6.3) on both sides.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
