//! `fleet`: several nodes as one.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::read_secret_file;
use super::origins::{MAX_CA_FILE, authorities_in};
use crate::config::document::{
    Located, Location, Report, Reported, Written, boolean, default, nested, positive, required, section,
    text, words,
};
use crate::config::values::{
    MILLISECOND, SECOND, StoreUrl, duration, file, printable, read_file, read_small_file, short_name,
    store_url, warn_if_world_readable,
};
use crate::fleet::{FleetKey, FleetSettings, HAS_STORE, OnLoss, StoreSettings, StoreTls, Topology};

section! {
    /// Several nodes that serve the same clients.
    pub struct FleetSection {
        /// The number of nodes. Without a store each node gets an even part of every limit by `total`, `route` and
        /// `origin`, so the balancer in front must spread requests evenly. Limits by `address`, `device` and
        /// `token` are not divided, because a client may send all its requests to one node. Default: 1
        /// without a store. With a store, any number of nodes may agree.
        nodes: Written<NonZeroU32> = positive(MAX_NODES),
        /// A store through which the nodes agree on all rates, outside of requests: Redis 6.2 or newer, or Valkey.
        /// Requests continue if the store is lost; `on_loss` says which limits hold then. Default: none.
        store: Written<StoreSection> = nested::<StoreSection>(),
    }
}

section! {
    /// The store through which nodes agree.
    struct StoreSection {
        /// Where the store is: `redis://host:6379`, or `rediss://` for TLS. Write a user before an `@`, and the
        /// number of a database after a slash. Several sentinels or nodes of a cluster are separated by commas.
        url: Located<StoreUrl> = required(text("URL with redis:// or rediss://", store_url), "write url: and where the store is"),
        /// The name under which the sentinels of `url` know the store. Default: `url` is the store itself.
        sentinel: Written<String> = text("name", printable),
        /// Whether `url` names nodes of a cluster.
        cluster: bool = default(boolean(), false),
        /// A file with the user's password. Default: no password.
        password_file: Written<PathBuf> = file(),
        /// A PEM file with the trusted authorities. Default: those of the system.
        ca_file: Written<PathBuf> = file(),
        /// Time from one exchange to the next. The store must answer within this time too, but the limit
        /// for an answer is never shorter than 500ms or longer than 2s.
        sync: Duration = default(duration(100 * MILLISECOND..=10 * SECOND), SYNC),
        /// The name of the fleet. Fleets with different names share nothing.
        name: Written<Box<str>> = text("1 to 32 letters, digits, `-`, `_` or `.`", |text| short_name(text, "fleet")),
        /// A file with the key of the fleet in base64, the same on all nodes. The store never gets this key, so the
        /// data in the store does not identify clients.
        key_file: Located<PathBuf> = required(file(), "make a key: head -c 32 /dev/urandom | base64 > fleet-key"),
        /// What limits by `total`, `route` and `origin` do while the store is lost: `local` keeps them whole on each
        /// node, `share` divides them by `nodes`.
        on_loss: OnLoss = default(words(OnLoss::ALL.map(|how| (how.label(), how))), OnLoss::Local),
    }
}

/// The largest number of nodes.
const MAX_NODES: u32 = 1000;

const SYNC: Duration = Duration::from_millis(500);

/// The name of a fleet without its own.
const NAME: &str = "gateway";

impl FleetSection {
    /// The settings, with the files read.
    pub fn resolve(self, report: &Report) -> Result<FleetSettings, Reported> {
        let nodes = self.nodes.value();
        let store = match self.store.checked()? {
            Some(Located { value: section, at }) => Some(section.resolve(nodes, &at, report)?),
            None => None,
        };
        Ok(FleetSettings { nodes, store })
    }
}

impl StoreSection {
    fn resolve(
        self,
        nodes: Option<NonZeroU32>,
        section: &Location,
        report: &Report,
    ) -> Result<StoreSettings, Reported> {
        if !HAS_STORE {
            let hint = "remove it, or build with the cargo feature fleet";
            report.problem(section, "this build was made without a store", hint);
        }
        let Located { value: url, at } = self.url;
        let topology = match (self.sentinel.value(), self.cluster) {
            (Some(name), false) => Topology::Sentinel(name.into()),
            (None, true) => Topology::Cluster,
            (None, false) => Topology::Single,
            (Some(_), true) => {
                let message = "a store has sentinels or is a cluster, not both";
                return Err(report.problem(section, message, "remove sentinel or cluster"));
            }
        };
        if topology == Topology::Single && url.servers.len() > 1 {
            let hint = "name one, or write sentinel: or cluster: true";
            report.problem(&at, "it names several servers", hint);
        }
        if topology == Topology::Cluster && url.database != 0 {
            report.problem(&at, "a cluster has the database 0 only", "remove the number");
        }
        if self.on_loss == OnLoss::Share && nodes.is_none() {
            let message = "on_loss: share divides by the number of nodes, which is not written";
            report.problem(section, message, "write fleet.nodes");
        }
        let is_local = |(host, _): &(Box<str>, _)| {
            **host == *"localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        };
        if !url.tls && !url.servers.iter().all(is_local) {
            let message = "the connection to the store has no TLS: its password can be read, and what is agreed can be changed";
            report.warning(&at, message, "use rediss://, unless the network in between is your own");
        }
        let tls = tls(url.tls, self.ca_file, report);
        let password = self.password_file.located().map(|file| {
            let text = read_small_file(&file, report)?;
            warn_if_world_readable(&file.value, &file.at, report);
            let password = text.trim_end_matches(['\r', '\n']);
            if password.is_empty() {
                return Err(report.problem(&file.at, "the file is empty", "write the password into it"));
            }
            Ok(password.to_owned().into())
        });
        let key = read_secret_file(&self.key_file, report).map(FleetKey::new);
        let default_port = if matches!(topology, Topology::Sentinel(_)) { 26379 } else { 6379 };
        let servers = url.servers.into_iter().map(|(host, port)| (host, port.unwrap_or(default_port)));
        Ok(StoreSettings {
            servers: servers.collect(),
            topology,
            tls: tls?,
            user: url.user,
            password: password.transpose()?,
            database: url.database,
            sync: self.sync,
            name: self.name.value().unwrap_or_else(|| NAME.into()),
            key: key?,
            on_loss: self.on_loss,
            nodes: nodes.unwrap_or(StoreSettings::ASSUMED_NODES),
        })
    }
}

fn tls(has_tls: bool, ca_file: Written<PathBuf>, report: &Report) -> Result<Option<StoreTls>, Reported> {
    let Some(file) = ca_file.checked()? else { return Ok(has_tls.then_some(StoreTls { authorities: None })) };
    if !has_tls {
        report.warning(
            &file.at,
            "the connection has no TLS, so nothing uses it",
            "write rediss://, or remove it",
        );
        return Ok(None);
    }
    let pem = read_file(&file, MAX_CA_FILE, report)?;
    Ok(Some(StoreTls { authorities: Some(authorities_in(&pem, &file, report)?) }))
}
