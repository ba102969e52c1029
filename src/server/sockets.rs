//! All listening sockets of the process: bound, passed by the service manager, or taken over from
//! the running process.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::process::Uid;

use super::ServerError;
use super::admin_socket::{AdminSocket, UnixSocket};
use super::handover::{Predecessor, Received, SuccessorSocket};
use super::listener::BoundListener;
use super::notify::{Notifier, WAITING};
use crate::admin::AdminAddress;
use crate::config::Settings;
use crate::downstream::{Listener, ListenerSettings, SharedListener};
use crate::tls::Tickets;

/// How long a successor waits for the running process to receive SIGQUIT.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sockets that another process has bound, with their addresses.
pub(super) type Inherited = Vec<(SocketAddr, TcpListener)>;
/// A listener for clients with its settings.
pub(super) struct PublicListener {
    pub socket: BoundListener,
    /// The address in the configuration of the start. Its port is 0 if any free port was asked for.
    configured: SocketAddr,
    /// How connections are served. A reload changes it for later connections.
    pub settings: SharedListener,
}

/// The listening sockets of the process.
pub(super) struct Sockets {
    /// The public listeners, in the order of the configuration.
    pub public: Vec<PublicListener>,
    pub admin: Arc<AdminSocket>,
    /// The listener for probes, if there is one.
    pub health: Option<BoundListener>,
}

impl Sockets {
    /// Uses the sockets that the service manager has `passed`, and binds the other addresses.
    pub fn bind(settings: &Settings, tickets: &Tickets, passed: Inherited) -> Result<Self, ServerError> {
        let (sockets, unused) = Self::from_inherited(settings, tickets, passed, false)?;
        refuse_unused(&unused)?;
        Ok(sockets)
    }

    /// Uses the inherited sockets whose addresses are configured, and binds the other addresses. Also
    /// returns the inherited sockets whose addresses are not configured.
    fn from_inherited(
        settings: &Settings,
        tickets: &Tickets,
        mut inherited: Inherited,
        is_successor: bool,
    ) -> Result<(Self, Inherited), ServerError> {
        let mut socket = |what: &str, address: SocketAddr| {
            let place = inherited.iter().position(|(inherited, _)| *inherited == address);
            match place.map(|place| inherited.swap_remove(place)) {
                Some((address, socket)) => BoundListener::inherit(address, socket),
                None => BoundListener::bind(address),
            }
            .map_err(|error| cannot_listen(what, address, &error))
        };
        let public = settings.listeners.iter().map(|listener| {
            let settings =
                Listener::new(listener, tickets).map_err(|error| cannot_prepare(listener, error))?;
            Ok(PublicListener {
                socket: socket("listener", listener.address)?,
                configured: listener.address,
                settings: Arc::new(ArcSwap::from_pointee(settings)),
            })
        });
        let public = public.collect::<Result<_, ServerError>>()?;
        let admin = match &settings.admin.address {
            AdminAddress::Tcp(address) => AdminSocket::Tcp(socket("admin", *address)?),
            AdminAddress::Unix(path) => {
                let user = settings.server.user.as_ref().map(|user| user.uid);
                let bound = UnixSocket::bind(path, user, is_successor);
                AdminSocket::Unix(bound.map_err(|error| cannot_listen("admin", path.display(), &error))?)
            }
        };
        let health = settings.admin.health_address.map(|address| socket("health", address)).transpose()?;
        Ok((Self { public, admin: Arc::new(admin), health }, inherited))
    }

    /// Every TCP socket, for a handover.
    pub fn all(&self) -> Vec<&BoundListener> {
        self.public
            .iter()
            .map(|listener| &listener.socket)
            .chain(self.admin.tcp())
            .chain(&self.health)
            .collect()
    }

    /// The settings of each public listener, which a reload can replace.
    pub fn listeners(&self) -> Listeners {
        Listeners(self.public.iter().map(|public| (public.configured, public.settings.clone())).collect())
    }
}

/// The settings of each public listener, by its address in the configuration of the start.
pub(super) struct Listeners(Vec<(SocketAddr, SharedListener)>);

impl Listeners {
    /// Prepares the settings in `wanted` for these listeners. Nothing changes before [`Prepared::adopt`].
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn prepare(&self, wanted: &[ListenerSettings], tickets: &Tickets) -> Result<Prepared, ServerError> {
        let mut prepared = Vec::new();
        for (index, (configured, settings)) in self.0.iter().enumerate() {
            let is_this = |wanted: &&ListenerSettings| wanted.address == *configured;
            let at_its_place = wanted.get(index).filter(is_this);
            if let Some(wanted) = at_its_place.or_else(|| wanted.iter().find(is_this)) {
                let listener =
                    Listener::new(wanted, tickets).map_err(|error| cannot_prepare(wanted, error))?;
                prepared.push((settings.clone(), Arc::new(listener)));
            }
        }
        Ok(Prepared(prepared))
    }
}

/// Prepared settings for later connections.
pub(super) struct Prepared(Vec<(SharedListener, Arc<Listener>)>);

impl Prepared {
    /// Applies the settings to later connections.
    pub fn adopt(self) {
        for (settings, listener) in self.0 {
            settings.store(listener);
        }
    }
}

fn cannot_prepare(listener: &ListenerSettings, error: rustls::Error) -> ServerError {
    ServerError::new(format!("listener {}: cannot set up TLS", listener.address), error)
}

/// Waits for the sockets of the running process, which continues to accept until this process does.
/// `future_user` is the user that this process will become.
pub(super) fn take_over(
    settings: &Settings,
    tickets: &Tickets,
    passed: Inherited,
    future_user: Option<Uid>,
    notifier: &Notifier,
    asked_to_end: impl FnMut() -> bool,
) -> Result<(Sockets, Predecessor), ServerError> {
    let Some(path) = settings.server.upgrade_sock.as_deref() else {
        return Err("--upgrade needs server.upgrade_sock in the configuration".into());
    };
    let failed =
        |error: io::Error| ServerError::new(format!("cannot take over at {}", path.display()), error);
    let waiting = SuccessorSocket::bind(path, future_user).map_err(failed)?;
    log::info!("waiting for the sockets of the running process at {}; send it SIGQUIT", path.display());
    notifier.report(WAITING);
    let Received { mut sockets, predecessor } = waiting.receive(PATIENCE, asked_to_end).map_err(failed)?;
    let handed_over: Vec<SocketAddr> = sockets.iter().map(|(address, _)| *address).collect();
    sockets.extend(passed.into_iter().filter(|(address, _)| !handed_over.contains(address)));
    let (sockets, mut unused) = Sockets::from_inherited(settings, tickets, sockets, true)?;
    unused.retain(|(address, _)| {
        let was_handed_over = handed_over.contains(address);
        if was_handed_over {
            log::info!("{address} is not configured any more; closed");
        }
        !was_handed_over
    });
    refuse_unused(&unused)?;
    Ok((sockets, predecessor))
}

/// The listening sockets that the service manager has passed (`sd_listen_fds(3)`). Removes the variables
/// that announce them, so no other thread may read the environment at the same time.
pub(super) fn passed_by_service_manager() -> Result<Inherited, ServerError> {
    // Without LISTEN_PID the variables are for another process.
    let is_ours = std::env::var_os("LISTEN_PID").is_some();
    let mut passed = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..if is_ours { passed.len() } else { 0 } {
        let socket = passed.take_tcp_listener(index).and_then(|socket| {
            let socket = socket.ok_or_else(|| io::Error::other("it was taken already"))?;
            if !rustix::net::sockopt::socket_acceptconn(&socket)? {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
            }
            Ok((socket.local_addr()?, socket))
        });
        let what = format!("socket {} of those that the service manager passed cannot be used", index + 1);
        sockets.push(socket.map_err(|error| {
            ServerError::new(what, format_args!("{error}; write ListenStream= with an IP address and a port"))
        })?);
    }
    Ok(sockets)
}

fn refuse_unused(unused: &Inherited) -> Result<(), ServerError> {
    match unused.first() {
        None => Ok(()),
        Some((address, _)) => Err(format!(
            "the service manager passed a socket for {address}, and no listener has that address; \
             write it under listeners or as admin.address, or remove its ListenStream="
        )
        .into()),
    }
}

fn cannot_listen(what: &str, address: impl fmt::Display, error: &io::Error) -> ServerError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; another process listens there, stop it or choose another address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    };
    format!("{what} {address}: cannot listen: {error}{hint}").into()
}
