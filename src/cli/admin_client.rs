//! Asking the admin listener of the running gateway.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use super::doubtful::Doubtful;
use crate::admin::{AdminAddress, AdminEndpoint};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// An answer of the admin listener.
pub(super) struct AdminAnswer {
    pub status: u16,
    pub body: String,
}

/// Asks for `path`. Connecting, and each read, may take as long as `timeout`.
///
/// If the configured protocol (TLS or clear text) fails, the other one is tried: the running gateway may not have
/// been reloaded yet. Over TLS any certificate is accepted: the files of the configuration may be newer than those in
/// use, and the answer is no secret.
pub(super) fn get(admin: &AdminEndpoint, path: &str, timeout: Duration) -> io::Result<AdminAnswer> {
    let connect = |address: &SocketAddr| {
        let connection = TcpStream::connect_timeout(&reachable(*address), timeout)?;
        connection.set_read_timeout(Some(timeout))?;
        connection.set_write_timeout(Some(timeout))?;
        io::Result::Ok(connection)
    };
    match &admin.address {
        AdminAddress::Tcp(address) => {
            let over = |is_tls: bool| {
                let connection = connect(address)?;
                if is_tls { ask(over_tls(connection, *address)?, path) } else { ask(connection, path) }
            };
            over(admin.is_tls).or_else(|error| match error.kind() {
                // Nothing answers at this address, with or without TLS.
                ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::ConnectionRefused => Err(error),
                // The gateway may be reloaded between the two, so the configured protocol is tried again.
                _ => over(!admin.is_tls).or_else(|_| over(admin.is_tls)),
            })
        }
        AdminAddress::Unix(socket) => {
            let connection = UnixStream::connect(socket)?;
            connection.set_read_timeout(Some(timeout))?;
            connection.set_write_timeout(Some(timeout))?;
            ask(connection, path)
        }
    }
}

fn over_tls(
    connection: TcpStream,
    address: SocketAddr,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let client = Arc::new(Doubtful::indifferent()).client().map_err(io::Error::other)?;
    let session = ClientConnection::new(client, address.ip().into()).map_err(io::Error::other)?;
    Ok(StreamOwned::new(session, connection))
}

fn ask(mut connection: impl Read + Write, path: &str) -> io::Result<AdminAnswer> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    connection.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let no_answer = || io::Error::new(ErrorKind::InvalidData, "what it sends is no HTTP response");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(no_answer)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(no_answer)?;
    Ok(AdminAnswer { status, body: body.to_owned() })
}

/// A listener on all addresses is asked on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
