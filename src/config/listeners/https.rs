//! Redirects to `https://`, and HSTS.

use std::time::Duration;

use super::super::error::{Located, Report};
use super::super::reader::Value;
use super::super::text;
use crate::downstream::Hsts;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What is on or off, with its place.
pub(super) fn switch(value: &Value<'_>) -> Option<Located<bool>> {
    value.boolean().ok().map(|is_on| Located { value: is_on, at: value.at().clone() })
}

/// `hsts`, with its place.
pub(super) fn hsts(value: &Value<'_>) -> Option<Located<Hsts>> {
    let section = value.mapping(&["max_age", "include_subdomains", "preload"]);
    let max_age =
        section.read("max_age", |value| value.parse(|text| text::duration(text, Duration::ZERO..=2 * YEAR)));
    let hsts = Hsts {
        max_age: max_age.map_or(YEAR, |max_age| max_age.value),
        include_subdomains: section.read("include_subdomains", Value::boolean).unwrap_or(false),
        preload: section.read("preload", Value::boolean).unwrap_or(false),
    };
    if hsts.preload && (hsts.max_age < YEAR || !hsts.include_subdomains) {
        // https://hstspreload.org
        let mend = "write max_age: 8760h or more and include_subdomains: true, or remove preload";
        section.problem("browsers take no host into their lists with these values", mend);
    }
    Some(Located { value: hsts, at: value.at().clone() })
}

/// Both have to do with TLS that this listener, or a proxy before it, speaks.
pub(super) fn check(
    has_tls: bool,
    has_proxies: bool,
    redirect: Option<&Located<bool>>,
    hsts: Option<&Located<Hsts>>,
    report: &Report,
) {
    if let (true, Some(Located { value: true, at })) = (has_tls, redirect) {
        let mend = "set it on the listener without tls, and remove it here";
        report.problem(at, "nothing comes to this listener without TLS", mend);
    }
    if let (false, false, Some(Located { at, .. })) = (has_tls, has_proxies, hsts) {
        let mend = "set it on the listener with tls, or name the trusted_proxies that speak TLS";
        report.problem(at, "nothing comes to this listener with TLS (RFC 6797 §7.2)", mend);
    }
}
