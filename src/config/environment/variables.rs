//! The environment variables: declared once, with the text of the reference page.

use crate::config::document::nearest;

/// An environment variable that the gateway reads.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The name of the variable.
    pub name: &'static str,
    /// What the variable sets, for the reference.
    pub meaning: &'static str,
    /// What holds without the variable.
    pub default: &'static str,
}

const fn variable(name: &'static str, meaning: &'static str, default: &'static str) -> Variable {
    Variable { name, meaning, default }
}

pub const SECRET: &str = "APPROOV_SECRET_BASE64";
pub const SECRET_FILE: &str = "APPROOV_SECRET_BASE64_FILE";
pub const DOMAIN: &str = "API_DOMAIN";
pub const TOKEN_HEADER: &str = "APPROOV_TOKEN_HEADER_NAME";
pub const BINDING_HEADERS: &str = "APPROOV_BINDING_HEADER_NAME";
pub const BINDING_CLAIM: &str = "APPROOV_BINDING_CLAIM_NAME";
pub const STRATEGY: &str = "APPROOV_VERIFICATION_STRATEGY";
pub const BINDING_SWITCH: &str = "APPROOV_BINDING_VERIFICATION";
pub const CONFIG: &str = "GATEWAY_CONFIG";
pub const LISTEN: &str = "GATEWAY_LISTEN";
pub const ADMIN_LISTEN: &str = "GATEWAY_ADMIN_LISTEN";
pub const THREADS: &str = "GATEWAY_THREADS";
pub const HTTP1_EXCHANGE: &str = "GATEWAY_HTTP1_EXCHANGE";
pub const LOG_LEVEL: &str = "GATEWAY_LOG_LEVEL";

/// OpenTelemetry's standard names.
pub const OTEL_PROPAGATORS: &str = "OTEL_PROPAGATORS";
pub const OTEL_TRACES_SAMPLER: &str = "OTEL_TRACES_SAMPLER";
pub const OTEL_TRACES_SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
pub const OTEL_SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
pub const OTEL_TRACES_EXPORTER: &str = "OTEL_TRACES_EXPORTER";
pub const OTEL_SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
pub const OTEL_RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
pub const OTEL_BSP_MAX_QUEUE_SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
pub const OTEL_BSP_MAX_EXPORT_BATCH_SIZE: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
pub const OTEL_BSP_SCHEDULE_DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";

/// Names that have a second form for traces only. The second form takes precedence.
pub const OTEL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
pub const OTEL_TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
pub const OTEL_HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
pub const OTEL_PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
pub const OTEL_TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
pub const OTEL_COMPRESSION: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];

/// OpenTelemetry's names that would change where or how spans are sent, and that the gateway does not
/// support.
pub const OTEL_UNSUPPORTED: [&str; 6] = [
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
];

/// Set by service managers and systems for every program.
pub const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";
pub const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";

/// The prefix of OpenTelemetry's names.
pub const OTEL: &str = "OTEL_";

/// Set by `upgrade` for the new process.
const UPGRADE_NOTIFY: &str = "GATEWAY_UPGRADE_NOTIFY";

/// The variables that the gateway reads.
pub const VARIABLES: [Variable; 31] = [
    variable(
        SECRET,
        "The account secret in base64 or base64url.",
        "required, or `APPROOV_SECRET_BASE64_FILE`, or `approov.keys`",
    ),
    variable(SECRET_FILE, "A file with the account secret in base64 or base64url.", "none"),
    variable(
        DOMAIN,
        "The protected API: host, host:port, or a URL with `http://` or `https://` and without path, query and user. A bare host means https.",
        "required, or `origins`",
    ),
    variable(TOKEN_HEADER, "The header with the token.", "`Approov-Token`"),
    variable(
        BINDING_HEADERS,
        "The headers that tokens are bound to, separated by commas.",
        "`Authorization`",
    ),
    variable(BINDING_CLAIM, "The claim with the binding hash.", "`pay`"),
    variable(STRATEGY, "`token`, `token-binding`, or `token-with-binding`, which means the same.", "`token`"),
    variable(
        BINDING_SWITCH,
        "The switch of the newer Cloudflare worker: `true` is `token-binding`, `false` is `token`. It must not contradict `APPROOV_VERIFICATION_STRATEGY`.",
        "none",
    ),
    variable(CONFIG, "The configuration file, like `-c`.", "none"),
    variable(
        LISTEN,
        "The address of one listener with plain HTTP, in place of `listeners`.",
        "`127.0.0.1:8787`",
    ),
    variable(ADMIN_LISTEN, "The address of the admin listener.", "`127.0.0.1:8788`"),
    variable(THREADS, "Worker threads.", "one for each core"),
    variable(
        HTTP1_EXCHANGE,
        "What serves plain requests to origins with HTTP/1: `direct` or `pingora`.",
        "`direct`",
    ),
    variable(
        LOG_LEVEL,
        "The level of the diagnostics: `error`, `warn`, `info`, `debug` or `trace`.",
        "`info`",
    ),
    variable(
        OTEL_PROPAGATORS,
        "`tracecontext`: `traceparent` is continued from trusted proxies or begun, and sent to origins.",
        "none",
    ),
    variable(
        OTEL_TRACES_SAMPLER,
        "Which traces are sampled: `always_on`, `always_off` or `traceidratio`, with `parentbased_` before it to follow a trusted proxy's decision.",
        "`parentbased_always_on`",
    ),
    variable(OTEL_TRACES_SAMPLER_ARG, "The share for `traceidratio`, from 0 to 1.", "1"),
    variable(OTEL_SDK_DISABLED, "`true` switches traces off.", "`false`"),
    variable(
        OTEL_TRACES_EXPORTER,
        "`otlp`: spans are sent to a collector. `none`: they are not.",
        "`otlp` if an endpoint is set",
    ),
    variable(
        OTEL_ENDPOINT,
        "The URL of the collector; `/v1/traces` is appended to it.",
        "`http://localhost:4318`",
    ),
    variable(
        OTEL_TRACES_ENDPOINT,
        "The whole URL for spans, in place of `OTEL_EXPORTER_OTLP_ENDPOINT`.",
        "none",
    ),
    variable(
        OTEL_HEADERS[1],
        "Further headers of each export, such as a key: `name=value,name=value`, percent-encoded. `OTEL_EXPORTER_OTLP_TRACES_HEADERS` overrides it.",
        "none",
    ),
    variable(
        OTEL_PROTOCOL[1],
        "Only `http/protobuf`. `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` overrides it.",
        "`http/protobuf`",
    ),
    variable(
        OTEL_COMPRESSION[1],
        "Only `none`. `OTEL_EXPORTER_OTLP_TRACES_COMPRESSION` overrides it.",
        "`none`",
    ),
    variable(
        OTEL_TIMEOUT[1],
        "How long one export may take, in milliseconds. `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT` overrides it.",
        "`10000`",
    ),
    variable(OTEL_SERVICE_NAME, "`service.name` of the spans.", "`approov-gateway`"),
    variable(
        OTEL_RESOURCE_ATTRIBUTES,
        "Further attributes of the process: `name=value,name=value`, percent-encoded.",
        "none",
    ),
    variable(OTEL_BSP_MAX_QUEUE_SIZE, "Spans that may wait. Further ones are dropped and counted.", "`2048`"),
    variable(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, "Spans that are sent at once.", "`512`"),
    variable(
        OTEL_BSP_SCHEDULE_DELAY,
        "How long spans gather before they are sent, in milliseconds.",
        "`5000`",
    ),
    variable("OTEL_EXPORTER_OTLP_CERTIFICATE", "Not supported, and reported: use `SSL_CERT_FILE`.", "none"),
];

/// Whether the gateway looks at a variable of this name at all.
pub fn is_relevant(name: &[u8]) -> bool {
    [&b"APPROOV_"[..], b"GATEWAY_", b"API_", OTEL.as_bytes()].iter().any(|prefix| name.starts_with(prefix))
        || [RUNTIME_DIRECTORY, XDG_RUNTIME_DIR, SSL_CERT_FILE].iter().any(|whole| whole.as_bytes() == name)
}

/// What a name is that the gateway does not read.
pub enum Unknown {
    /// It has a prefix of the gateway. The nearest name, if there is one.
    Ours(Option<&'static str>),
    /// It only resembles this name.
    Similar(&'static str),
}

/// Judges a name; `None` if it is known, or belongs to another program.
pub fn unknown(name: &str) -> Option<Unknown> {
    // Other programs read more of OpenTelemetry's variables.
    let names = || VARIABLES.iter().map(|variable| variable.name).filter(|name| !name.starts_with(OTEL));
    let is_known = names().any(|known| known == name) || name == UPGRADE_NOTIFY;
    if is_known || name.starts_with(OTEL) || is_of_kubernetes(name) {
        return None;
    }
    if name.starts_with("APPROOV_") || name.starts_with("GATEWAY_") {
        return Some(Unknown::Ours(nearest(name, names())));
    }
    let similar = nearest(name, names()).filter(|near| strsim::damerau_levenshtein(near, name) <= 3);
    similar.map(Unknown::Similar)
}

/// Whether a name is one that Kubernetes sets for a Service, such as `GATEWAY_SERVICE_HOST`,
/// `GATEWAY_SERVICE_PORT_HTTP`, `GATEWAY_PORT` or `GATEWAY_PORT_8787_TCP_ADDR`.
fn is_of_kubernetes(name: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.ends_with("_PORT") {
        return true;
    }
    let Some((_, rest)) = name.split_once("_PORT_") else { return false };
    let mut parts = rest.split('_');
    let port = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
    let protocol = parts.next().is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"));
    port && protocol && matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"))
}

/// The table of the reference page, in Markdown.
pub fn reference() -> String {
    let rows = VARIABLES
        .iter()
        .map(|variable| format!("| `{}` | {} | {} |\n", variable.name, variable.meaning, variable.default));
    "| variable | meaning | default |\n|---|---|---|\n".to_owned() + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_names_that_kubernetes_sets() {
        let mut cases = 0;
        for name in [
            "APPROOV_GATEWAY_SERVICE_HOST",
            "APPROOV_GATEWAY_SERVICE_PORT",
            "APPROOV_GATEWAY_SERVICE_PORT_HTTPS",
            "GATEWAY_PORT",
            "GATEWAY_PORT_8787_TCP",
            "GATEWAY_PORT_8787_TCP_PROTO",
            "GATEWAY_PORT_8787_TCP_PORT",
            "GATEWAY_PORT_53_UDP_ADDR",
        ] {
            assert!(unknown(name).is_none(), "{name}");
            cases += 1;
        }
        for name in ["GATEWAY_PORT_HTTP", "GATEWAY_PORTS", "APPROOV_SECRET", "GATEWAY_PORT_1_TCP_NAME"] {
            assert!(matches!(unknown(name), Some(Unknown::Ours(_))), "{name}");
            cases += 1;
        }
        assert_eq!(cases, 12);
    }
}
