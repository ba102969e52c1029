//! `server`: the process.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use super::user::user;
use crate::config::document::{
    Located, Report, Reported, Written, boolean, default, number, section, text, words,
};
use crate::config::overrides::ServerOverrides;
use crate::config::settings::{Http1Exchange, ServerSettings};
use crate::config::values::{DAY, duration, file, printable};

/// Worker threads that can be configured.
pub const THREADS: std::ops::RangeInclusive<usize> = 1..=1024;

/// What can serve plain HTTP/1.1 exchanges.
pub const HTTP1_EXCHANGES: [(&str, Http1Exchange); 2] = [
    (Http1Exchange::Direct.label(), Http1Exchange::Direct),
    (Http1Exchange::Pingora.label(), Http1Exchange::Pingora),
];

const GRACE_PERIOD: Duration = Duration::from_secs(30);

section! {
    /// The process.
    pub struct ServerSection {
        /// Worker threads. Default: one for each core. (`GATEWAY_THREADS`)
        pub threads: Written<usize> = number(THREADS),
        /// How long requests in flight may take to finish after SIGTERM. Keep it shorter than the
        /// time after which the service manager kills the process.
        grace_period: Duration = default(duration(Duration::ZERO..=DAY), GRACE_PERIOD),
        /// How long connections are still accepted after SIGTERM, while `/readyz` answers 503. Choose the
        /// time that a load balancer needs to notice. The grace period begins after it.
        drain_delay: Duration = default(duration(Duration::ZERO..=DAY), Duration::ZERO),
        /// The file with the process id, for `reload` and `upgrade`. Default: a file that is named
        /// after the first listener, in systemd's `RUNTIME_DIRECTORY` or in
        /// `XDG_RUNTIME_DIR/approov-gateway`; no file without either variable. The folder is made
        /// with mode 0700. A folder that other users can write to is refused.
        pid_file: Written<PathBuf> = file(),
        /// The socket over which a new process takes the listening sockets from the old one.
        /// Default: next to the default of the pid file.
        upgrade_sock: Written<PathBuf> = file(),
        /// Unused connections to origins that each worker keeps.
        upstream_keepalive_pool_size: usize = default(number(1..=100_000), 1024),
        /// What serves plain requests to origins with HTTP/1. `direct`: the gateway itself, without Pingora's
        /// proxy. `pingora`: Pingora's proxy. It always serves HTTP/1.0, upgrades, gRPC calls, requests with
        /// `Expect`, and origins with HTTP/2. (`GATEWAY_HTTP1_EXCHANGE`)
        http1_exchange: Http1Exchange = default(words(HTTP1_EXCHANGES), Http1Exchange::Direct),
        /// The user that the process becomes once it listens, by name or number, if it is started
        /// as root for ports below 1024. The user must be able to read every file that is named in
        /// the configuration, because a reload reads them again; `check` tests that when it runs as
        /// root. Default: the process keeps its user. It is better to start the process as that user
        /// with `CAP_NET_BIND_SERVICE`, or to let systemd pass the sockets.
        user: Written<String> = text("name or number of a user", printable),
        /// The group that the process joins with `user`. Default: the group of the user.
        group: Written<String> = text("name or number of a group", printable),
        /// Whether this file, and the files that it names, are loaded again about two seconds after they
        /// change, as on SIGHUP.
        watch: bool = default(boolean(), false),
    }
}

impl ServerSection {
    /// The settings.
    pub fn resolve(
        self,
        environment: ServerOverrides,
        listeners: &[Located<SocketAddr>],
        report: &Report,
    ) -> Result<ServerSettings, Reported> {
        let cores = || available_parallelism().map_or(1, NonZeroUsize::get);
        // The name of the first listener keeps several gateways apart. Commands could not know the
        // name of a listener on any free port.
        let address = listeners.first().map(|listener| listener.value).filter(|address| address.port() != 0);
        let own_file = |extension: &str| {
            Some(environment.runtime_folder.as_ref()?.join(format!("{}.{extension}", address?)))
        };
        Ok(ServerSettings {
            threads: environment.threads.or(self.threads.value()).unwrap_or_else(cores),
            grace_period: self.grace_period,
            drain_delay: self.drain_delay,
            pid_file: self.pid_file.value().or_else(|| own_file("pid")),
            upgrade_sock: self.upgrade_sock.value().or_else(|| own_file("upgrade.sock")),
            user: user(self.user.located(), self.group.located(), report)?,
            watch: self.watch,
            upstream_keepalive_pool_size: self.upstream_keepalive_pool_size,
            http1_exchange: environment.http1_exchange.unwrap_or(self.http1_exchange),
        })
    }
}
