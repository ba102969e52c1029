//! A cluster: each primary has some of the slots, and all keys of a command are in one slot.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::{Cmd, ErrorKind, ServerErrorKind, Value};
use tokio::task::JoinSet;

use super::failure::SyncFailure;
use super::server::{Connector, ServerConnection};
use super::slots::{Redirect, Slots};
use crate::fleet::settings::ServerAddress;

type Primaries = HashMap<ServerAddress, ServerConnection>;

/// Connections to the primaries of a cluster.
#[derive(Clone)]
pub(super) struct ClusterConnection {
    connector: Connector,
    slots: Arc<Slots>,
    /// Those that cannot be reached are missing.
    primaries: Arc<Primaries>,
    has_moved: Arc<AtomicBool>,
}

impl ClusterConnection {
    /// Connects to all primaries. The first of these nodes that answers tells who they are.
    pub async fn connect(connector: Connector, nodes: &[ServerAddress]) -> Result<Self, SyncFailure> {
        let mut failure = SyncFailure::NoClusterNode;
        for node in nodes {
            connector.renew_allowance();
            match connector.in_time(ask_for_slots(&connector, node)).await {
                Ok(slots) => {
                    connector.renew_allowance();
                    let primaries = connect_to_primaries(&connector, &slots).await.into();
                    return Ok(Self { connector, slots: slots.into(), primaries, has_moved: Arc::default() });
                }
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    /// Whether a slot has another primary since this connection was made.
    pub fn has_moved(&self) -> bool {
        self.has_moved.load(Ordering::Relaxed)
    }

    /// The answer to a command about a key. A server that redirects a command has not followed it.
    pub async fn send(&self, command: &Cmd, key: &str) -> Result<Value, SyncFailure> {
        let primary = self.slots.primary_of(key).ok_or(SyncFailure::NoClusterNode)?;
        let connection = self.primaries.get(primary).ok_or(SyncFailure::NoClusterNode)?;
        let answer = connection.send(command).await;
        let Err(SyncFailure::Store(error)) = &answer else { return answer };
        match Redirect::read(error, &primary.0) {
            Some(Redirect::Moved(primary)) => {
                self.has_moved.store(true, Ordering::Relaxed);
                self.connection_to(&primary).await?.send(command).await
            }
            Some(Redirect::Ask(next)) => self.connection_to(&next).await?.send_asking(command).await,
            None => answer,
        }
    }

    async fn connection_to(&self, server: &ServerAddress) -> Result<ServerConnection, SyncFailure> {
        match self.primaries.get(server) {
            Some(connection) => Ok(connection.clone()),
            None => self.connector.connect(server).await,
        }
    }
}

async fn ask_for_slots(connector: &Connector, node: &ServerAddress) -> Result<Slots, SyncFailure> {
    let connection = connector.connect(node).await?;
    match connection.send(redis::cmd("CLUSTER").arg("SLOTS")).await {
        Ok(answer) => Slots::read(&answer, &node.0).ok_or(SyncFailure::Garbage),
        Err(SyncFailure::Store(error))
            if error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError) =>
        {
            Err(SyncFailure::NotCluster)
        }
        Err(failure) => Err(failure),
    }
}

async fn connect_to_primaries(connector: &Connector, slots: &Slots) -> Primaries {
    let connections = slots.primaries().into_iter().cloned().map(|server| {
        let connector = connector.clone();
        async move {
            let connection = connector.in_time(connector.connect(&server)).await.ok()?;
            Some((server, connection))
        }
    });
    let mut connecting: JoinSet<_> = connections.collect();
    let mut primaries = Primaries::new();
    while let Some(ended) = connecting.join_next().await {
        primaries.extend(ended.ok().flatten());
    }
    primaries
}
