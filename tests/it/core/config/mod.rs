//! The configuration: files that load, the problems of files that do not, and the environment.

mod environment;
mod files;
mod fleet;
mod keys;
mod samples;
mod secrets;

use std::fs;
use std::path::Path;

use approov_gateway::config::{Environment, Problem, Settings, load};
use approov_gateway::limits::{LimitSettings, RequestLimits};

use crate::harness::Folder;

/// A secret that Approov publishes in its examples.
const SECRET: &str = "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN";
const WITH_SECRET: (&str, &str) = ("APPROOV_SECRET_BASE64", SECRET);
const WITH_DOMAIN: (&str, &str) = ("API_DOMAIN", "api.example.com");

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_pairs(pairs.iter().copied())
}

/// The environment that the comments `# env: NAME=value` of a file ask for.
fn environment_of(file: &Path) -> Environment {
    let text = fs::read_to_string(file).expect("a test file");
    let lines = text.lines().filter_map(|line| line.strip_prefix("# env: "));
    Environment::from_pairs(lines.map(|line| line.split_once('=').expect("NAME=value")))
}

fn loaded(file: Option<&Path>, pairs: &[(&str, &str)]) -> Settings {
    load(file, &environment(pairs)).unwrap_or_else(|problems| panic!("{file:?} {pairs:?}\n{problems}"))
}

fn refused(file: Option<&Path>, pairs: &[(&str, &str)]) -> String {
    match load(file, &environment(pairs)) {
        Ok(settings) => panic!("{file:?} {pairs:?} loaded: {settings:?}"),
        Err(problems) => problems.to_string(),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Writes a certificate authority, a certificate with its key, and secrets.
fn origin_files(folder: &Folder) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate =
        rcgen::CertificateParams::new([]).expect("parameters").self_signed(&key).expect("signed");
    folder.write("ca.pem", certificate.pem());
    folder.write("gateway.pem", certificate.pem());
    folder.write("gateway-key.pem", key.serialize_pem());
    folder.write("origin-secret", "the secret that the origin knows\n".replace(' ', "-"));
    folder.write("origin-secret-next", "the-secret-that-it-will-know");
    folder.write("shop-secret", SECRET);
}

/// Replaces the limits that are derived from the memory of this machine.
fn as_with_enough_memory(limits: LimitSettings) -> LimitSettings {
    let RequestLimits { in_flight, reserve, .. } = RequestLimits::default();
    LimitSettings { requests: RequestLimits { in_flight, reserve, ..limits.requests }, ..limits }
}
