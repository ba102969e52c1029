//! systemd's notification protocol (`sd_notify(3)`): tells the service manager, and the command
//! `upgrade`, how far the process is.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable in which a service manager names its socket.
const MANAGER: &str = "NOTIFY_SOCKET";

/// The variable in which the command `upgrade` names its socket.
pub const UPGRADE_VARIABLE: &str = "GATEWAY_UPGRADE_NOTIFY";

/// The message of a successor that waits for the sockets.
pub const WAITING: &str = "STATUS=waiting for the sockets of the running process";

/// The message of a process that takes requests.
pub const READY: &str = "READY=1";

/// The names of the sockets to send messages to.
#[derive(Clone, Debug)]
pub(super) struct Notifier {
    manager: Option<OsString>,
    /// The socket of the command that has started this process for an upgrade.
    upgrade: Option<OsString>,
}

impl Notifier {
    /// The sockets that the environment names.
    pub fn from_environment() -> Self {
        let named = |variable| env::var_os(variable).filter(|name| !name.is_empty());
        Self { manager: named(MANAGER), upgrade: named(UPGRADE_VARIABLE) }
    }

    /// Sends a message to the service manager.
    pub fn tell(&self, message: &str) {
        self.manager.iter().for_each(|name| send(name, message));
    }

    /// Sends a message to the service manager, and to the command that waits for this process to take over.
    pub fn report(&self, message: &str) {
        self.tell(message);
        self.upgrade.iter().for_each(|name| send(name, message));
    }
}

/// Sends one message. It is no error if the socket does not exist, because `upgrade` may have ended.
fn send(name: &OsStr, message: &str) {
    match notify(name, message) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            log::warn!("cannot notify at {}: {error}", name.display());
        }
        _ => {}
    }
}

/// Sends one message to the socket `name`: a path, or an abstract name after `@`.
///
/// # Errors
/// If no process listens there, for example.
pub fn notify(name: &OsStr, message: &str) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

/// The message of a process that loads its configuration again (`Type=notify-reload`).
pub(super) fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    format!("RELOADING=1\nMONOTONIC_USEC={micros}")
}
