//! A folder for configurations, and ports that stay free for a server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use socket2::{Domain, Socket, Type};

use super::Result;

pub fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).ok_or("this program is not in a target folder")?;
    Ok(target.to_path_buf())
}

/// The folder for results. Peers can be installed into it without touching the system.
pub fn results() -> PathBuf {
    target().unwrap_or_default().join("compare")
}

/// A private temporary folder, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("approov-bench-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let place = self.0.join(name);
        fs::write(&place, content)?;
        Ok(place)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A free port, reserved by a bound socket that does not listen. A server that sets
/// `SO_REUSEADDR` or `SO_REUSEPORT` can still bind it.
pub struct Port {
    _reserved: Socket,
    address: SocketAddr,
}

impl Port {
    pub fn reserve(address: Ipv4Addr) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SocketAddr::from((address, 0)).into())?;
        let address = socket.local_addr()?.as_socket().ok_or("a socket without an address")?;
        Ok(Self { _reserved: socket, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
