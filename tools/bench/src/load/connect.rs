//! Connections of clients: from a chosen address, with or without TLS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::ClientConnection;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::rig::certificate::NAME;

/// The time that a connection may take to be established.
const PATIENCE: Duration = Duration::from_secs(10);

/// The segment size of the internet. Loopback has segments so large that buffers hold megabytes.
const SEGMENT: u32 = 1448;

#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// The client's TLS configuration; clear text if `None`.
    pub tls: Option<Arc<ClientConfig>>,
    /// The client's address; the kernel chooses it if unspecified.
    pub from: Ipv4Addr,
    /// Whether connections end with a reset, so that thousands of them leave no port in TIME_WAIT.
    pub is_reset: bool,
    /// Whether connections have the smallest receive buffer that the kernel offers.
    pub is_narrow: bool,
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn tls(&self) -> Option<&ClientConnection> {
        None
    }
}

impl Stream for TcpStream {}

impl Stream for TlsStream<TcpStream> {
    fn tls(&self) -> Option<&ClientConnection> {
        Some(self.get_ref().1)
    }
}

impl Target {
    pub fn new(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { address, tls, from: Ipv4Addr::UNSPECIFIED, is_reset: false, is_narrow: false }
    }

    /// In clear text, from this address.
    pub fn plain(address: SocketAddr, from: Ipv4Addr) -> Self {
        Self { from, ..Self::new(address, None) }
    }

    /// Connects with TCP alone.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if self.is_narrow {
            socket.set_recv_buffer_size(4096)?;
            SockRef::from(&socket).set_tcp_mss(SEGMENT)?;
        }
        if !self.from.is_unspecified() {
            socket.bind((self.from, 0).into())?;
        }
        let stream = timeout(PATIENCE, socket.connect(self.address)).await??;
        stream.set_nodelay(true)?;
        if self.is_reset {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        Ok(stream)
    }

    pub async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let stream = self.connect().await?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(config.clone()).connect(name, stream).await?))
    }
}
