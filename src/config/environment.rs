//! The environment: read in one place, handed on as a value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http::HeaderName;
use log::LevelFilter;

use crate::admin::AdminAddress;
use crate::approov::{Secret, Strategy};

use super::document::{Fault, Located, Location, Report, Reported, nearest, whole_number, word};
use super::sections::{LEVELS, SECRET_HINT, STRATEGIES, THREADS, binding_claim, read_secret_file};
use super::values::{Domain, domain, header_name, parse_admin_address, parse_listen_address};

const SECRET: &str = "APPROOV_SECRET_BASE64";
const SECRET_FILE: &str = "APPROOV_SECRET_BASE64_FILE";
const DOMAIN: &str = "API_DOMAIN";
const TOKEN_HEADER: &str = "APPROOV_TOKEN_HEADER_NAME";
const BINDING_HEADERS: &str = "APPROOV_BINDING_HEADER_NAME";
const BINDING_CLAIM: &str = "APPROOV_BINDING_CLAIM_NAME";
const STRATEGY: &str = "APPROOV_VERIFICATION_STRATEGY";
const CONFIG: &str = "GATEWAY_CONFIG";
const LISTEN: &str = "GATEWAY_LISTEN";
const ADMIN_LISTEN: &str = "GATEWAY_ADMIN_LISTEN";
const THREADS_VARIABLE: &str = "GATEWAY_THREADS";
const LOG_LEVEL: &str = "GATEWAY_LOG_LEVEL";

/// Set by others, for every program.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";
const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
const SSL_CERT_FILE: &str = "SSL_CERT_FILE";

/// The variables that the gateway reads.
pub const VARIABLES: [&str; 12] = [
    SECRET,
    SECRET_FILE,
    DOMAIN,
    TOKEN_HEADER,
    BINDING_HEADERS,
    BINDING_CLAIM,
    STRATEGY,
    CONFIG,
    LISTEN,
    ADMIN_LISTEN,
    THREADS_VARIABLE,
    LOG_LEVEL,
];

/// The environment variables of a process, or of a test.
///
/// A variable that is set but empty is a problem, not the same as one that is unset: it is mostly
/// a template that was not filled in, and silence could switch a check off.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process. The only place that reads them.
    pub fn from_process() -> Self {
        Self::from_pairs(std::env::vars_os())
    }

    /// These variables and no others.
    pub fn from_pairs<N: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(pairs.filter(|(name, _)| is_ours(name)).collect())
    }

    /// The same, with the account secret in `file`.
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

    /// The folder for files of a running gateway: systemd's `RuntimeDirectory=`, or one of the
    /// user's own (XDG Base Directory Specification). Both are private and go with the session.
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

    /// The configuration file.
    pub fn file(&self, report: &Report) -> Option<Result<PathBuf, Reported>> {
        Some(self.get(CONFIG, report)?.map(PathBuf::from))
    }

    /// Everything that stands above the file.
    pub fn overrides(&self, report: &Report) -> Overrides {
        self.warn_of_misspellings(report);
        let strategy = |text: &str| word(text, &STRATEGIES);
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
            strategy: self
                .read(STRATEGY, report, strategy)
                .and_then(Result::ok)
                .map(|strategy| strategy.value),
            listen: self.read(LISTEN, report, parse_listen_address),
            admin: self.read(ADMIN_LISTEN, report, parse_admin_address),
            runtime_folder: self.runtime_folder(),
            authorities: self.authorities(),
            log_level: self
                .read(LOG_LEVEL, report, |text| word(text, &LEVELS))
                .and_then(Result::ok)
                .map(|level| level.value),
            threads: self
                .read(THREADS_VARIABLE, report, |text| {
                    whole_number(text, *THREADS.start() as u64..=*THREADS.end() as u64)
                })
                .and_then(Result::ok)
                .map(|threads| threads.value),
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

    fn warn_of_misspellings(&self, report: &Report) {
        for name in self.0.keys().filter_map(|name| name.to_str()) {
            if let Some(near) = nearest(name, VARIABLES).filter(|near| {
                *near != name && !VARIABLES.contains(&name) && strsim::damerau_levenshtein(near, name) <= 3
            }) {
                let message = format!("the environment variable {name} is not read");
                report.warning(&Location::nowhere(), message, format!("did you mean {near}?"));
            }
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").field(&self.0.keys()).finish()
    }
}

fn is_ours(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    [&b"APPROOV_"[..], b"GATEWAY_", b"API_"].iter().any(|prefix| name.starts_with(prefix))
        || [RUNTIME_DIRECTORY, XDG_RUNTIME_DIR, SSL_CERT_FILE].iter().any(|whole| whole.as_bytes() == name)
}

fn header_list(text: &str) -> Result<Vec<HeaderName>, Fault> {
    text.split(',').map(|name| header_name(name.trim())).collect()
}

/// The settings that the environment makes. `Some(Err(Reported))` stands where a variable is set
/// to something that cannot be used.
pub struct Overrides {
    pub secret: Option<Result<Secret, Reported>>,
    pub domain: Option<Result<Located<Domain>, Reported>>,
    pub token: TokenOverrides,
    pub strategy: Option<Strategy>,
    pub listen: Option<Result<Located<SocketAddr>, Reported>>,
    pub admin: Option<Result<Located<AdminAddress>, Reported>>,
    pub threads: Option<usize>,
    pub runtime_folder: Option<PathBuf>,
    pub log_level: Option<LevelFilter>,
    /// The file with the certificates of trusted authorities, in place of those of the system.
    pub authorities: Option<Located<PathBuf>>,
}

/// Those that concern tokens alone.
pub struct TokenOverrides {
    pub token_header: Option<Located<HeaderName>>,
    pub binding_headers: Option<Vec<Located<HeaderName>>>,
    pub binding_claim: Option<Located<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN";

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let report = Report::default();
        Environment::from_pairs(pairs.iter().copied()).overrides(&report);
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
            (TOKEN_HEADER, "Host", "APPROOV_TOKEN_HEADER_NAME: `Host` is set or removed"),
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
            (THREADS_VARIABLE, "0", "GATEWAY_THREADS: `0` is not a whole number from 1"),
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
        for name in VARIABLES.into_iter().filter(|name| ![SECRET_FILE, CONFIG].contains(name)) {
            let report = Report::default();
            Environment::from_pairs([(name, OsString::from_vec(vec![0xff, b'a']))]).overrides(&report);
            let problems = report.finish(Ok(())).expect_err(name).to_string();
            assert_eq!(problems, format!("{name}: it is not UTF-8; write it as UTF-8"));
        }
    }

    #[test]
    fn warns_of_a_misspelt_variable() {
        let report = Report::default();
        let pairs =
            [("APPROOV_SECRET_BASE46", GOOD), ("GATEWAY_PORT", "1"), ("APPROOV_VECTORS", "x"), ("PATH", "")];
        Environment::from_pairs(pairs).overrides(&report);
        let warnings: Vec<_> =
            report.finish(Ok(())).expect("no problems").1.iter().map(ToString::to_string).collect();
        let expected =
            "the environment variable APPROOV_SECRET_BASE46 is not read; did you mean APPROOV_SECRET_BASE64?";
        assert_eq!(warnings, [expected]);
    }

    #[test]
    fn does_not_print_values() {
        let shown = format!("{:?}", Environment::from_pairs([(SECRET, GOOD)]));
        assert!(shown.contains(SECRET) && !shown.contains(GOOD), "{shown}");
    }
}
