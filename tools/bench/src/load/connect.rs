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

/// A server, and how to connect to it.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// The client's TLS configuration; clear text if `None`.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether connections end with a reset, so that thousands of them leave no port in TIME_WAIT.
    pub is_reset: bool,
}

/// A connection with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// The state of TLS, if the connection has it.
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
        Self { address, tls, is_reset: false }
    }

    pub fn plain(address: SocketAddr) -> Self {
        Self::new(address, None)
    }

    /// Connects from `from`; the kernel chooses the address if `None`.
    pub async fn open(&self, from: Option<Ipv4Addr>) -> io::Result<Box<dyn Stream>> {
        let socket = TcpSocket::new_v4()?;
        let stream = establish(socket, from, self.address).await?;
        if self.is_reset {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(config) => {
                let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
                Ok(Box::new(TlsConnector::from(config.clone()).connect(name, stream).await?))
            }
        }
    }
}

/// A connection from this address.
pub async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    establish(TcpSocket::new_v4()?, Some(from), to).await
}

/// A connection with the smallest receive buffer that the kernel offers.
pub async fn connect_narrow(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    SockRef::from(&socket).set_tcp_mss(SEGMENT)?;
    establish(socket, Some(from), to).await
}

async fn establish(socket: TcpSocket, from: Option<Ipv4Addr>, to: SocketAddr) -> io::Result<TcpStream> {
    if let Some(from) = from {
        socket.bind((from, 0).into())?;
    }
    let stream = timeout(PATIENCE, socket.connect(to)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
