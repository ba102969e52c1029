//! The connection to the store.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo,
    RedisResult, Script, ServerErrorKind, TlsCertificates, TlsMode, ToRedisArgs, Value,
};

use super::settings::{StoreSettings, StoreTls, Topology};

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
pub(super) enum StoreConnection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl StoreConnection {
    /// Connects. Takes at most a few times [`StoreSettings::patience`]; the caller limits it further.
    pub async fn connect(settings: &StoreSettings) -> RedisResult<Self> {
        let patience = settings.patience();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        match &settings.topology {
            Topology::Single => {
                let info = address(&settings.servers[0], settings).into_connection_info()?;
                let info = info.set_redis_settings(login(settings));
                let client = match &settings.tls {
                    Some(tls) => Client::build_with_tls(info, certificates(tls))?,
                    None => Client::open(info)?,
                };
                Ok(Self::Server(client.get_multiplexed_async_connection_with_config(&config).await?))
            }
            Topology::Sentinel(name) => {
                let servers = settings.servers.iter().map(|server| address(server, settings));
                let mut builder = SentinelClientBuilder::new(servers, name, SentinelServerType::Master)?
                    .set_client_to_redis_db(settings.database.into());
                if let Some(user) = &settings.user {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = &settings.password {
                    builder = builder.set_client_to_redis_password(&**password);
                }
                if let Some(tls) = &settings.tls {
                    builder = builder
                        .set_client_to_redis_tls_mode(TlsMode::Secure)
                        .set_client_to_redis_certificates(certificates(tls))
                        .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                        .set_client_to_sentinel_certificates(certificates(tls));
                }
                Ok(Self::Server(builder.build()?.get_async_connection_with_config(&config).await?))
            }
            Topology::Cluster => {
                let servers = settings.servers.iter().map(|server| address(server, settings));
                let mut builder = ClusterClientBuilder::new(servers)
                    .connection_timeout(patience)
                    .response_timeout(patience)
                    .overall_response_timeout(Some(patience))
                    .retries(1);
                if let Some(user) = &settings.user {
                    builder = builder.username(user);
                }
                if let Some(password) = &settings.password {
                    builder = builder.password(&**password);
                }
                if let Some(tls) = &settings.tls {
                    builder = builder.tls(TlsMode::Secure).certs(certificates(tls));
                }
                Ok(Self::Cluster(builder.build()?.get_async_connection().await?))
            }
        }
    }

    /// Runs a script that is sent only if the store does not have it.
    pub async fn run(
        &mut self,
        script: &StoreScript,
        keys: &[String],
        arguments: &[impl ToRedisArgs],
    ) -> RedisResult<Value> {
        let with = |mut command: Cmd, script: &str| {
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        let known = self.send(&with(redis::cmd("EVALSHA"), script.script.get_hash())).await;
        match known {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.send(&with(redis::cmd("EVAL"), script.code)).await
            }
            known => known,
        }
    }

    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::Server(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        };
        answer?.extract_error()
    }
}

fn address((host, port): &(Box<str>, u16), settings: &StoreSettings) -> ConnectionAddr {
    let (host, port) = (host.to_string(), *port);
    match settings.tls {
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        None => ConnectionAddr::Tcp(host, port),
    }
}

fn login(settings: &StoreSettings) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_db(settings.database.into());
    if let Some(user) = &settings.user {
        login = login.set_username(user);
    }
    if let Some(password) = &settings.password {
        login = login.set_password(&**password);
    }
    login
}

fn certificates(tls: &StoreTls) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: tls.authorities.clone() }
}
