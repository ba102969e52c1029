//! Sentinels, which know the primary of a store
//! (<https://redis.io/docs/latest/develop/reference/sentinel-clients/>).

use redis::Value;

use super::failure::SyncFailure;
use super::server::{Connector, ServerConnection};
use crate::fleet::settings::ServerAddress;

/// Connects to the primary of this name. Each sentinel is asked in turn, as one may be gone or behind.
pub(super) async fn connect_to_primary(
    connector: &Connector,
    sentinels: &[ServerAddress],
    name: &str,
) -> Result<ServerConnection, SyncFailure> {
    let mut failure = SyncFailure::UnknownToSentinels;
    for sentinel in sentinels {
        connector.renew_allowance();
        let attempt = async {
            let primary = connector.in_time(primary(connector, sentinel, name)).await?;
            connector.in_time(connect(connector, &primary)).await
        };
        match attempt.await {
            Ok(connection) => return Ok(connection),
            Err(why) => failure = why,
        }
    }
    Err(failure)
}

/// The address of the primary, as this sentinel knows it.
async fn primary(
    connector: &Connector,
    sentinel: &ServerAddress,
    name: &str,
) -> Result<ServerAddress, SyncFailure> {
    let connection = connector.connect_to_sentinel(sentinel).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    match connection.send(&question).await? {
        Value::Nil => Err(SyncFailure::UnknownToSentinels),
        answer => {
            let (host, port): (String, u16) =
                redis::from_redis_value(answer).map_err(|_| SyncFailure::Garbage)?;
            Ok((host.into(), port))
        }
    }
}

/// Connects to a server, which must know that it is the primary.
async fn connect(connector: &Connector, server: &ServerAddress) -> Result<ServerConnection, SyncFailure> {
    let connection = connector.connect(server).await?;
    match connection.send(&redis::cmd("ROLE")).await? {
        Value::Array(role) if role.first() == Some(&Value::BulkString(b"master".to_vec())) => Ok(connection),
        _ => Err(SyncFailure::NotPrimary),
    }
}
