//! `check --connect`: whether the origins, the servers of key sets and the store of the fleet can be reached.

use std::sync::Arc;

use crate::cli::CommandFailure;
use crate::cli::show::printable;
use crate::config::Settings;
use crate::fleet;
use crate::key_sets;
use crate::telemetry::Metrics;
use crate::tls;
use crate::upstream::{Dialers, SystemResolver, Upstream, UpstreamContext};

/// Resolves, connects to and asks every origin once, and fetches every key set. Prints a line for each
/// address and each set.
///
/// # Errors
/// [`CommandFailure::Configuration`] with everything that failed.
pub(super) fn run(settings: &Settings) -> Result<(), CommandFailure> {
    let failed = |error: &dyn std::fmt::Display| CommandFailure::Running(error.to_string());
    tls::install_provider();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    let context = UpstreamContext {
        metrics: Arc::new(Metrics::new().map_err(|error| failed(&error))?),
        dialers: Dialers::default(),
        resolver: Arc::new(SystemResolver),
    };
    let mut problems = Vec::new();
    for origin in &settings.origins {
        let name = origin.name.clone();
        let upstream = Upstream::new(origin.clone(), &context).map_err(|error| failed(&error))?;
        let found = runtime.block_on(async {
            upstream.resolve().await;
            upstream.probe().await
        });
        for (address, result) in found {
            match result {
                Ok(status) => println!("origin {name}: {address} answers {status}"),
                Err(message) => problems.push(format!("origin {name}: {}", printable(&message))),
            }
        }
    }
    let fetched = runtime.block_on(key_sets::fetch_once(&settings.key_sets, &context.metrics));
    for (name, result) in fetched.map_err(|error| failed(&error))? {
        match result {
            Ok(keys) => println!("key set {name}: {keys} keys"),
            Err(message) => problems.push(format!("key set {name}: {}", printable(&message))),
        }
    }
    if let Some(store) = &settings.fleet.store {
        match runtime.block_on(fleet::reach(store)) {
            Ok(()) => println!("fleet store {}: agrees", store.shown()),
            Err(message) => problems.push(format!("fleet store {}: {message}", store.shown())),
        }
    }
    // Does not wait for a name that is still being resolved.
    runtime.shutdown_background();
    if problems.is_empty() { Ok(()) } else { Err(CommandFailure::Configuration(problems.join("\n"))) }
}
