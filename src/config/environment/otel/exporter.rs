//! The variables of the export of spans: where they are sent, with which headers and attributes.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::Otel;
use crate::config::document::{Location, quoted, whole_number};
use crate::config::environment::variables::{
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_SCHEDULE_DELAY, OTEL_COMPRESSION,
    OTEL_ENDPOINT, OTEL_HEADERS, OTEL_PROTOCOL, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME, OTEL_TIMEOUT,
    OTEL_TRACES_ENDPOINT, OTEL_TRACES_EXPORTER, OTEL_UNSUPPORTED,
};
use crate::config::sections;
use crate::config::values::server_url;
use crate::http::hex_pair;
use crate::otlp::OtlpSettings;

impl Otel<'_> {
    /// Where spans are sent; `None` if they are not.
    pub(super) fn exporter(&self) -> Option<OtlpSettings> {
        let is_addressed =
            [OTEL_TRACES_ENDPOINT, OTEL_ENDPOINT].iter().any(|name| self.value(name).is_some());
        match self.value(OTEL_TRACES_EXPORTER) {
            Some("otlp") => {}
            None if is_addressed => {}
            None | Some("none") => return None,
            Some(other) => {
                let message = format!("{} is not supported, so no spans are exported", quoted(other));
                self.warn(OTEL_TRACES_EXPORTER, message, "write otlp or none");
                return None;
            }
        }
        if !cfg!(feature = "otlp") {
            let message = "this build cannot export spans: it has no feature `otlp`";
            self.warn(OTEL_TRACES_EXPORTER, message, "build with --features otlp, or unset it");
            return None;
        }
        for name in OTEL_UNSUPPORTED.into_iter().filter(|name| self.value(name).is_some()) {
            self.warn(name, "it is not supported", "set SSL_CERT_FILE for another authority, or unset it");
        }
        self.only(OTEL_PROTOCOL, "http/protobuf", "point the endpoint at the collector's HTTP port, 4318");
        self.only(OTEL_COMPRESSION, "none", "unset it");
        let (name, url) = match (self.value(OTEL_TRACES_ENDPOINT), self.value(OTEL_ENDPOINT)) {
            (Some(whole), _) => (OTEL_TRACES_ENDPOINT, whole.to_owned()),
            (None, Some(base)) => (OTEL_ENDPOINT, format!("{}/v1/traces", base.trim_end_matches('/'))),
            (None, None) => (OTEL_ENDPOINT, "http://localhost:4318/v1/traces".to_owned()),
        };
        let at = Location::variable(name);
        let url = server_url(&url, "write a URL such as http://localhost:4318")
            .map_err(|fault| self.report.fault(&at, fault))
            .ok()?;
        let milliseconds = |name, default| Duration::from_millis(self.number(name, default) as u64);
        let queue = self.number(OTEL_BSP_MAX_QUEUE_SIZE, 2048);
        let timeout = self.first(OTEL_TIMEOUT).map_or(OTEL_TIMEOUT[1], |(name, _)| name);
        Some(OtlpSettings {
            server: sections::server(&url, &at, self.report).ok()?,
            target: url.target,
            headers: self.headers(),
            timeout: milliseconds(timeout, 10_000),
            resource: self.resource(),
            queue,
            delay: milliseconds(OTEL_BSP_SCHEDULE_DELAY, 5000),
            batch: self.number(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, 512).min(queue),
        })
    }

    fn number(&self, name: &'static str, default: usize) -> usize {
        let Some(text) = self.value(name) else { return default };
        whole_number(text, 1..=10_000_000).unwrap_or_else(|_| {
            let message = format!("{} is not a whole number from 1, so {default} is used", quoted(text));
            self.warn(name, message, "write a number, or unset it");
            default
        })
    }

    /// The headers of exports. Their values may be secrets, so problems do not show them.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let Some((name, text)) = self.first(OTEL_HEADERS) else { return Vec::new() };
        let header = |(key, value): (&str, String)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(key).ok()?, value))
        };
        let mut headers = Vec::new();
        for (number, pair) in pairs(text).enumerate() {
            match pair.and_then(header) {
                Some(header) => headers.push(header),
                None => {
                    let message = format!("entry {} is not a header, and is not sent", number + 1);
                    self.warn(name, message, "write name=value,name=value with percent-encoded values");
                }
            }
        }
        headers
    }

    fn resource(&self) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        for (number, pair) in pairs(self.value(OTEL_RESOURCE_ATTRIBUTES).unwrap_or_default()).enumerate() {
            match pair {
                Some((key, value)) => attributes.push((key.to_owned(), value)),
                None => {
                    let message = format!("entry {} is not an attribute, and is left out", number + 1);
                    let hint = "write name=value,name=value with percent-encoded values";
                    self.warn(OTEL_RESOURCE_ATTRIBUTES, message, hint);
                }
            }
        }
        let name = self.value(OTEL_SERVICE_NAME);
        if name.is_some() || !attributes.iter().any(|(key, _)| key == "service.name") {
            attributes.retain(|(key, _)| key != "service.name");
            let name = name.unwrap_or(env!("CARGO_PKG_NAME"));
            attributes.push(("service.name".to_owned(), name.to_owned()));
        }
        attributes.push(("service.version".to_owned(), crate::VERSION.to_owned()));
        attributes
    }
}

/// The pairs of a list `name=value,name=value` whose values are percent-encoded, as in `baggage`. `None` for
/// an entry that is not such a pair.
fn pairs(text: &str) -> impl Iterator<Item = Option<(&str, String)>> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(|entry| {
        let (name, value) = entry.split_once('=')?;
        let is_named = !name.trim().is_empty();
        is_named.then_some((name.trim(), percent_decoded(value.trim())?))
    })
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            bytes.push(hex_pair(rest)?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(all(test, feature = "otlp"))]
mod tests {
    use super::super::tests::all;
    use super::*;
    use crate::config::environment::variables::OTEL_SDK_DISABLED;

    #[test]
    fn an_endpoint_switches_the_export_on_and_the_more_exact_variable_goes_before() {
        let url = |pairs: &[(&str, &str)]| {
            let (read, warnings) = all(pairs);
            assert!(warnings.is_empty(), "{warnings:?}");
            assert_eq!(read.tracing.is_some_and(|tracing| tracing.is_exported), read.exporter.is_some());
            read.exporter.map(|exporter| exporter.server.base_url() + &exporter.target)
        };
        for (pairs, expected) in [
            (&[(OTEL_ENDPOINT, "http://collector:4318")][..], Some("http://collector:4318/v1/traces")),
            (&[(OTEL_ENDPOINT, "https://c/base/")], Some("https://c/base/v1/traces")),
            (&[(OTEL_ENDPOINT, "https://c"), (OTEL_TRACES_ENDPOINT, "http://d/x")], Some("http://d/x")),
            (&[(OTEL_TRACES_EXPORTER, "otlp")], Some("http://localhost:4318/v1/traces")),
            (&[(OTEL_TRACES_EXPORTER, "none"), (OTEL_ENDPOINT, "http://c")], None),
            (&[(OTEL_SDK_DISABLED, "true"), (OTEL_ENDPOINT, "http://c")], None),
            (&[(OTEL_SERVICE_NAME, "edge")], None),
        ] {
            assert_eq!(url(pairs).as_deref(), expected, "{pairs:?}");
        }
    }

    #[test]
    fn headers_and_attributes_are_decoded_and_no_value_is_shown() {
        let secret = "c2VjcmV0";
        let (read, warnings) = all(&[
            (OTEL_ENDPOINT, "http://c"),
            (OTEL_HEADERS[1], &format!("api-key=a%20{secret},bad name={secret},x")),
            (OTEL_RESOURCE_ATTRIBUTES, "service.name=x,deployment.environment.name=prod%2C1"),
            (OTEL_SERVICE_NAME, "edge"),
            (OTEL_TIMEOUT[1], "250"),
        ]);
        let exporter = read.exporter.expect("an exporter");
        let value = HeaderValue::from_str(&format!("a {secret}")).expect("a value");
        assert_eq!(exporter.headers, [(HeaderName::from_static("api-key"), value)]);
        assert_eq!(exporter.timeout, Duration::from_millis(250));
        let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            attribute("deployment.environment.name", "prod,1"),
            attribute("service.name", "edge"),
            attribute("service.version", crate::VERSION),
        ];
        assert_eq!(exporter.resource, expected);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(!format!("{exporter:?}{warnings:?}").contains(secret));
    }

    #[test]
    fn settings_that_are_not_supported_are_reported() {
        for (name, value, expected) in [
            (OTEL_PROTOCOL[1], "grpc", "`grpc` is not supported, so http/protobuf is used"),
            (OTEL_COMPRESSION[0], "gzip", "`gzip` is not supported, so none is used"),
            (OTEL_TIMEOUT[0], "10s", "`10s` is not a whole number from 1, so 10000 is used"),
            (OTEL_UNSUPPORTED[1], "/ca.pem", "it is not supported"),
            (OTEL_TRACES_EXPORTER, "zipkin", "`zipkin` is not supported, so no spans are exported"),
        ] {
            let (_, warnings) = all(&[(OTEL_ENDPOINT, "http://c"), (name, value)]);
            let [warning] = &warnings[..] else { panic!("{name}: {warnings:?}") };
            assert!(warning.starts_with(&format!("{name}: {expected}")), "{warning}");
        }
    }
}
