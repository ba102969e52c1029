//! One request, with or without TLS.

use std::net::{SocketAddr, TcpStream};

use rustls::ClientConnection;

use super::super::Result;
use super::super::tls::Certificate;
use super::response::{connect, exchange};

/// A connection that has had an answer, open until it is dropped.
pub struct Stream {
    _socket: TcpStream,
    pub tls: Option<ClientConnection>,
}

/// One request on a connection of its own: its status, its body, its connection.
pub fn ask(address: SocketAddr, tls: Option<&Certificate>, request: &[u8]) -> Result<(u16, String, Stream)> {
    let mut socket = connect(address)?;
    let mut tls = tls.map(Certificate::client).transpose()?;
    let (status, body) = match &mut tls {
        None => exchange(&mut socket, request)?,
        Some(client) => exchange(&mut rustls::Stream::new(client, &mut socket), request)?,
    };
    Ok((status, body, Stream { _socket: socket, tls }))
}
