//! Telling whoever started us how far we are: systemd's notification protocol (`sd_notify(3)`),
//! which the command `upgrade` speaks too.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// What a successor that waits for the sockets says.
pub const WAITING: &str = "STATUS=waiting for the sockets of the running process";

/// What a process that takes requests says.
pub const READY: &str = "READY=1";

/// Where to tell; nowhere when nobody asked.
#[derive(Clone, Debug)]
pub(super) struct Notifier(Option<OsString>);

impl Notifier {
    /// As the environment says.
    pub fn from_environment() -> Self {
        Self(env::var_os(VARIABLE).filter(|name| !name.is_empty()))
    }

    /// Sends one message; a failure is only worth a line, for it changes nothing here.
    pub fn tell(&self, message: &str) {
        if let Err(error) = self.send(message) {
            log::warn!("cannot notify the service manager: {error}");
        }
    }

    fn send(&self, message: &str) -> io::Result<()> {
        let Some(name) = &self.0 else { return Ok(()) };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)?;
        Ok(())
    }
}

/// What a process that loads its configuration again says (`Type=notify-reload`).
pub(super) fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    format!("RELOADING=1\nMONOTONIC_USEC={micros}")
}
