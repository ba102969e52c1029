//! What comes before HTTP on a connection: a proxy's word of the client, and TLS.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustls::HandshakeKind;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Open;
use super::transport::{Socket, Transport};
use crate::limits::{Cause, Outcome};
use crate::proxy::{Connection, TlsSession};
use crate::tls::{Handshake, Protocol, client_certificate};
use crate::trusted_proxies::proxy_protocol;

/// A connection on which HTTP comes next.
pub(super) struct Greeted {
    pub transport: Transport,
    /// Read already.
    pub ahead: BytesMut,
    pub connection: Connection,
    /// Whether the handshake settled on HTTP/2.
    pub is_http2: bool,
}

/// Reads the PROXY header and makes the handshake, where the listener asks for them; `None` where
/// the connection ends over it.
pub(super) async fn greet(open: &mut Open, tcp: TcpStream, mut connection: Connection) -> Option<Greeted> {
    let Open { worker, permit } = open;
    let metrics = &worker.shared.metrics;
    let time = worker.bounds().time.handshake;
    let mut socket = Socket { tcp, ahead: BytesMut::new() };
    let listener = connection.listener.clone();
    let peer = connection.peer.ip();
    if let Some(proxies) =
        listener.trusted_proxies.as_ref().filter(|proxies| proxies.sends_proxy_header(peer))
    {
        match timeout(time, read_proxy_header(&mut socket)).await {
            Ok(Ok(header)) => {
                connection.client = proxies.client_of_connection(peer, &header);
                if let Some(client) = connection.known_client()
                    && let Err(cause) = worker.shared.snapshot.load().limits.admit_client(permit, client)
                {
                    metrics.limited(cause, Outcome::Refused);
                    return None;
                }
            }
            Ok(Err(error)) => {
                log::warn!("listener {}: proxy {peer}: {error}", listener.label);
                return None;
            }
            Err(_) => {
                metrics.limited(Cause::HandshakeTime, Outcome::Refused);
                log::warn!("listener {}: proxy {peer}: no PROXY header within {time:?}", listener.label);
                return None;
            }
        }
    }
    let Some(acceptor) = &listener.tls else {
        let Socket { tcp, ahead } = socket;
        return Some(Greeted { transport: Transport::Plain(tcp), ahead, connection, is_http2: false });
    };
    let shaken = shake_hands(acceptor, socket, time).await;
    let outcome = shaken.as_ref().map_or_else(|failure| failure.handshake(), |(_, _, outcome)| *outcome);
    metrics.handshake(&listener.label, outcome);
    if outcome == Handshake::TimedOut {
        metrics.limited(Cause::HandshakeTime, Outcome::Refused);
    }
    match shaken {
        Ok((stream, session, _)) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(Protocol::Http2.id().as_bytes());
            connection.tls = Some(session);
            let transport = Transport::Tls(Box::new(stream));
            Some(Greeted { transport, ahead: BytesMut::new(), connection, is_http2 })
        }
        Err(failure) => {
            log::debug!("listener {}: client {}: {failure}", listener.label, connection.client);
            None
        }
    }
}

async fn read_proxy_header(socket: &mut Socket) -> io::Result<proxy_protocol::Header> {
    loop {
        match proxy_protocol::parse(&socket.ahead) {
            Ok(Some(header)) => {
                socket.ahead.advance(header.length);
                return Ok(header);
            }
            Ok(None) => {}
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
        if socket.tcp.read_buf(&mut socket.ahead).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Why there is no TLS session.
enum Failure {
    /// Not within this time.
    TimedOut(Duration),
    Tls(io::Error),
    /// A verified certificate that cannot be read, or whose time has passed since it was verified.
    Certificate,
}

impl Failure {
    fn handshake(&self) -> Handshake {
        match self {
            Failure::TimedOut(_) => Handshake::TimedOut,
            Failure::Tls(_) | Failure::Certificate => Handshake::Failed,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::TimedOut(time) => write!(f, "no TLS handshake within {time:?}"),
            Failure::Tls(error) => write!(f, "TLS handshake: {error}"),
            Failure::Certificate => f.write_str("the client's certificate is not valid any more"),
        }
    }
}

async fn shake_hands(
    acceptor: &TlsAcceptor,
    socket: Socket,
    time: Duration,
) -> Result<(TlsStream<Socket>, TlsSession, Handshake), Failure> {
    let stream = timeout(time, acceptor.accept(socket)).await;
    let stream = stream.map_err(|_| Failure::TimedOut(time))?.map_err(Failure::Tls)?;
    let state = stream.get_ref().1;
    let certificate = client_certificate(state.peer_certificates()).map_err(|_| Failure::Certificate)?;
    let version = match state.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
        _ => "1.2",
    };
    let outcome = match state.handshake_kind() {
        Some(HandshakeKind::Resumed) => Handshake::Resumed,
        _ => Handshake::Full,
    };
    let session = TlsSession { version, client_certificate: certificate };
    if session.client_certificate.is_some() && session.valid_certificate().is_none() {
        return Err(Failure::Certificate);
    }
    Ok((stream, session, outcome))
}
