//! `check --explain`: what one request would meet.

use super::lines::Lines;
use super::origin;
use super::route::{conditions, verifies};
use crate::cli::{CommandFailure, limits};
use crate::config::{Settings, strategy_name};
use crate::policy::{ClientCertificate, Policy};
use crate::tls::Certificate;

/// Explains what a request with this method and URL would meet. `certificate` is the certificate of its
/// client.
///
/// # Errors
/// [`CommandFailure::Usage`] if `url` is neither a path nor an `http` or `https` URL.
pub fn explain(
    settings: &Settings,
    method: &str,
    url: &str,
    certificate: Option<&Certificate>,
) -> Result<String, CommandFailure> {
    let (host, path) = host_and_path(url)?;
    let mut out = Lines::default();
    out.line(format_args!(
        "request   {method} {path}{}",
        host.map_or(String::new(), |host| format!(" at {host}"))
    ));
    if let Some(shown) = certificate {
        out.line(format_args!("client    {}, if that is verified", shown.subject));
    }
    let shown = certificate.map(ClientCertificate::from);
    let found = settings.routes.find(method, host.unwrap_or_default().as_bytes(), path.as_bytes(), shown);
    let found = match found {
        Ok(found) => found,
        Err(fault) => {
            out.line(format_args!("answer    400: {fault}, and servers do not read such paths alike"));
            return Ok(out.into_text());
        }
    };
    let Some((index, route)) = found else {
        out.line(format_args!("answer    no route: 404"));
        hint_at_more(&mut out, settings, host, certificate);
        return Ok(out.into_text());
    };
    let total = settings.routes.routes().len();
    out.line(format_args!(
        "route     {} (number {} of {total}: {})",
        route.name,
        index + 1,
        conditions(route)
    ));
    let meaning = match route.policy {
        Policy::Protect => "verify the token and refuse what fails",
        Policy::Observe => "verify the token, count, and forward whatever the verdict",
        Policy::Open => "forward without verifying",
        Policy::Deny => "refuse",
    };
    out.line(format_args!("policy    {}: {meaning}", route.policy.label()));
    if verifies(route.policy) {
        out.line(format_args!("strategy  {}", strategy_name(route.strategy)));
    }
    if let (false, Some(found)) = (route.policy == Policy::Deny, settings.origins.get(route.origin)) {
        out.line(format_args!("origin    {} {}", found.name, origin::url(found)));
        for line in origin::peculiarities(settings, route.origin) {
            out.line(format_args!("          {line}"));
        }
        out.line(format_args!("          time limits: {}", origin::time_limits(found)));
    }
    for (number, limit) in limits::of_route(&settings.limits, index, route).iter().enumerate() {
        let name = if number == 0 { "limits" } else { "" };
        out.line(format_args!("{name:<9} {limit}"));
    }
    hint_at_more(&mut out, settings, host, certificate);
    Ok(out.into_text())
}

/// The host of a URL, if it has one, and the path without the query.
fn host_and_path(url: &str) -> Result<(Option<&str>, &str), CommandFailure> {
    let scheme = |name: &str| {
        let (scheme, rest) = url.split_once("://")?;
        scheme.eq_ignore_ascii_case(name).then_some(rest)
    };
    let target = url.split(['?', '#']).next().unwrap_or_default();
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let rest = scheme("https").or_else(|| scheme("http")).ok_or_else(|| {
        CommandFailure::Usage(
            "--explain takes a method and a path that begins with /, or a URL with http:// or https://"
                .into(),
        )
    })?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    match rest.find('/') {
        Some(slash) => Ok((Some(&rest[..slash]), &rest[slash..])),
        None => Ok((Some(rest), "/")),
    }
}

/// Says that the answer may depend on a host or a client certificate that was not given.
fn hint_at_more(out: &mut Lines, settings: &Settings, host: Option<&str>, certificate: Option<&Certificate>) {
    let routes = settings.routes.routes();
    if host.is_none() && routes.iter().any(|route| !route.hosts.is_empty()) {
        out.line(format_args!("hint      some routes look at the host: give a whole URL to try them"));
    }
    if certificate.is_none() && routes.iter().any(|route| route.client_certificate.is_some()) {
        out.line(format_args!(
            "hint      some routes look at the client's certificate: name one with --client-certificate to try them"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::settings;
    use super::*;

    #[test]
    fn explains_what_a_request_meets() {
        let settings = settings();
        for (method, url, expected) in [
            ("GET", "/health?x=/v1/", "route     /health (number 1 of 4: GET|HEAD /health)"),
            ("GET", "/health", "policy    open: forward without verifying"),
            ("POST", "/health", "answer    no route: 404"),
            ("GET", "https://a.example/v1/posts#x", "route     v1 (number 2 of 4: /v1/*)"),
            ("GET", "/v1/posts", "strategy  token-binding"),
            ("GET", "/v1/posts", "origin    api https://api.example.com:443"),
            ("GET", "/v1/posts", "limits    by address: 1000/s, burst 2000\n"),
            (
                "GET",
                "/v1/posts",
                "\n          by device: 5/m, burst 3 (posting)\n          at once 10000, of one address 1000\n",
            ),
            ("GET", "/v1/posts", "\n          header 64KiB in 100 fields, target 8KiB, body 1MiB\n"),
            (
                "GET",
                "/health",
                "limits    by address: 1000/s, burst 2000\n          at once 9000, of one address 1000\n",
            ),
            ("GET", "/health", "\n          header 64KiB in 100 fields, target 8KiB, body 2GiB\n"),
            ("GET", "/v1/posts", "hint      some routes look at the host"),
            ("GET", "https://x.CDN.example.com:443/files/a", "origin    files http://[::1]:8080"),
            ("GET", "/files/a", "answer    no route: 404"),
            ("GET", "HTTPS://a.example", "request   GET / at a.example"),
            ("GET", "/v1/../health", "answer    400: the path has a dot segment"),
        ] {
            let text = explain(&settings, method, url, None).expect(url);
            assert!(text.contains(expected), "{method} {url}: {text}");
        }
    }

    #[test]
    fn explains_nothing_that_is_no_url() {
        let settings = settings();
        for url in ["", "v1", "ftp://a/b", "*"] {
            assert!(matches!(explain(&settings, "GET", url, None), Err(CommandFailure::Usage(_))), "{url}");
        }
    }
}
