//! Texts that mean something, in the file and in the environment alike.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderName;

use crate::approov::{RESERVED_CLAIMS, Strategy};
use crate::policy::{HostPattern, check_plain, is_identity_field};

use super::domain::host_name;
use super::error::{Fault, quoted};
use super::reader::Mapping;

/// The strategies and their names; the last is Approov's own word in some documents.
pub(super) const STRATEGIES: [(&str, Strategy); 3] = [
    ("token", Strategy::Token),
    ("token-binding", Strategy::TokenBinding),
    ("token-with-binding", Strategy::TokenBinding),
];

/// A strategy's usual name.
pub fn strategy_name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Token => "token",
        Strategy::TokenBinding => "token-binding",
    }
}

/// A duration with its unit: `500ms`, `30s`, `2m`, `1h`.
pub(super) fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "" if digits > 0 => {
            return Err(Fault::new(format!("{} has no unit", quoted(text)), format!("write {text}s")));
        }
        _ => None,
    };
    let milliseconds = milliseconds.filter(|_| digits > 0).ok_or_else(|| {
        let message = format!("{} is not a duration", quoted(text));
        Fault::new(message, "write a whole number and a unit: 500ms, 30s, 2m or 1h")
    })?;
    let found = number.parse::<u64>().ok().and_then(|number| number.checked_mul(milliseconds));
    match found.map(Duration::from_millis) {
        Some(found) if range.contains(&found) => Ok(found),
        _ => {
            let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
            Err(Fault::new(
                format!("{} is out of range", quoted(text)),
                format!("write one from {least} to {most}"),
            ))
        }
    }
}

/// A duration as the configuration writes it.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match [("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
        .into_iter()
        .find(|(_, unit)| milliseconds > 0 && milliseconds.is_multiple_of(*unit))
    {
        Some((name, unit)) => format!("{}{name}", milliseconds / unit),
        None if milliseconds == 0 => "0s".to_owned(),
        None => format!("{milliseconds}ms"),
    }
}

/// Header fields that belong to the connection (RFC 9110 §7.6.1), or that frame the message.
const NOT_FOR_TOKENS: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "expect",
];

/// The name of a header that can carry a token, or that a token can be bound to.
pub(super) fn header_name(text: &str) -> Result<HeaderName, Fault> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::new(format!("{} is not a header name", quoted(text)), "write one such as Approov-Token")
    })?;
    if NOT_FOR_TOKENS.contains(&name.as_str()) || is_identity_field(name.as_str()) {
        let message = format!("{} is set or removed on the way", quoted(text));
        return Err(Fault::new(message, "choose a header that the app sends and no proxy touches"));
    }
    Ok(name)
}

/// The claim with the binding hash.
pub(super) fn binding_claim(text: &str) -> Result<String, Fault> {
    if RESERVED_CLAIMS.contains(&text) {
        let message = format!("the claim {} has a meaning of its own", quoted(text));
        return Err(Fault::new(message, "use pay, which Approov writes, or your own name"));
    }
    printable(text)
}

/// Text to be printed in one line: not empty, not long, without control characters.
pub(super) fn printable(text: &str) -> Result<String, Fault> {
    let is_plain = !text.is_empty() && text.len() <= 128 && !text.contains(char::is_control);
    if is_plain && text.trim() == text {
        Ok(text.to_owned())
    } else {
        let message =
            format!("{} is empty, too long, or has control characters or blanks around it", quoted(text));
        Err(Fault::new(message, "write 1 to 128 printable characters"))
    }
}

/// The list of names at `key`; `None` accepts any.
pub(super) fn names(mapping: &Mapping<'_>, key: &'static str) -> Option<Vec<String>> {
    let list = mapping.find(key)?;
    if list.is_empty_list() {
        list.problem("the list is empty", "write what is accepted, or remove the key to accept any");
    }
    let names = list.list_of(|name| name.parse(printable))?;
    Some(names.into_iter().map(|name| name.value).collect())
}

/// A name that a certificate can be for: a host name or an IP address.
pub(super) fn server_name(text: &str) -> Result<Box<str>, Fault> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string().into()),
        Err(_) => host_name(text),
    }
}

/// The word that may precede a token. A blank behind it is understood and may be written.
pub(super) fn token_prefix(text: &str) -> Result<String, Fault> {
    let word = text.trim();
    if word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        Ok(word.to_owned())
    } else {
        let message = format!("{} is not one word", quoted(text));
        Err(Fault::new(message, "write a word such as Bearer, or \"\" for none"))
    }
}

/// The address of a listener.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        let message = format!("{} is not an IP address and port", quoted(text));
        let port = text.rsplit(':').next().unwrap_or_default();
        let mend = match port.parse::<u16>() {
            Ok(port) if text.starts_with("localhost:") => format!("write 127.0.0.1:{port}"),
            Ok(port) => format!("write 127.0.0.1:{port} for this machine only, or 0.0.0.0:{port} for all"),
            Err(_) => "write one such as 127.0.0.1:8787, 0.0.0.0:8787 or [::1]:8787".to_owned(),
        };
        Fault::new(message, mend)
    })
}

/// An HTTP method (RFC 9110 §9.1); the usual ones have upper-case letters only.
pub(super) fn method(text: &str) -> Result<Box<str>, Fault> {
    let is_token = |text: &str| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    if !is_token(text) {
        return Err(Fault::new(format!("{} is not a method", quoted(text)), "write one such as GET or POST"));
    }
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let mend = format!("write {}", text.to_ascii_uppercase());
        return Err(Fault::new(
            format!("{} has lower-case letters; methods are case-sensitive", quoted(text)),
            mend,
        ));
    }
    Ok(text.into())
}

/// A route's host condition: a host name, or `*.` and a domain.
pub(super) fn host_pattern(text: &str) -> Result<HostPattern, Fault> {
    if let Some(domain) = text.strip_prefix("*.") {
        return Ok(HostPattern::Suffix(format!(".{}", host_name(domain)?).into()));
    }
    if text.contains(':') && !text.starts_with('[') {
        let mend = "remove it; a host condition looks at the name only";
        return Err(Fault::new(format!("{} has a port or scheme", quoted(text)), mend));
    }
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && let Ok(address) = address.parse::<std::net::Ipv6Addr>()
    {
        return Ok(HostPattern::Exact(format!("[{address}]").into()));
    }
    Ok(HostPattern::Exact(host_name(text)?))
}

/// A route's path: one that every server reads the same way.
pub(super) fn route_path(text: &str) -> Result<Box<str>, Fault> {
    if !text.starts_with('/') {
        return Err(Fault::new(format!("the path {} does not begin with /", quoted(text)), "write /…"));
    }
    if text.contains(['?', '#']) {
        let mend = "remove it; routes look at the path only";
        return Err(Fault::new("the path has a query or fragment", mend));
    }
    if text.contains('*') {
        let mend = "a path that ends in / takes everything below it; write /v1/ in place of /v1/*";
        return Err(Fault::new("the path has a *, and there are no wildcards in paths", mend));
    }
    check_plain(text.as_bytes()).map_err(|fault| {
        Fault::new(fault.to_string(), "requests with such a path are refused, so that no route can take them")
    })?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_duration(text: &str) -> Result<Duration, Fault> {
        duration(text, Duration::ZERO..=Duration::from_secs(86_400))
    }

    #[test]
    fn durations_have_a_unit_and_print_as_written() {
        let mut cases = 0;
        for (text, milliseconds) in
            [("500ms", 500), ("0s", 0), ("30s", 30_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            let found = any_duration(text).expect(text);
            assert_eq!(found, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(show_duration(found), text);
            cases += 1;
        }
        for (text, mend) in [
            ("30", "write 30s"),
            ("1.5s", "whole number"),
            ("s", "whole number"),
            ("", "whole number"),
            ("-1s", "whole number"),
            ("30 s", "whole number"),
            ("30S", "whole number"),
            ("1d", "whole number"),
            ("25h", "from 0s to 24h"),
            ("99999999999999999999h", "from 0s to 24h"),
            ("9999999999999999999h", "from 0s to 24h"),
        ] {
            let fault = any_duration(text).expect_err(text);
            assert!(fault.mend.contains(mend), "{text}: {fault:?}");
            cases += 1;
        }
        assert_eq!(cases, 16);
    }

    #[test]
    fn tokens_travel_in_headers_that_reach_the_gateway_untouched() {
        assert_eq!(header_name("Approov-Token"), Ok(HeaderName::from_static("approov-token")));
        for name in ["", "a b", "a:", "Host", "TRANSFER-ENCODING", "Content-Length", "X-Forwarded-For", "ä"]
        {
            assert!(header_name(name).is_err(), "{name}");
        }
        let forwarded = ["x-forwarded-for", "x-forwarded-server"];
        for name in NOT_FOR_TOKENS.into_iter().chain(crate::policy::identity_fields()).chain(forwarded) {
            assert!(HeaderName::from_lowercase(name.as_bytes()).is_ok(), "{name} could never be found");
            assert!(header_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn mends_addresses_that_other_tools_take() {
        for (text, mend) in [
            (":8787", "0.0.0.0:8787"),
            ("8787", "127.0.0.1:8787"),
            ("localhost:80", "write 127.0.0.1:80"),
            ("*", "such as"),
            ("127.0.0.1", "such as"),
        ] {
            let fault = listen_address(text).expect_err(text);
            assert!(fault.mend.contains(mend), "{text}: {fault:?}");
        }
        assert!(listen_address("[::1]:0").is_ok());
    }

    #[test]
    fn route_conditions_are_those_a_request_can_meet() {
        assert_eq!(host_pattern("*.Example.com"), Ok(HostPattern::Suffix(".example.com".into())));
        assert_eq!(host_pattern("API.example.com"), Ok(HostPattern::Exact("api.example.com".into())));
        assert_eq!(host_pattern("[::1]"), Ok(HostPattern::Exact("[::1]".into())));
        for text in ["*", "*.", "a.*.b", "a:80", "https://a", "", "*.*.a"] {
            assert!(host_pattern(text).is_err(), "{text}");
        }
        assert!(method("PROPFIND").is_ok());
        assert!(method("get").is_err_and(|fault| fault.mend == "write GET"));
        assert!(method("G ET").is_err() && method("").is_err());
        assert!(route_path("/v1/").is_ok());
        for text in ["v1", "", "/a?b", "/a#b", "/a//b", "/a/../b", "/v1/*", "/%2e"] {
            assert!(route_path(text).is_err(), "{text}");
        }
    }
}
