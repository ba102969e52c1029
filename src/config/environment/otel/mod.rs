//! OpenTelemetry's standard variables. An empty variable counts as unset, and a value that is not supported
//! is a warning, as OpenTelemetry's specification asks ("Environment Variable Specification").

mod exporter;

use std::ffi::OsStr;

use super::variables::{
    OTEL, OTEL_COMPRESSION, OTEL_HEADERS, OTEL_PROPAGATORS, OTEL_PROTOCOL, OTEL_SDK_DISABLED, OTEL_TIMEOUT,
    OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, VARIABLES,
};
use super::{Environment, Report};
use crate::config::document::{Location, quoted};
use crate::config::overrides::OtelOverrides;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings that these variables make, and the warnings.
    pub(super) fn all(pairs: &[(&str, &str)]) -> (OtelOverrides, Vec<String>) {
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
