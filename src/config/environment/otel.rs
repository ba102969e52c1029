//! OpenTelemetry's standard variables. An empty variable counts as unset, and a value that is not supported
//! is a warning, as OpenTelemetry's specification asks ("Environment Variable Specification").

use std::ffi::OsStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::variables::{
    OTEL, OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_SCHEDULE_DELAY, OTEL_COMPRESSION,
    OTEL_ENDPOINT, OTEL_HEADERS, OTEL_PROPAGATORS, OTEL_PROTOCOL, OTEL_RESOURCE_ATTRIBUTES,
    OTEL_SDK_DISABLED, OTEL_SERVICE_NAME, OTEL_TIMEOUT, OTEL_TRACES_ENDPOINT, OTEL_TRACES_EXPORTER,
    OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_UNSUPPORTED, VARIABLES,
};
use super::{Environment, Report};
use crate::config::document::{Location, quoted, whole_number};
use crate::config::overrides::OtelOverrides;
use crate::config::sections;
use crate::config::values::server_url;
use crate::http::hex_pair;
use crate::otlp::OtlpSettings;
use crate::proxy::{Sampler, Tracing};

/// Reads the variables of one environment.
pub(super) struct Otel<'e> {
    pub environment: &'e Environment,
    pub report: &'e Report,
}

impl Otel<'_> {
    /// The settings of all variables.
    pub fn read(&self) -> OtelOverrides {
        self.check_texts();
        if self.is_disabled() {
            return OtelOverrides { tracing: None, exporter: None };
        }
        let exporter = self.exporter();
        let (is_propagated, is_exported) = (self.propagates(), exporter.is_some());
        let is_propagated = is_propagated.unwrap_or(is_exported);
        let sampler = self.sampler();
        let is_on = is_propagated || is_exported;
        if let (false, Some(_)) = (is_on, sampler) {
            self.warn(
                OTEL_TRACES_SAMPLER,
                "the gateway takes no part in traces",
                "set OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_PROPAGATORS=tracecontext, or unset it",
            );
        }
        let sampler = sampler.unwrap_or(Sampler::DEFAULT);
        let tracing = is_on.then_some(Tracing { sampler, is_exported, is_propagated });
        OtelOverrides { tracing, exporter }
    }

    /// Where spans are sent; `None` if they are not.
    fn exporter(&self) -> Option<OtlpSettings> {
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

    /// The first of these variables that is set.
    fn first(&self, names: [&'static str; 2]) -> Option<(&'static str, &str)> {
        names.into_iter().find_map(|name| Some((name, self.value(name)?)))
    }

    /// Reports a value other than the only one that is supported.
    fn only(&self, names: [&'static str; 2], supported: &str, hint: &'static str) {
        if let Some((name, value)) = self.first(names).filter(|(_, value)| *value != supported) {
            let message = format!("{} is not supported, so {supported} is used", quoted(value));
            self.warn(name, message, hint);
        }
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

    /// Reports variables that are not UTF-8, whether or not they are used.
    fn check_texts(&self) {
        let listed = VARIABLES.iter().map(|variable| variable.name);
        let for_traces = [OTEL_HEADERS, OTEL_PROTOCOL, OTEL_TIMEOUT, OTEL_COMPRESSION].map(|names| names[0]);
        for name in listed.filter(|name| name.starts_with(OTEL)).chain(for_traces) {
            let value = self.environment.0.get(OsStr::new(name));
            if value.is_some_and(|value| value.to_str().is_none()) {
                self.report.problem(&Location::variable(name), "it is not UTF-8", "write it as UTF-8");
            }
        }
    }

    fn is_disabled(&self) -> bool {
        match self.value(OTEL_SDK_DISABLED) {
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if !value.eq_ignore_ascii_case("false") => {
                let message = format!("{} counts as false", quoted(value));
                self.warn(OTEL_SDK_DISABLED, message, "write true or false");
                false
            }
            _ => false,
        }
    }

    /// Whether trace contexts are propagated; `None` if the variable is not set.
    fn propagates(&self) -> Option<bool> {
        let mut is_propagated = false;
        for name in self.value(OTEL_PROPAGATORS)?.split(',').map(str::trim) {
            match name {
                "tracecontext" => is_propagated = true,
                // A `baggage` field is passed on like any other, with or without this word.
                "baggage" | "none" | "" => {}
                other => {
                    let message = format!("{} is not supported", quoted(other));
                    self.warn(OTEL_PROPAGATORS, message, "write tracecontext or none");
                }
            }
        }
        Some(is_propagated)
    }

    fn sampler(&self) -> Option<Sampler> {
        let name = self.value(OTEL_TRACES_SAMPLER)?;
        let (is_parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let share = match root {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.share(),
            _ => {
                let message = format!("{} is not supported, so parentbased_always_on is used", quoted(name));
                let hint = "write always_on, always_off or traceidratio; the prefix parentbased_ is allowed";
                self.warn(OTEL_TRACES_SAMPLER, message, hint);
                return Some(Sampler::DEFAULT);
            }
        };
        Some(Sampler::ratio(share, is_parent_based))
    }

    fn share(&self) -> f64 {
        let Some(text) = self.value(OTEL_TRACES_SAMPLER_ARG) else { return 1.0 };
        match text.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) => share,
            _ => {
                let message = format!("{} is not a number from 0 to 1, so 1 is used", quoted(text));
                self.warn(OTEL_TRACES_SAMPLER_ARG, message, "write one such as 0.01");
                1.0
            }
        }
    }

    /// The value of a variable that is set and not empty.
    fn value(&self, name: &'static str) -> Option<&str> {
        let text = self.environment.0.get(OsStr::new(name))?.to_str();
        text.map(str::trim).filter(|text| !text.is_empty())
    }

    fn warn(&self, name: &'static str, message: impl Into<String>, hint: &'static str) {
        self.report.warning(&Location::variable(name), message, hint);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pairs: &[(&str, &str)]) -> (OtelOverrides, Vec<String>) {
        let (environment, report) = (Environment::from_pairs(pairs.iter().copied()), Report::default());
        let read = Otel { environment: &environment, report: &report }.read();
        let (read, warnings, _) = report.finish(Ok(read)).expect("no problems");
        (read, warnings.iter().map(ToString::to_string).collect())
    }

    fn read(pairs: &[(&str, &str)]) -> (Option<Tracing>, Vec<String>) {
        let (read, warnings) = all(pairs);
        (read.tracing, warnings)
    }

    #[test]
    #[cfg(feature = "otlp")]
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
    #[cfg(feature = "otlp")]
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
    #[cfg(feature = "otlp")]
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

    #[test]
    fn traces_are_off_unless_a_variable_asks_for_them() {
        let on = |sampler| Some(Tracing { sampler, is_exported: false, is_propagated: true });
        for (pairs, expected) in [
            (&[][..], None),
            (&[(OTEL_PROPAGATORS, "")], None),
            (&[(OTEL_PROPAGATORS, "none")], None),
            (&[(OTEL_PROPAGATORS, "baggage")], None),
            (&[(OTEL_PROPAGATORS, "tracecontext, baggage")], on(Sampler::DEFAULT)),
            (&[(OTEL_PROPAGATORS, "tracecontext"), (OTEL_SDK_DISABLED, "TRUE")], None),
            (
                &[
                    (OTEL_PROPAGATORS, "tracecontext"),
                    (OTEL_TRACES_SAMPLER, "traceidratio"),
                    (OTEL_TRACES_SAMPLER_ARG, "0.25"),
                ],
                on(Sampler::ratio(0.25, false)),
            ),
            (
                &[(OTEL_PROPAGATORS, "tracecontext"), (OTEL_TRACES_SAMPLER, "parentbased_always_off")],
                on(Sampler::ratio(0.0, true)),
            ),
        ] {
            let (tracing, warnings) = read(pairs);
            assert_eq!(tracing, expected, "{pairs:?}");
            assert!(warnings.is_empty(), "{warnings:?}");
        }
    }

    #[test]
    fn values_that_are_not_supported_are_warned_of_and_have_the_default() {
        let on = (OTEL_PROPAGATORS, "tracecontext");
        for (pairs, expected) in [
            (&[(OTEL_PROPAGATORS, "b3,tracecontext")][..], "OTEL_PROPAGATORS: `b3` is not supported"),
            (&[on, (OTEL_TRACES_SAMPLER, "xray")], "OTEL_TRACES_SAMPLER: `xray` is not supported, so"),
            (
                &[on, (OTEL_TRACES_SAMPLER, "parentbased_traceidratio"), (OTEL_TRACES_SAMPLER_ARG, "1%")],
                "OTEL_TRACES_SAMPLER_ARG: `1%` is not a number from 0 to 1, so 1 is used",
            ),
            (&[on, (OTEL_SDK_DISABLED, "yes")], "OTEL_SDK_DISABLED: `yes` counts as false"),
        ] {
            let (tracing, warnings) = read(pairs);
            assert_eq!(
                tracing,
                Some(Tracing { sampler: Sampler::DEFAULT, is_exported: false, is_propagated: true })
            );
            assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{warnings:?}");
        }
        let (tracing, warnings) = read(&[(OTEL_TRACES_SAMPLER, "always_on")]);
        assert_eq!(tracing, None);
        assert!(warnings[0].contains("takes no part in traces"), "{warnings:?}");
    }
}
