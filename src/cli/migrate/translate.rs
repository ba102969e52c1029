//! What becomes of a worker's settings.

use std::fmt::Write as _;

use super::OutputPart;
use super::pattern::RoutePattern;
use super::variables::WorkerVerification;
use super::worker::CloudflareWorker;

/// Where the secret is expected.
const SECRET_FILE: &str = "/etc/approov-gateway/secret";

/// Keys that describe the worker itself: its name, its script, how it is built and where it runs.
const OF_WORKER: [&str; 22] = [
    "$schema",
    "account_id",
    "assets",
    "build",
    "compatibility_date",
    "compatibility_flags",
    "dev",
    "find_additional_modules",
    "keep_vars",
    "main",
    "minify",
    "name",
    "node_compat",
    "preview_urls",
    "rules",
    "send_metrics",
    "site",
    "type",
    "upload_source_maps",
    "usage_model",
    "workers_dev",
    "zone_id",
];

/// Keys that the gateway has an answer to, in its own way.
const OTHERWISE: [(&str, &str); 7] = [
    ("limits", "the gateway has limits of its own: docs/how-to/limits.md"),
    ("logpush", "the access log goes to standard output: docs/operate/logs.md"),
    ("tail_consumers", "the access log goes to standard output: docs/operate/logs.md"),
    ("observability", "the gateway has logs and metrics: docs/operate/metrics.md"),
    ("placement", "the gateway runs where you start it"),
    ("triggers", "the gateway runs nothing by a timer"),
    ("services", "an API is an origin: docs/how-to/several-apis.md"),
];

/// A worker's settings in the gateway's terms.
#[derive(Clone, Debug, Default)]
pub(super) struct Translation {
    env: Option<String>,
    variables: Vec<(&'static str, String)>,
    /// The text of the configuration file, in YAML.
    yaml: String,
    /// What means something else than before.
    notes: Vec<String>,
    /// What is not carried over: the name and the reason.
    left: Vec<(String, String)>,
}

/// Translates one worker, with everything that cannot be carried over.
pub(super) fn translate(worker: &CloudflareWorker) -> Translation {
    let mut out = Translation { env: worker.env.clone(), ..Translation::default() };
    let verification = out.read_variables(worker);
    let mut routes = String::new();
    for text in &worker.patterns {
        match RoutePattern::read(text) {
            Some(pattern) => {
                if verification.domain.as_deref().is_some_and(|domain| pattern.takes(domain)) {
                    out.note(
                        "A route takes the name in API_DOMAIN. Once DNS sends that name to the gateway, the gateway \
                         would ask itself: give the API another name or an address in the network first.",
                    );
                }
                routes += &pattern.to_yaml();
            }
            None => out.leave(&format!("route {text}"), "no route of the gateway is like this pattern"),
        }
    }
    if routes.is_empty() {
        routes = "  - { path: /, policy: observe }\n".to_owned();
    } else {
        out.note(
            "Cloudflare sent every other host and path to the API without the worker. The gateway answers 404 \
             there; add a route with `policy: open` for what needs no token.",
        );
    }
    out.set_environment(&verification);
    out.yaml = yaml(&verification, &routes);
    out.read_others(worker);
    out
}

impl Translation {
    pub(super) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    pub(super) fn leave(&mut self, name: &str, why: &str) {
        self.left.push((name.escape_debug().to_string(), why.to_owned()));
    }

    fn set_environment(&mut self, found: &WorkerVerification) {
        let domain = found.domain.clone().unwrap_or_else(|| "api.example.com".to_owned());
        if found.public_key.is_none() {
            self.variables.push(("APPROOV_SECRET_BASE64_FILE", SECRET_FILE.to_owned()));
        } else {
            self.note("A public key has no variable: use the file.");
        }
        self.variables.push(("API_DOMAIN", domain));
        let mut set = |name, value: Option<String>| self.variables.extend(value.map(|value| (name, value)));
        set("APPROOV_TOKEN_HEADER_NAME", found.token_header.clone());
        set("APPROOV_BINDING_HEADER_NAME", found.binding_headers.clone());
        set("APPROOV_BINDING_CLAIM_NAME", found.binding_claim.clone());
        set("APPROOV_VERIFICATION_STRATEGY", found.strategy.map(str::to_owned));
    }

    fn read_others(&mut self, worker: &CloudflareWorker) {
        let of_worker: Vec<&str> =
            worker.others.iter().map(String::as_str).filter(|key| OF_WORKER.contains(key)).collect();
        if !of_worker.is_empty() {
            self.leave(&of_worker.join(", "), "describes the worker itself");
        }
        for key in worker.others.iter().filter(|key| !OF_WORKER.contains(&key.as_str())) {
            let known = OTHERWISE.iter().find(|(name, _)| name == key);
            self.leave(
                key,
                known.map_or("belongs to Cloudflare; the gateway has nothing like it", |(_, why)| why),
            );
        }
    }

    /// Whether this is the top level of the file, not a section `[env.NAME]`.
    pub fn is_top(&self) -> bool {
        self.env.is_none()
    }

    /// One part of the translation.
    pub fn part(&self, part: OutputPart) -> String {
        match part {
            OutputPart::Environment => self.environment(),
            OutputPart::Yaml => self.yaml.clone(),
        }
    }

    /// Lines for an environment file.
    fn environment(&self) -> String {
        self.variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    /// The whole translation. What is not configuration is a comment.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let name = self.env.as_ref().map_or(String::new(), |env| format!(" of [env.{}]", env.escape_debug()));
        // Writing to a string does not fail.
        let _ =
            write!(text, "# Environment{name}\n{}\n# gateway.yaml{name}\n{}", self.environment(), self.yaml);
        if !self.notes.is_empty() {
            text += "\n# Mind\n";
        }
        for note in &self.notes {
            let _ = writeln!(text, "# - {note}");
        }
        if !self.left.is_empty() {
            text += "\n# Not carried over\n";
        }
        for (name, why) in &self.left {
            let _ = writeln!(text, "# - {name}: {why}");
        }
        text
    }
}

fn yaml(found: &WorkerVerification, routes: &str) -> String {
    let mut text = String::from("approov:\n");
    let mut line = |indent: usize, line: &str| {
        let _ = writeln!(text, "{:1$}{line}", "", indent);
    };
    if let Some(header) = &found.token_header {
        line(2, &format!("token_header: {header:?}"));
    }
    line(2, "keys:");
    match &found.public_key {
        None => line(4, &format!("- {{ algorithm: HS256, secret_base64_file: {SECRET_FILE} }}")),
        Some(pem) => {
            line(4, "- algorithm: ES256");
            line(6, "public_key: |");
            pem.lines().for_each(|part| line(8, part.trim()));
        }
    }
    if let Some(strategy) = found.strategy {
        line(2, &format!("strategy: {strategy}"));
    }
    let headers = found.binding_headers.as_ref().map(|headers| {
        let headers: Vec<String> = headers.split(',').map(|header| format!("{header:?}")).collect();
        format!("headers: [{}]", headers.join(", "))
    });
    let claim = found.binding_claim.as_ref().map(|claim| format!("claim: {claim:?}"));
    let binding: Vec<String> = headers.into_iter().chain(claim).collect();
    if !binding.is_empty() {
        line(2, &format!("binding: {{ {} }}", binding.join(", ")));
    }
    line(0, "# The answer of the worker. The older one had status 403 and the body Invalid Token.");
    line(0, "rejection: { status: 401, content_type: text/plain, body: unauthorized }");
    line(0, "origins:");
    line(2, &format!("api: {{ domain: {:?} }}", found.domain.as_deref().unwrap_or("api.example.com")));
    line(0, "# observe refuses nothing and counts what protect would refuse. Look, then write protect.");
    line(0, "routes:");
    text + routes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_strategies_the_stricter_is_written() {
        for (strategy, switch) in [("token", "true"), ("token-binding", "false")] {
            let variables =
                [("APPROOV_VERIFICATION_STRATEGY", strategy), ("APPROOV_BINDING_VERIFICATION", switch)];
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let worker = CloudflareWorker { variables: variables.into(), ..CloudflareWorker::default() };
            let text = translate(&worker).to_text();
            assert!(text.contains("strategy: token-binding") && text.contains("contradicts"), "{text}");
        }
    }
}
