//! Settings that a reload cannot change.

use std::path::PathBuf;

use crate::config::Settings;

/// Settings that only an upgrade can change: key and value.
pub(super) struct FixedSettings(Vec<(&'static str, String)>);

impl FixedSettings {
    /// The values of `settings`.
    pub fn of(settings: &Settings) -> Self {
        let listeners: Vec<String> =
            settings.listeners.iter().map(|listener| listener.address.to_string()).collect();
        let path = |path: &Option<PathBuf>| {
            path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
        };
        let user = settings.server.user.as_ref();
        Self(vec![
            ("server.threads", settings.server.threads.to_string()),
            ("server.pid_file", path(&settings.server.pid_file)),
            ("server.upgrade_sock", path(&settings.server.upgrade_sock)),
            ("server.user", user.map_or_else(|| "none".to_owned(), ToString::to_string)),
            ("server.upstream_keepalive_pool_size", settings.server.upstream_keepalive_pool_size.to_string()),
            ("server.http1_exchange", settings.server.http1_exchange.label().to_owned()),
            ("listeners", listeners.join(", ")),
            ("admin.address", settings.admin.address.to_string()),
            (
                "admin.health_address",
                settings
                    .admin
                    .health_address
                    .map_or_else(|| "none".to_owned(), |address| address.to_string()),
            ),
        ])
    }

    /// What stays although `wanted` says something else, a sentence each.
    pub fn differences(&self, wanted: &Self) -> Vec<String> {
        let pairs = self.0.iter().zip(&wanted.0).filter(|(present, wanted)| present != wanted);
        let sentences = pairs.map(|((key, present), (_, wanted))| {
            format!(
                "{key} cannot change while running: {present} stays, not {wanted}; use `approov-gateway upgrade`"
            )
        });
        sentences.collect()
    }
}
