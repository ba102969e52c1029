//! All listening sockets of the process: bound, or taken over from the running one.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::ServerError;
use super::handover::{Received, Waiting};
use super::listener::BoundListener;
use super::notify::{Notifier, WAITING};
use crate::config::{self, Settings};
use crate::downstream::{Listener, SharedListener};
use crate::tls::Tickets;

/// How long a successor waits for the running process to get SIGQUIT.
const PATIENCE: Duration = Duration::from_secs(60);

/// A listener for clients.
pub(super) struct PublicListener {
    /// Its socket.
    pub socket: BoundListener,
    /// As it was configured at the start: with port 0 where any was welcome.
    configured: SocketAddr,
    /// How connections are served; a reload changes it for those that come after.
    pub settings: SharedListener,
}

/// Where clients and operators connect.
pub(super) struct Sockets {
    /// The public listeners, in the order of the configuration.
    pub public: Vec<PublicListener>,
    /// The admin listener.
    pub admin: BoundListener,
}

impl Sockets {
    /// Binds every address.
    pub fn bind(settings: &Settings, tickets: &Tickets) -> Result<Self, ServerError> {
        Self::from_inherited(settings, tickets, Vec::new())
    }

    /// Uses the inherited sockets whose addresses are configured, binds the rest, and closes
    /// inherited ones that no configuration names any more.
    fn from_inherited(
        settings: &Settings,
        tickets: &Tickets,
        mut inherited: Vec<(SocketAddr, TcpListener)>,
    ) -> Result<Self, ServerError> {
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
        let public = public.collect::<Result<_, _>>()?;
        let admin = socket("admin", settings.admin.address)?;
        for (address, _) in inherited {
            log::info!("{address} is not configured any more; closed");
        }
        Ok(Self { public, admin })
    }

    /// Every socket, for handing over.
    pub fn all(&self) -> Vec<&BoundListener> {
        self.public.iter().map(|listener| &listener.socket).chain([&self.admin]).collect()
    }

    /// Prepares `listeners` for the sockets that they still name; nothing changes before
    /// [`Prepared::adopt`].
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn prepare(
        &self,
        listeners: &[config::Listener],
        tickets: &Tickets,
    ) -> Result<Prepared, ServerError> {
        let mut prepared = Vec::new();
        for (index, public) in self.public.iter().enumerate() {
            let is_this = |wanted: &&config::Listener| wanted.address == public.configured;
            let at_its_place = listeners.get(index).filter(is_this);
            if let Some(wanted) = at_its_place.or_else(|| listeners.iter().find(is_this)) {
                let listener =
                    Listener::new(wanted, tickets).map_err(|error| cannot_prepare(wanted, error))?;
                prepared.push((public.settings.clone(), Arc::new(listener)));
            }
        }
        Ok(Prepared(prepared))
    }
}

/// How new connections are to be served.
pub(super) struct Prepared(Vec<(SharedListener, Arc<Listener>)>);

impl Prepared {
    /// From now on.
    pub fn adopt(self) {
        for (settings, listener) in self.0 {
            settings.store(listener);
        }
    }
}

fn cannot_prepare(listener: &config::Listener, error: rustls::Error) -> ServerError {
    ServerError::new(format!("listener {}: cannot set up TLS", listener.address), error)
}

/// Waits for the sockets of the running process, or to be asked to end. It goes on accepting until
/// [`Predecessor::acknowledge`].
pub(super) fn take_over(
    settings: &Settings,
    tickets: &Tickets,
    notifier: &Notifier,
    asked_to_end: impl FnMut() -> bool,
) -> Result<(Sockets, Predecessor), ServerError> {
    let Some(path) = settings.server.upgrade_sock.as_deref() else {
        return Err(ServerError("--upgrade needs server.upgrade_sock in the configuration".into()));
    };
    let failed =
        |error: io::Error| ServerError::new(format!("cannot take over at {}", path.display()), error);
    let waiting = Waiting::bind(path).map_err(failed)?;
    log::info!("waiting for the sockets of the running process at {}; send it SIGQUIT", path.display());
    notifier.tell(WAITING);
    let mut received = waiting.receive(PATIENCE, asked_to_end).map_err(failed)?;
    let sockets = Sockets::from_inherited(settings, tickets, std::mem::take(&mut received.sockets))?;
    Ok((sockets, Predecessor(received)))
}

/// The running process, which waits to hear that its successor accepts.
pub(super) struct Predecessor(Received);

impl Predecessor {
    /// Tells it.
    pub fn acknowledge(self) -> io::Result<()> {
        self.0.acknowledge()
    }
}

/// A proxy needs two descriptors a request in flight: takes what the hard limit allows.
pub(super) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let show = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => log::info!("at most {} open files", show(limit.maximum)),
        Err(error) => log::warn!("at most {} open files, no more allowed: {error}", show(limit.current)),
    }
}

fn cannot_listen(what: &str, address: SocketAddr, error: &io::Error) -> ServerError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; another process listens there, stop it or choose another address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    };
    ServerError(format!("{what} {address}: cannot listen: {error}{hint}"))
}
