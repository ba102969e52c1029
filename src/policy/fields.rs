//! Header fields that only the gateway may speak through.

/// Fields by which others tell who the client is, or which target it asked for in place of that in
/// the request line. What a client claims does not count; see [`is_claim`] for `X-Forwarded-*`.
pub const CLAIMS: [&str; 10] = [
    "forwarded",
    "forwarded-for",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "fastly-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-url",
    "x-rewrite-url",
];

const X_FORWARDED: &str = "x-forwarded";

/// Whether the field of this name, in lower case, is removed from every request.
pub fn is_claim(name: &str) -> bool {
    name.starts_with(X_FORWARDED) || CLAIMS.contains(&name)
}
