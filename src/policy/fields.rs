//! Header fields that only the gateway may set.

use http::HeaderName;

/// Fields that name the client, the host or the target in place of the connection, the `Host` field or
/// the request line, and fields that make a client part of the origin's traces. Origins, their proxies and their frameworks believe them. Sorted.
const IDENTITY: [&str; 46] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-ew-via",
    "cf-pseudo-ipv4",
    "cf-visitor",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "incap-client-ip",
    "proxy",
    "proxy-client-ip",
    "remote-addr",
    "traceparent",
    "tracestate",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-user-ip",
    "x-arr-clientcert",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-cert",
    "x-client-ip",
    "x-clientip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-host",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-rewrite-url",
    "x-url-scheme",
    "x-wap-profile-ip",
];

/// Fields with which a framework replaces the method of the request line. Sorted.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// Beginnings of names of identity fields.
const PREFIXES: [&str; 4] = ["ssl-client-", "x-client-cert-", "x-forwarded", "x-ssl-client-"];

/// The longest name that is looked up. A longer one is judged by its beginning.
const LONGEST: usize = 64;

/// The fields that are removed from every request, because a client could forge its identity or its
/// method with them. Each is removed in every spelling: CGI maps every character outside `[A-Za-z0-9]` to
/// `_` (RFC 3875 §4.1.18), so `x.real.ip` and `x_real_ip` collide with `x-real-ip`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedFields {
    kept: Vec<HeaderName>,
}

impl RemovedFields {
    /// All of them except `kept`, which the operator wants to reach the origin. Other spellings of a kept
    /// field are still removed.
    pub fn except(kept: Vec<HeaderName>) -> Self {
        Self { kept }
    }

    /// Whether the field of this name is removed.
    pub fn contains(&self, name: &[u8]) -> bool {
        let mut space = [0; LONGEST];
        let Some(plain) = plain_spelling(name, &mut space) else { return false };
        is_listed(plain) && !self.kept.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_str().as_bytes()))
    }
}

/// Whether a field of this name is removed from requests, unless the operator keeps it. `name` is in lower
/// case.
pub fn is_identity_field(name: &str) -> bool {
    is_listed(name)
}

/// The names of all identity headers.
pub fn identity_fields() -> impl Iterator<Item = &'static str> {
    IDENTITY.into_iter().chain(METHOD_OVERRIDES)
}

/// The beginning of `name` in lower case and with `-` for every other mark. `None` if it is not ASCII.
pub fn plain_spelling<'s>(name: &[u8], space: &'s mut [u8; LONGEST]) -> Option<&'s str> {
    let length = name.len().min(LONGEST);
    for (plain, byte) in space.iter_mut().zip(name) {
        *plain = if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    }
    std::str::from_utf8(&space[..length]).ok()
}

fn is_listed(plain: &str) -> bool {
    PREFIXES.iter().any(|prefix| plain.starts_with(prefix))
        || IDENTITY.binary_search(&plain).is_ok()
        || METHOD_OVERRIDES.contains(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_plain() {
        assert!(IDENTITY.is_sorted() && METHOD_OVERRIDES.is_sorted() && PREFIXES.is_sorted());
        for name in identity_fields() {
            let mut space = [0; LONGEST];
            assert_eq!(plain_spelling(name.as_bytes(), &mut space), Some(name));
            assert!(!PREFIXES.iter().any(|prefix| name.starts_with(prefix)), "{name} is listed twice");
        }
    }

    #[test]
    fn every_spelling_of_a_listed_field_is_removed() {
        let removed = RemovedFields::default();
        for name in [
            "X-Real-IP",
            "x_real_ip",
            "X.Real.IP",
            "x-real_ip",
            "X-Forwarded-Anything",
            "x_forwarded_for",
            "X-HTTP-Method-Override",
            "x_http_method",
            "SSL_CLIENT_CERT",
            "X-SSL-Client-Verify",
            "Proxy",
        ] {
            assert!(removed.contains(name.as_bytes()), "{name}");
        }
        for name in ["X-Real-IPs", "Client", "X-Method", "Proxy-Authorization", "User-Agent", "X-Hosted"] {
            assert!(!removed.contains(name.as_bytes()), "{name}");
        }
        let long = format!("X-Forwarded-{}", "a".repeat(100));
        assert!(removed.contains(long.as_bytes()));
    }

    #[test]
    fn a_kept_field_passes_in_its_own_spelling_only() {
        let removed = RemovedFields::except(vec![HeaderName::from_static("x-client-cert")]);
        assert!(!removed.contains(b"X-Client-Cert"));
        for name in ["x_client_cert", "X.Client.Cert", "X-Client-Cert-Chain", "X-Real-IP"] {
            assert!(removed.contains(name.as_bytes()), "{name}");
        }
    }
}
