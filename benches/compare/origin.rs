//! The API behind every peer: an NGINX with a fixed answer, for each of its addresses.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::Result;
use super::process::{Folder, Port, Process};
use super::programs::{Program, Programs};
use super::templates::{Values, render};

/// The running origin.
pub struct Origin {
    pub process: Process,
    port: Port,
}

impl Origin {
    /// Starts it on the cores of this thread, which are the load's.
    pub fn start(name: &str, programs: &Programs, folder: &Folder) -> Result<Self> {
        let large = folder.path().join("large");
        std::fs::create_dir_all(&large)?;
        std::fs::write(large.join("16k"), vec![b'x'; 16 << 10])?;
        std::fs::write(large.join("1m"), vec![b'x'; 1 << 20])?;
        let port = Port::hold()?;
        let body = format!("{{\"id\":1,\"text\":\"{}\"}}", "x".repeat(270 - 18));
        let values = Values::new([
            ("name", name.to_owned()),
            ("port", port.address().port().to_string()),
            ("folder", folder.path().display().to_string()),
            ("body", body),
        ]);
        let place = render(&format!("{name}.conf"), include_str!("peers/origin.conf"), &values, folder)?;
        let mut command = Command::new(programs.path(Program::Nginx)?);
        command.arg("-c").arg(place).stdout(Stdio::null());
        let mut process = Process::start(name, command, folder)?;
        process.await_listening(port.address())?;
        Ok(Self { process, port })
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }
}
