//! The variables of a worker, in the gateway's terms.

use super::translate::Translation;
use super::worker::CloudflareWorker;

/// What the variables of a worker say.
#[derive(Default)]
pub(super) struct WorkerVerification {
    pub domain: Option<String>,
    pub token_header: Option<String>,
    pub binding_headers: Option<String>,
    pub binding_claim: Option<String>,
    pub strategy: Option<&'static str>,
    pub public_key: Option<String>,
}

impl Translation {
    /// Reads the variables of a worker. Notes what means something else, and what is not carried over.
    pub(super) fn read_variables(&mut self, worker: &CloudflareWorker) -> WorkerVerification {
        let mut found = WorkerVerification::default();
        for (name, value) in &worker.variables {
            let word = is_word(value).then(|| value.clone());
            match (name.as_str(), word) {
                ("APPROOV_SECRET_BASE64", _) if public_key(value).is_some() => {
                    found.public_key = public_key(value);
                }
                ("APPROOV_SECRET_BASE64", _) => {
                    self.leave(
                        name,
                        "a secret is not printed; it stands in wrangler.toml, so change it at Approov",
                    );
                }
                ("API_DOMAIN", _) => {
                    let rest = value.trim();
                    let scheme = rest.find("://").map_or(0, |at| at + 3);
                    let end = rest[scheme..].find('/').map_or(rest.len(), |at| scheme + at);
                    if end < rest.len() {
                        self.note("API_DOMAIN had a path, which is left out: the gateway forwards paths as they come.");
                    }
                    found.domain = Some(rest[..end].to_owned()).filter(|domain| is_word(domain));
                }
                ("APPROOV_TOKEN_HEADER_NAME", Some(header)) => found.token_header = Some(header),
                ("APPROOV_BINDING_HEADER_NAME", _) => {
                    found.binding_headers = Some(value.replace(' ', "")).filter(|headers| is_word(headers));
                }
                ("APPROOV_BINDING_CLAIM_NAME", Some(claim)) => found.binding_claim = Some(claim),
                ("APPROOV_VERIFICATION_STRATEGY", Some(word)) => match word.as_str() {
                    "token" => self.choose(&mut found, name, "token"),
                    "token-binding" => self.choose(&mut found, name, "token-binding"),
                    "token-with-binding" => {
                        self.choose(&mut found, name, "token-binding");
                        self.note(
                            "The worker of August 2024 checked no binding with the word token-with-binding. The \
                             gateway checks it: look at binding_mismatch and missing_binding_claim before you enforce.",
                        );
                    }
                    _ => self
                        .leave(name, "it is neither token nor token-binding; the worker took it for token"),
                },
                ("APPROOV_BINDING_VERIFICATION", Some(word)) => match word.as_str() {
                    "true" => self.choose(&mut found, name, "token-binding"),
                    "false" => self.choose(&mut found, name, "token"),
                    _ => {
                        self.choose(&mut found, name, "token-binding");
                        self.leave(
                            name,
                            "it is neither true nor false; token-binding is written, which is stricter",
                        );
                    }
                },
                (name, None) if name.starts_with("APPROOV_") => {
                    self.leave(name, "its value cannot be used as it is");
                }
                (name, _) => self.leave(name, "the gateway has no such setting"),
            }
        }
        if !worker.variables.contains_key("APPROOV_SECRET_BASE64") {
            self.leave(
                "APPROOV_SECRET_BASE64",
                "Cloudflare does not show a secret again; `approov secret -plain -get base64` prints it",
            );
        }
        if found.domain.is_none() {
            self.leave(
                "API_DOMAIN",
                "the file does not say which API is protected; write it where api.example.com stands",
            );
        }
        found
    }

    /// The variable `name` asks for this strategy. Of two that contradict each other, the stricter one holds.
    fn choose(&mut self, found: &mut WorkerVerification, name: &str, strategy: &'static str) {
        if found.strategy.is_some_and(|other| other != strategy) {
            self.leave(name, "it contradicts the other variable for the strategy; token-binding is written");
            found.strategy = Some("token-binding");
        } else {
            found.strategy = Some(strategy);
        }
    }
}

/// Whether a value can stand in an environment file and in YAML as it is.
fn is_word(value: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/,[]".contains(&byte);
    !value.is_empty() && value.len() <= 256 && value.bytes().all(is_plain)
}

/// The value, if it is one public key in PEM form (RFC 7468 §13) and nothing else. A private key next to it is
/// not printed, and no other byte reaches the YAML.
fn public_key(value: &str) -> Option<String> {
    const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
    const END: &str = "-----END PUBLIC KEY-----";
    let base64 = value.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let lines: Vec<&str> = base64.split_ascii_whitespace().collect();
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let is_key = !lines.is_empty() && lines.iter().all(|line| line.bytes().all(is_base64));
    is_key.then(|| format!("{BEGIN}\n{}\n{END}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_public_key_alone_is_carried_over() {
        let key = "-----BEGIN PUBLIC KEY-----\nMFkw+/=\nAAAA\n-----END PUBLIC KEY-----";
        assert_eq!(public_key(&format!(" {key}\n")).as_deref(), Some(key));
        let secret = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----";
        for value in [
            format!("{key}\n{secret}"),
            format!("{secret}\n{key}"),
            format!("-----BEGIN PUBLIC KEY-----\n{secret}\n-----END PUBLIC KEY-----"),
            key.replace("AAAA", "AAAA\radmin: {}"),
            "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----".to_owned(),
        ] {
            assert_eq!(public_key(&value), None, "{value:?}");
        }
    }
}
