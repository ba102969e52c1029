//! The page and its data as responses.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::super::response::{response, text};
use super::html::Html;
use super::report::StatusReport;
use super::sections;

/// The page with its style and script. `<!--…-->` are the places of its content.
const PAGE: &str = include_str!("page.html");

/// Only the page's own style and script run, and they reach nothing but this listener.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |tag: &str| {
        let (_, rest) = PAGE.split_once(&format!("<{tag}>")).unwrap_or_default();
        let (content, _) = rest.split_once(&format!("</{tag}>")).unwrap_or_default();
        format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, content.as_bytes())))
    };
    format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("style"),
        hash("script")
    )
});

/// Whether a client asks for a page to look at. Browsers name HTML; programs take anything.
pub(in crate::admin) fn wants_html(fields: &HeaderMap) -> bool {
    let accepted = fields.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        let (kind, parameters) = kind.split_once(';').unwrap_or((kind, ""));
        kind.trim().eq_ignore_ascii_case("text/html") && !parameters.trim().eq_ignore_ascii_case("q=0")
    })
}

/// `/status.json`
pub(in crate::admin) fn json(report: &StatusReport) -> Response<Vec<u8>> {
    match serde_json::to_string(report) {
        Ok(json) => response(StatusCode::OK, "application/json", format!("{json}\n")),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// The status page. `asks_for_token` is whether a change needs the admin token.
pub(in crate::admin) fn page(report: &StatusReport, asks_for_token: bool) -> Response<Vec<u8>> {
    let mut response = response(StatusCode::OK, "text/html; charset=utf-8", write(report, asks_for_token));
    let fields = response.headers_mut();
    // The hashes are base64.
    if let Ok(policy) = HeaderValue::try_from(&**POLICY) {
        fields.insert(CONTENT_SECURITY_POLICY, policy);
    }
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(VARY, HeaderValue::from_static("accept"));
    response
}

fn write(report: &StatusReport, asks_for_token: bool) -> String {
    let mut html = Html::default();
    for part in PAGE.split("<!--") {
        let (place, rest) = part.split_once("-->").unwrap_or(("", part));
        match place {
            "state" => html.text(report.state),
            "colour" => html.raw(match sections::class(report.state) {
                "ok" => "%231f8a5b",
                "warn" => "%23b26a00",
                _ => "%23c2352b",
            }),
            "token" => html.raw(if asks_for_token { "asked" } else { "none" }),
            "time" => html.text(sections::moment(&report.time)),
            "content" => {
                sections::content(report, &mut html);
                &mut html
            }
            _ => &mut html,
        };
        html.raw(rest);
    }
    html.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_small_and_names_nothing_outside() {
        assert!(PAGE.len() < 30_000, "{} bytes", PAGE.len());
        for word in ["http:", "https:", "//", "onclick", " style=", "eval(", "innerHTML", "@import", "url("] {
            assert!(!PAGE.contains(word), "{word}");
        }
        assert!(!POLICY.contains("unsafe"), "{}", *POLICY);
        for tag in ["style", "script"] {
            assert_eq!(PAGE.matches(&format!("<{tag}>")).count(), 1, "{tag}");
        }
    }

    #[test]
    fn browsers_want_html_and_programs_do_not() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("application/json, Text/HTML;q=0.5", true),
            ("*/*", false),
            ("application/json", false),
            ("text/html;q=0", false),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(wants_html(&fields), expected, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }
}
