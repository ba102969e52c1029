//! The environment: read in one place, and passed on as a value.

mod otel;
mod variables;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use http::HeaderName;

use crate::approov::{Secret, Strategy};

use super::document::{Fault, Located, Location, Report, Reported, whole_number, word};
use super::overrides::{Overrides, ServerOverrides, TokenOverrides};
use super::sections::{
    self, LEVELS, SECRET_HINT, STRATEGIES, binding_claim, read_secret_file, strategy_name,
};
use super::values::{domain, header_name, parse_admin_address, parse_listen_address};

pub use variables::{VARIABLES, Variable, reference};

use otel::Otel;
use variables::{
    ADMIN_LISTEN, BINDING_CLAIM, BINDING_HEADERS, BINDING_SWITCH, CONFIG, DOMAIN, HTTP1_EXCHANGE, LISTEN,
    LOG_LEVEL, RUNTIME_DIRECTORY, SECRET, SECRET_FILE, SSL_CERT_FILE, STRATEGY, THREADS, TOKEN_HEADER,
    Unknown, XDG_RUNTIME_DIR, is_relevant, unknown,
};

/// The environment variables of a process, or of a test.
///
/// A variable that is set but empty is a problem. It is usually a template that was not filled in,
/// and ignoring it could switch a check off.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process. Nothing else reads them.
    pub fn from_process() -> Self {
        Self::from_pairs(std::env::vars_os())
    }

    /// These variables and no others.
    pub fn from_pairs<N: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(pairs.filter(|(name, _)| is_relevant(name.as_encoded_bytes())).collect())
    }

    /// These variables with the account secret in `file`.
    pub fn with_secret_file(mut self, file: &Path) -> Self {
        self.0.remove(OsStr::new(SECRET));
        self.0.insert(SECRET_FILE.into(), file.into());
        self
    }

    /// The same, without the account secret.
    pub fn without_secrets(mut self) -> Self {
        self.0.remove(OsStr::new(SECRET));
        self.0.remove(OsStr::new(SECRET_FILE));
        self
    }

    /// Whether a secret or a configuration file is named, so that keys can be expected.
    pub fn names_keys(&self) -> bool {
        [SECRET, SECRET_FILE, CONFIG].iter().any(|name| self.0.contains_key(OsStr::new(name)))
    }

    fn get(&self, name: &'static str, report: &Report) -> Option<Result<&OsStr, Reported>> {
        let value = self.0.get(OsStr::new(name))?;
        if value.is_empty() {
            let at = Location::variable(name);
            return Some(Err(report.problem(&at, "it is set but empty", "give it a value, or unset it")));
        }
        Some(Ok(value))
    }

    /// The value that `parse` makes of a variable; `None` if it is not set.
    fn read<T>(
        &self,
        name: &'static str,
        report: &Report,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<Result<Located<T>, Reported>> {
        let at = Location::variable(name);
        let read = |value: &OsStr| match value.to_str() {
            None => Err(report.problem(&at, "it is not UTF-8", "write it as UTF-8")),
            Some(text) => parse(text).map_err(|fault| report.fault(&at, fault)),
        };
        let value = self.get(name, report)?.and_then(read);
        Some(value.map(|value| Located { value, at }))
    }

    /// The folder for files of a running gateway: systemd's `RuntimeDirectory=`, or the user's runtime
    /// folder (XDG Base Directory Specification). Both are private, and removed with the session.
    pub fn runtime_folder(&self) -> Option<PathBuf> {
        let folder =
            |name: &str| self.0.get(OsStr::new(name)).filter(|value| !value.is_empty()).map(Path::new);
        match (folder(RUNTIME_DIRECTORY), folder(XDG_RUNTIME_DIR)) {
            // Several are separated by colons; the first is ours.
            (Some(folders), _) => {
                let folders = folders.as_os_str().as_encoded_bytes();
                let end = folders.iter().position(|byte| *byte == b':').unwrap_or(folders.len());
                std::str::from_utf8(&folders[..end]).ok().map(PathBuf::from)
            }
            (None, Some(folder)) => Some(folder.join("approov-gateway")),
            (None, None) => None,
        }
    }

    /// The file with the authorities that origins without `tls.ca_file` are verified against.
    fn authorities(&self) -> Option<Located<PathBuf>> {
        let value = PathBuf::from(self.0.get(OsStr::new(SSL_CERT_FILE))?);
        Some(Located { value, at: Location::variable(SSL_CERT_FILE) })
    }

    /// The path of the configuration file in `GATEWAY_CONFIG`.
    pub fn file(&self, report: &Report) -> Option<Result<PathBuf, Reported>> {
        Some(self.get(CONFIG, report)?.map(PathBuf::from))
    }

    /// Every setting that overrides the file.
    pub fn overrides(&self, report: &Report) -> Overrides {
        Overrides {
            secret: self.secret(report),
            domain: self.read(DOMAIN, report, domain),
            token: TokenOverrides {
                token_header: self.read(TOKEN_HEADER, report, header_name).and_then(Result::ok),
                binding_headers: self.read(BINDING_HEADERS, report, header_list).and_then(Result::ok).map(
                    |Located { value, at }| {
                        value.into_iter().map(|value| Located { value, at: at.clone() }).collect()
                    },
                ),
                binding_claim: self.read(BINDING_CLAIM, report, binding_claim).and_then(Result::ok),
            },
            strategy: self.strategy(report),
            listen: self.read(LISTEN, report, parse_listen_address),
            admin: self.read(ADMIN_LISTEN, report, parse_admin_address),
            server: ServerOverrides {
                threads: self
                    .read(THREADS, report, |text| {
                        let range = sections::THREADS;
                        whole_number(text, *range.start() as u64..=*range.end() as u64)
                    })
                    .and_then(Result::ok)
                    .map(|threads| threads.value),
                http1_exchange: self
                    .read(HTTP1_EXCHANGE, report, |text| word(text, &sections::HTTP1_EXCHANGES))
                    .and_then(Result::ok)
                    .map(|way| way.value),
                runtime_folder: self.runtime_folder(),
            },
            authorities: self.authorities(),
            otel: Otel { environment: self, report }.read(),
            log_level: self
                .read(LOG_LEVEL, report, |text| word(text, &LEVELS))
                .and_then(Result::ok)
                .map(|level| level.value),
        }
    }

    fn secret(&self, report: &Report) -> Option<Result<Secret, Reported>> {
        let inline = self.read(SECRET, report, |text| {
            Secret::from_base64(text).map_err(|error| Fault::new(error.to_string(), SECRET_HINT))
        });
        let file = self.get(SECRET_FILE, report);
        match (inline, file) {
            (Some(_), Some(_)) => {
                let message = format!("{SECRET_FILE} is set as well");
                Some(Err(report.problem(&Location::variable(SECRET), message, "unset one of them")))
            }
            (Some(inline), None) => Some(inline.map(|secret| secret.value)),
            (None, Some(file)) => {
                let at = Location::variable(SECRET_FILE);
                Some(file.and_then(|path| read_secret_file(&Located { value: path.into(), at }, report)))
            }
            (None, None) => None,
        }
    }

    /// Reports variables that have a prefix of the gateway and that it does not read.
    pub fn check_names(&self, report: &Report) {
        for name in self.0.keys().filter_map(|name| name.to_str()) {
            let message = format!("the environment variable {} is not known", name.escape_debug());
            match unknown(name) {
                Some(Unknown::Ours(Some(near))) => {
                    let hint = format!("did you mean {near}? Otherwise unset it");
                    report.problem(&Location::nowhere(), message, hint);
                }
                Some(Unknown::Ours(None)) => {
                    let hint = "unset it; docs/reference/environment.md lists the names that exist";
                    report.problem(&Location::nowhere(), message, hint);
                }
                Some(Unknown::Similar(near)) => {
                    report.warning(&Location::nowhere(), message, format!("did you mean {near}?"));
                }
                None => {}
            }
        }
    }

    /// The strategy of the two variables that set it.
    fn strategy(&self, report: &Report) -> Option<Located<Strategy>> {
        let strategy = self.read(STRATEGY, report, |text| word(text, &STRATEGIES)).and_then(Result::ok);
        let switches = [("true", Strategy::TokenBinding), ("false", Strategy::Token)];
        let switch = self.read(BINDING_SWITCH, report, |text| word(text, &switches)).and_then(Result::ok);
        if let (Some(strategy), Some(switch)) = (&strategy, &switch)
            && strategy.value != switch.value
        {
            let message = format!("it contradicts {STRATEGY}, which is {}", strategy_name(strategy.value));
            report.problem(&switch.at, message, "unset one of them");
        }
        strategy.or(switch)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").field(&self.0.keys()).finish()
    }
}

fn header_list(text: &str) -> Result<Vec<HeaderName>, Fault> {
    text.split(',').map(|name| header_name(name.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN";

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let report = Report::default();
        let environment = Environment::from_pairs(pairs.iter().copied());
        environment.overrides(&report);
        environment.check_names(&report);
        let problems = report.finish(Ok(())).err();
        problems.map_or(Vec::new(), |list| list.as_slice().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_the_variable_and_never_its_secret() {
        for (name, value, expected) in [
            (SECRET, "c2hvcnQ=", "APPROOV_SECRET_BASE64: the secret has 5 bytes"),
            (SECRET, "", "APPROOV_SECRET_BASE64: it is set but empty; give it a value, or unset it"),
            (
                SECRET_FILE,
                "/nonexistent/secret",
                "APPROOV_SECRET_BASE64_FILE: /nonexistent/secret cannot be read",
            ),
            (DOMAIN, "api.example.com/", "API_DOMAIN: it ends in a slash"),
            (DOMAIN, GOOD, "API_DOMAIN: this text of 56 characters is not a host name"),
            (TOKEN_HEADER, "Host", "APPROOV_TOKEN_HEADER_NAME: `Host` is a header that proxies set"),
            (BINDING_HEADERS, "Authorization,,X", "APPROOV_BINDING_HEADER_NAME: `` is not a header name"),
            (BINDING_CLAIM, "exp", "APPROOV_BINDING_CLAIM_NAME: the claim `exp` has a meaning"),
            (
                STRATEGY,
                "token-bindng",
                "APPROOV_VERIFICATION_STRATEGY: `token-bindng` is not known; use token,",
            ),
            (STRATEGY, GOOD, "APPROOV_VERIFICATION_STRATEGY: this text of 56 characters is not known"),
            (STRATEGY, "", "APPROOV_VERIFICATION_STRATEGY: it is set but empty"),
            (LISTEN, ":8787", "GATEWAY_LISTEN: `:8787` is not an IP address and port"),
            (ADMIN_LISTEN, "x", "GATEWAY_ADMIN_LISTEN: `x` is not an IP address and port"),
            (
                LOG_LEVEL,
                "verbose",
                "GATEWAY_LOG_LEVEL: `verbose` is not known; use error, warn, info, debug or trace",
            ),
            (THREADS, "0", "GATEWAY_THREADS: `0` is not a whole number from 1"),
        ] {
            let found = problems(&[(name, value)]);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{name}={value}: {found:?}");
            assert!(!found[0].contains(GOOD) && !found[0].contains("c2hvcnQ"), "{found:?}");
        }
    }

    #[test]
    fn a_secret_stands_in_one_place() {
        let found = problems(&[(SECRET, GOOD), (SECRET_FILE, "/x")]);
        assert_eq!(
            found,
            ["APPROOV_SECRET_BASE64: APPROOV_SECRET_BASE64_FILE is set as well; unset one of them"]
        );
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_not_text_are_a_problem() {
        use std::os::unix::ffi::OsStringExt;
        for name in VARIABLES
            .map(|variable| variable.name)
            .into_iter()
            .filter(|name| ![SECRET_FILE, CONFIG].contains(name))
        {
            let report = Report::default();
            Environment::from_pairs([(name, OsString::from_vec(vec![0xff, b'a']))]).overrides(&report);
            let problems = report.finish(Ok(())).expect_err(name).to_string();
            assert_eq!(problems, format!("{name}: it is not UTF-8; write it as UTF-8"));
        }
    }

    #[test]
    fn unknown_variables_of_the_gateway_are_problems() {
        let pairs = [
            ("APPROOV_SECRET_BASE46", GOOD),
            ("GATEWAY_A_NAME_LIKE_NO_OTHER_THAT_IS_KNOWN", "1"),
            ("GATEWAY_PORT", "1"),
            ("APPROOV_GATEWAY_SERVICE_HOST", "10.0.0.1"),
            ("GATEWAY_UPGRADE_NOTIFY", "/x"),
            ("PATH", ""),
        ];
        let expected = [
            "the environment variable APPROOV_SECRET_BASE46 is not known; did you mean APPROOV_SECRET_BASE64? Otherwise unset it",
            "the environment variable GATEWAY_A_NAME_LIKE_NO_OTHER_THAT_IS_KNOWN is not known; unset it; docs/reference/environment.md lists the names that exist",
        ];
        assert_eq!(problems(&pairs), expected);
    }

    #[test]
    fn names_that_only_resemble_a_variable_are_warned_of() {
        let report = Report::default();
        Environment::from_pairs([("API_DOMIAN", "x")]).check_names(&report);
        let warnings = report.finish(Ok(())).expect("no problems").1;
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, ["the environment variable API_DOMIAN is not known; did you mean API_DOMAIN?"]);
    }

    #[test]
    fn the_switch_of_the_newer_worker_sets_the_strategy() {
        let strategy = |pairs: &[(&str, &str)]| {
            let report = Report::default();
            let overrides = Environment::from_pairs(pairs.iter().copied()).overrides(&report);
            report
                .finish(Ok(overrides.strategy.map(|strategy| strategy.value)))
                .map(|(strategy, ..)| strategy)
                .map_err(|error| error.to_string())
        };
        assert_eq!(strategy(&[(BINDING_SWITCH, "true")]), Ok(Some(Strategy::TokenBinding)));
        assert_eq!(strategy(&[(BINDING_SWITCH, "false")]), Ok(Some(Strategy::Token)));
        assert_eq!(
            strategy(&[(BINDING_SWITCH, "true"), (STRATEGY, "token-binding")]),
            Ok(Some(Strategy::TokenBinding))
        );
        let contradiction = strategy(&[(BINDING_SWITCH, "true"), (STRATEGY, "token")]);
        let expected = "APPROOV_BINDING_VERIFICATION: it contradicts APPROOV_VERIFICATION_STRATEGY, which is token; unset one of them";
        assert_eq!(contradiction, Err(expected.to_owned()));
        let unknown = strategy(&[(BINDING_SWITCH, "yes")]);
        let expected = "APPROOV_BINDING_VERIFICATION: `yes` is not known; use true or false";
        assert_eq!(unknown, Err(expected.to_owned()));
    }

    #[test]
    fn does_not_print_values() {
        let shown = format!("{:?}", Environment::from_pairs([(SECRET, GOOD)]));
        assert!(shown.contains(SECRET) && !shown.contains(GOOD), "{shown}");
    }
}
