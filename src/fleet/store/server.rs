//! A connection to one server of the store.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::allowance::{Allowance, LimitedStream, Unanswered};
use super::failure::SyncFailure;
use crate::fleet::settings::{ServerAddress, StoreSettings, StoreTls};
use crate::tls::provider;

/// How the servers of a store are reached.
#[derive(Clone)]
pub(super) struct Connector {
    login: RedisConnectionInfo,
    tls: Option<TlsConnector>,
    patience: Duration,
    /// One for all servers.
    allowance: Allowance,
}

impl Connector {
    pub fn new(settings: &StoreSettings, tls: Option<TlsConnector>, allowance: Allowance) -> Self {
        let mut login = RedisConnectionInfo::default().set_db(settings.database.into());
        if let Some(user) = &settings.user {
            login = login.set_username(user);
        }
        if let Some(password) = &settings.password {
            login = login.set_password(&**password);
        }
        Self { login, tls, patience: settings.patience(), allowance }
    }

    /// Connects to a server that has buckets.
    pub async fn connect(&self, server: &ServerAddress) -> Result<ServerConnection, SyncFailure> {
        self.connect_as(server, &self.login).await
    }

    /// Connects to a sentinel, which has users and passwords of its own.
    pub async fn connect_to_sentinel(&self, server: &ServerAddress) -> Result<ServerConnection, SyncFailure> {
        self.connect_as(server, &RedisConnectionInfo::default()).await
    }

    /// Gives the server that is asked next the whole allowance, whatever the one before has sent.
    pub fn renew_allowance(&self) {
        self.allowance.renew();
    }

    /// Limits the time of a step.
    pub async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, SyncFailure>>,
    ) -> Result<T, SyncFailure> {
        timeout(self.patience, step).await.unwrap_or(Err(SyncFailure::TooSlow))
    }

    async fn connect_as(
        &self,
        server: &ServerAddress,
        login: &RedisConnectionInfo,
    ) -> Result<ServerConnection, SyncFailure> {
        let stream = dial(server).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from(server.0.to_string()).map_err(io::Error::other)?;
                let stream = tls.connect(name, stream).await?;
                ServerConnection::over(stream, login, &self.allowance).await
            }
            None => ServerConnection::over(stream, login, &self.allowance).await,
        }
    }
}

/// Connects to the address of the server that answers first.
async fn dial((host, port): &ServerAddress) -> io::Result<TcpStream> {
    let addresses = lookup_host((&**host, *port)).await?;
    let mut dialing: JoinSet<_> = addresses.map(TcpStream::connect).collect();
    let mut failure = io::ErrorKind::HostUnreachable.into();
    while let Some(ended) = dialing.join_next().await {
        match ended {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            // Only a panic or the end of the runtime does this.
            Err(_) => {}
        }
    }
    Err(failure)
}

/// Trusts the configured authorities, and reads those of the system only without them.
pub(in crate::fleet) fn tls_connector(tls: &StoreTls) -> Result<TlsConnector, SyncFailure> {
    let authorities = match &tls.authorities {
        Some(authorities) => authorities.clone(),
        None => rustls_native_certs::load_native_certs().map_err(|_| SyncFailure::NoAuthorities)?,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities);
    if roots.is_empty() {
        return Err(SyncFailure::NoAuthorities);
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connection. Several commands can be in progress at once.
#[derive(Clone)]
pub(super) struct ServerConnection {
    commands: MultiplexedConnection,
    allowance: Allowance,
    unanswered: Unanswered,
    /// Reads and writes. It is stopped with the last clone, even if an answer is missing.
    _driver: Arc<JoinSet<()>>,
}

impl ServerConnection {
    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        login: &RedisConnectionInfo,
        allowance: &Allowance,
    ) -> Result<Self, SyncFailure> {
        let unanswered = Unanswered::default();
        let stream = LimitedStream::new(stream, allowance.clone(), unanswered.clone());
        // The callers limit the time.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let asking = unanswered.begin();
        let (commands, work) = MultiplexedConnection::new_with_config(login, stream, config).await?;
        drop(asking);
        let mut driver = JoinSet::new();
        driver.spawn(work);
        Ok(Self { commands, allowance: allowance.clone(), unanswered, _driver: Arc::new(driver) })
    }

    /// The answer to a command. A command is never sent again by itself: the store may have followed it.
    pub async fn send(&self, command: &Cmd) -> Result<Value, SyncFailure> {
        let _asking = self.unanswered.begin();
        let answer = self.commands.clone().req_packed_command(command).await;
        self.judge(answer.and_then(Value::extract_error))
    }

    /// The answer to a command about a slot that is on its way to this server. `ASKING` holds for the next command of
    /// the connection only, so both are sent as one.
    pub async fn send_asking(&self, command: &Cmd) -> Result<Value, SyncFailure> {
        let mut both = redis::pipe();
        both.cmd("ASKING").ignore().add_command(command.clone());
        let _asking = self.unanswered.begin();
        let answer = both.query_async::<(Value,)>(&mut self.commands.clone()).await;
        self.judge(answer.map(|(answer,)| answer))
    }

    fn judge(&self, answer: redis::RedisResult<Value>) -> Result<Value, SyncFailure> {
        answer.map_err(|error| match self.allowance.is_spent() {
            true => SyncFailure::TooMuch,
            false => error.into(),
        })
    }
}
