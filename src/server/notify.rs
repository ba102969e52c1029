//! Telling whoever started us how far we are: systemd's notification protocol (`sd_notify(3)`),
//! which the command `upgrade` speaks too.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager's variable with the name of its socket.
const MANAGER: &str = "NOTIFY_SOCKET";

/// The same for the command `upgrade`, which must not stand in the service manager's way.
pub const UPGRADE_VARIABLE: &str = "GATEWAY_UPGRADE_NOTIFY";

/// What a successor that waits for the sockets says.
pub const WAITING: &str = "STATUS=waiting for the sockets of the running process";

/// What a process that takes requests says.
pub const READY: &str = "READY=1";

/// Where to tell; nowhere when nobody asked.
#[derive(Clone, Debug)]
pub(super) struct Notifier(Vec<OsString>);

impl Notifier {
    /// As the environment says.
    pub fn from_environment() -> Self {
        let sockets = [MANAGER, UPGRADE_VARIABLE].into_iter().filter_map(env::var_os);
        Self(sockets.filter(|name| !name.is_empty()).collect())
    }

    /// Sends one message. Who does not listen any more, such as a finished `upgrade`, misses it.
    pub fn tell(&self, message: &str) {
        for name in &self.0 {
            match notify(name, message) {
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                    log::warn!("cannot notify at {}: {error}", name.display());
                }
                _ => {}
            }
        }
    }
}

/// Sends one message to the socket `name`: a path, or an abstract name behind `@`.
///
/// # Errors
/// When nobody listens there, for one.
pub fn notify(name: &OsStr, message: &str) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

/// What a process that loads its configuration again says (`Type=notify-reload`).
pub(super) fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    format!("RELOADING=1\nMONOTONIC_USEC={micros}")
}
