//! The settings of a fleet.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::key::FleetKey;
use crate::closed_set::closed_set;
use crate::limits::SharedLimits;

/// The nodes that serve the same clients: `fleet` in the configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetSettings {
    /// The number of nodes; `None` if it is not written.
    pub nodes: Option<NonZeroU32>,
    /// The store through which the nodes agree; `None` if each has an even part of what clients share.
    pub store: Option<StoreSettings>,
}

impl FleetSettings {
    /// The number of nodes that divide the limits that clients share.
    pub fn divisor(&self) -> NonZeroU32 {
        self.nodes.filter(|_| self.store.is_none()).unwrap_or(NonZeroU32::MIN)
    }

    /// How the limits are shared; `None` without a store.
    pub fn shared_limits(&self) -> Option<SharedLimits> {
        let store = self.store.as_ref()?;
        let when_lost = self.nodes.filter(|_| store.on_loss == OnLoss::Share);
        Some(SharedLimits { hash_secret: store.key.hash_secret(), when_lost })
    }
}

/// Host and port of a server.
pub type ServerAddress = (Box<str>, u16);

/// The store through which nodes agree.
#[derive(Clone, PartialEq)]
pub struct StoreSettings {
    /// The server, or several sentinels or cluster nodes. Never empty.
    pub servers: Vec<ServerAddress>,
    /// What the servers are.
    pub topology: Topology,
    /// TLS; `None` for plain connections.
    pub tls: Option<StoreTls>,
    /// The user; `None` for the default user.
    pub user: Option<Box<str>>,
    /// The password of the user; `None` if the store asks for none.
    pub password: Option<Zeroizing<String>>,
    /// The number of the database.
    pub database: u32,
    /// Time from one exchange to the next.
    pub sync: Duration,
    /// The name of the fleet. Fleets with different names share nothing in one store.
    pub name: Box<str>,
    /// The key of the fleet.
    pub key: FleetKey,
    /// What happens to limits that clients share while the store is lost.
    pub on_loss: OnLoss,
    /// The number of nodes for which the longest debt of a bucket is computed.
    pub nodes: NonZeroU32,
}

impl StoreSettings {
    /// Whether the buckets of a process with `other` can go on with these settings.
    pub fn has_buckets_of(&self, other: &Self) -> bool {
        let Self { name, key, on_loss, nodes, .. } = self;
        (name, key, on_loss, nodes) == (&other.name, &other.key, &other.on_loss, &other.nodes)
    }
}

/// What the servers of a store are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Single,
    /// Sentinels that know the server of this name.
    Sentinel(Box<str>),
    /// Nodes of a cluster.
    Cluster,
}

/// TLS towards the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreTls {
    /// The trusted authorities; `None` for those of the system.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
}

closed_set! {
    /// What happens to limits that clients share while the store is lost.
    pub enum OnLoss {
        /// Each node goes on alone, with the whole limits.
        Local => "local",
        /// Each node goes on with an even part of the limits.
        Share => "share",
    }
}

impl StoreSettings {
    /// The number of nodes that is assumed if none is written.
    pub const ASSUMED_NODES: NonZeroU32 = match NonZeroU32::new(100) {
        Some(nodes) => nodes,
        None => NonZeroU32::MIN,
    };

    /// The servers as logs show them.
    pub fn shown(&self) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let server = |(host, port): &ServerAddress| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let servers: Vec<_> = self.servers.iter().map(server).collect();
        let topology = match &self.topology {
            Topology::Single => String::new(),
            Topology::Sentinel(name) => format!(" (sentinels of {name})"),
            Topology::Cluster => " (cluster)".to_owned(),
        };
        format!("{scheme}://{}{topology}", servers.join(","))
    }

    /// How long the store may take to connect or to answer.
    pub fn patience(&self) -> Duration {
        self.sync.clamp(Duration::from_millis(500), Duration::from_secs(2))
    }
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings").field("servers", &self.shown()).finish_non_exhaustive()
    }
}
