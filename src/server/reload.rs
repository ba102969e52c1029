//! Putting another configuration in force while requests run.

use std::sync::Arc;

use super::origins::Origins;
use super::sockets::Sockets;
use crate::admin::ConfigStatus;
use crate::config::{Listener, Settings};
use crate::proxy::{Shared, Snapshot};
use crate::telemetry::Metrics;
use crate::tls::{ServerTls, Tickets};

/// Reads the configuration again; the error lists every problem.
pub type Load = Box<dyn Fn() -> Result<Settings, String> + Send>;

/// Loads configurations and swaps them in.
pub(super) struct Reloader {
    load: Load,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    status: Arc<ConfigStatus>,
    origins: Origins,
    tickets: Tickets,
    fixed: Fixed,
}

impl Reloader {
    pub fn new(
        load: Load,
        shared: Arc<Shared>,
        metrics: Arc<Metrics>,
        status: Arc<ConfigStatus>,
        origins: Origins,
        tickets: Tickets,
        fixed: Fixed,
    ) -> Self {
        metrics.config_loaded();
        status.taken();
        Self { load, shared, metrics, status, origins, tickets, fixed }
    }

    /// Loads everything anew and swaps it in, or reports every problem and changes nothing.
    /// Requests under way keep the configuration they began with. Returns the new grace period.
    pub async fn reload(&mut self, sockets: &Sockets) -> Option<std::time::Duration> {
        match self.try_reload(sockets).await {
            Ok(settled) => Some(settled),
            Err(problems) => {
                self.metrics.config_refused();
                log::error!("the configuration was not reloaded, the old one stays in force:");
                for problem in problems.lines() {
                    log::error!("{problem}");
                }
                self.status.refuse(problems);
                None
            }
        }
    }

    async fn try_reload(&mut self, sockets: &Sockets) -> Result<std::time::Duration, String> {
        let settings = (self.load)()?;
        for (key, present, wanted) in self.fixed.differences(&Fixed::of(&settings)) {
            log::warn!(
                "{key} cannot change while running: {present} stays, not {wanted}; use `approov-gateway upgrade`"
            );
        }
        let grace_period = settings.server.grace_period;
        let listeners =
            sockets.prepare(&settings.listeners, &self.tickets).map_err(|error| error.to_string())?;
        let certificates = certificates(&settings.listeners);
        let upstreams = self.origins.adopt(&settings.origins).await.map_err(|error| error.to_string())?;
        let snapshot =
            Snapshot::new(settings, upstreams.clone(), &self.metrics).map_err(|error| error.to_string())?;
        self.shared.snapshot.store(Arc::new(snapshot));
        listeners.adopt();
        self.metrics.certificates(certificates);
        self.origins.keep(&upstreams);
        self.metrics.config_loaded();
        log::info!("configuration reloaded, generation {}", self.status.taken());
        Ok(grace_period)
    }
}

/// Listener, name and expiry of every certificate, for the metrics.
pub(super) fn certificates(listeners: &[Listener]) -> Vec<(String, String, i64)> {
    let of_listener = |listener: &Listener| {
        let address = listener.address.to_string();
        let certificates = listener.tls.iter().flat_map(ServerTls::certificates);
        certificates.map(move |found| (address.clone(), found.name(), found.not_after)).collect::<Vec<_>>()
    };
    listeners.iter().flat_map(of_listener).collect()
}

/// What stays as it is until another process takes over.
pub(super) struct Fixed(Vec<(&'static str, String)>);

impl Fixed {
    pub fn of(settings: &Settings) -> Self {
        let listeners: Vec<String> =
            settings.listeners.iter().map(|listener| listener.address.to_string()).collect();
        let path = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
        };
        Self(vec![
            ("server.threads", settings.server.threads.to_string()),
            ("server.pid_file", path(&settings.server.pid_file)),
            ("server.upgrade_sock", path(&settings.server.upgrade_sock)),
            ("server.upstream_keepalive_pool_size", settings.server.upstream_keepalive_pool_size.to_string()),
            ("listeners", listeners.join(", ")),
            ("admin.address", settings.admin.address.to_string()),
        ])
    }

    fn differences<'f>(&'f self, other: &'f Self) -> impl Iterator<Item = (&'static str, &'f str, &'f str)> {
        let pairs = self.0.iter().zip(&other.0);
        pairs.filter(|(this, that)| this != that).map(|(this, that)| (this.0, &*this.1, &*that.1))
    }
}
