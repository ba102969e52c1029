//! Builds of the gateway as peers, and their variants.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::measure::Bench;
use super::modes::Setup;
use crate::rig::{Result, gateway};

/// A build of the gateway, and how it runs.
#[derive(Clone, Debug)]
pub struct Build {
    /// The name of the build, and the variants behind colons.
    pub name: String,
    path: PathBuf,
}

/// What may follow the name of a build: other settings than the defaults.
const VARIANTS: [&str; 5] = ["direct", "pingora", "small-pages", "quiet", "traced"];

impl Build {
    pub fn new(name: &str, path: PathBuf) -> Self {
        Self { name: name.into(), path }
    }

    /// The same build with another setting.
    pub fn variant(mut self, variant: &str) -> Result<Self> {
        if !VARIANTS.contains(&variant) {
            return Err(format!("{variant:?} is none of {}", VARIANTS.join(", ")).into());
        }
        self.name = format!("{}:{variant}", self.name);
        Ok(self)
    }

    fn is(&self, variant: &str) -> bool {
        self.name.split(':').skip(1).any(|of| of == variant)
    }

    pub fn is_profile_guided(&self) -> bool {
        self.name.starts_with("gateway-pgo")
    }

    /// Writes the configuration and returns the command.
    pub fn command(
        &self,
        setup: Setup,
        origins: &[SocketAddr],
        address: SocketAddr,
        bench: &Bench,
    ) -> Result<Command> {
        let mut config = gateway::config(*origins.first().ok_or("the origin has no address")?);
        config["server"]["threads"] = setup.threads.into();
        for exchange in ["direct", "pingora"].into_iter().filter(|exchange| self.is(exchange)) {
            config["server"]["http1_exchange"] = exchange.into();
        }
        config["listeners"][0]["address"] = address.to_string().into();
        if setup.tls.is_some() {
            let certificate = bench.certificate(setup);
            let files = json!({ "certificate_file": certificate.chain, "private_key_file": certificate.key });
            config["listeners"][0]["tls"] = json!({ "certificates": [files] });
        }
        config["approov"]["strategy"] = if setup.binding { "token-binding" } else { "token" }.into();
        if setup.verifies_messages {
            config["approov"]["message_signing"] = json!({ "mode": "when_keyed", "max_age": "1h" });
        }
        if origins.len() > 1 {
            let api = &mut config["origins"]["api"];
            api["addresses"] = json!(origins);
            api["connect_timeout"] = "500ms".into();
            api["first_byte_timeout"] = "500ms".into();
            api["retries"] = json!({ "attempts": 2, "on": ["error", "timeout"] });
            api["ejection"] = json!({ "errors": 3 });
            api["health_check"] = json!({ "path": "/", "interval": "1s", "timeout": "500ms" });
        }
        // Connections last as long as those of the peers, and 10 000 requests can be in flight.
        config["limits"] =
            json!({ "connections": { "requests": 1_000_000 }, "requests": { "in_flight": 20_000 } });
        if self.is("quiet") {
            config["log"] = json!({ "access": "off" });
            config["request_id"] = json!({ "enabled": false });
        }
        let file = format!("{}-{}.yaml", self.name, address.port());
        let mut command = gateway::command(&self.path, &bench.folder.write(&file, config.to_string())?);
        if self.is("quiet") || self.is("traced") {
            command.env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
        }
        if self.is("traced") {
            // Nothing listens there: the cost is that of making spans, and of losing them.
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
            command.env("OTEL_TRACES_SAMPLER_ARG", "0.01");
        }
        if self.is("small-pages") {
            command.env("MIMALLOC_ALLOW_THP", "0");
        }
        Ok(command)
    }
}
