//! The connection to the store: one server, the primary that sentinels name, or a cluster.
//!
//! - `server`: a connection to one server, plain or with TLS;
//! - `sentinels`, `cluster`, `slots`: which servers there are;
//! - `allowance`: a limit for what they send;
//! - `failure`, `explain`: what a failure means.

mod allowance;
mod cluster;
mod explain;
mod failure;
mod sentinels;
mod server;
mod slots;

use redis::{Cmd, ErrorKind, Script, ServerErrorKind, ToRedisArgs, Value};
use tokio_rustls::TlsConnector;

use crate::fleet::settings::{StoreSettings, Topology};
use allowance::Allowance;
use cluster::ClusterConnection;
pub use failure::SyncFailure;
use sentinels::connect_to_primary;
pub(super) use server::tls_connector;
use server::{Connector, ServerConnection};

/// A script of this program.
pub(super) struct StoreScript {
    code: &'static str,
    script: Script,
}

impl StoreScript {
    pub fn new(code: &'static str) -> Self {
        Self { code, script: Script::new(code) }
    }
}

/// A connection. Several commands can be in progress at once.
#[derive(Clone)]
pub(super) struct StoreConnection {
    servers: Servers,
    allowance: Allowance,
}

#[derive(Clone)]
enum Servers {
    One(ServerConnection),
    Cluster(ClusterConnection),
}

impl StoreConnection {
    /// Connects, over TLS if there is a connector. Each step takes at most [`StoreSettings::patience`].
    pub async fn connect(settings: &StoreSettings, tls: Option<TlsConnector>) -> Result<Self, SyncFailure> {
        let allowance = Allowance::default();
        let connector = Connector::new(settings, tls, allowance.clone());
        let servers = match &settings.topology {
            Topology::Single => {
                Servers::One(connector.in_time(connector.connect(&settings.servers[0])).await?)
            }
            Topology::Sentinel(name) => {
                Servers::One(connect_to_primary(&connector, &settings.servers, name).await?)
            }
            Topology::Cluster => {
                Servers::Cluster(ClusterConnection::connect(connector, &settings.servers).await?)
            }
        };
        Ok(Self { servers, allowance })
    }

    /// An exchange begins: the store may send as much as one has.
    pub fn begin_exchange(&self) {
        self.allowance.renew();
    }

    /// Whether a new connection would reach more of the store.
    pub fn is_outdated(&self) -> bool {
        matches!(&self.servers, Servers::Cluster(cluster) if cluster.has_moved())
    }

    /// Runs a script that is sent only if the store does not have it. All keys are in one slot.
    pub async fn run(
        &self,
        script: &StoreScript,
        keys: &[String],
        arguments: &[impl ToRedisArgs],
    ) -> Result<Value, SyncFailure> {
        let with = |mut command: Cmd, script: &str| {
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        let key = keys.first().map_or("", |key| key);
        let known = self.send(&with(redis::cmd("EVALSHA"), script.script.get_hash()), key).await;
        match known {
            Err(SyncFailure::Store(error))
                if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
            {
                self.send(&with(redis::cmd("EVAL"), script.code), key).await
            }
            known => known,
        }
    }

    async fn send(&self, command: &Cmd, key: &str) -> Result<Value, SyncFailure> {
        match &self.servers {
            Servers::One(server) => server.send(command).await,
            Servers::Cluster(cluster) => cluster.send(command, key).await,
        }
    }
}
