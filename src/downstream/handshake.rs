//! The start of a connection, before HTTP: a trusted proxy's PROXY header and the TLS handshake.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustls::HandshakeKind;
use rustls::server::Acceptor;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::transport::{Socket, Transport};
use super::worker::Open;
use super::{Application, Connection, Listener, TlsSession};
use crate::tls::{Handshake, Protocol, client_certificate};
use crate::trusted_proxies::proxy_protocol;

/// A connection on which HTTP comes next.
pub(super) struct Established {
    pub transport: Transport,
    /// Bytes that have been read from the transport already.
    pub ahead: BytesMut,
    pub connection: Connection,
    /// Whether the TLS handshake chose HTTP/2.
    pub is_http2: bool,
}

/// Reads the PROXY header and makes the TLS handshake, as the listener asks for them. `None` if the
/// connection has to be closed.
pub(super) async fn establish<A: Application>(
    open: &mut Open<A>,
    tcp: TcpStream,
    mut connection: Connection,
) -> Option<Established> {
    let Open { worker, permit } = open;
    let application = &worker.application;
    let time = application.limits().time.handshake;
    let mut socket = Socket { tcp, ahead: BytesMut::new() };
    let listener = connection.listener.clone();
    let peer = connection.peer.ip();
    let proxies = listener.trusted_proxies.as_ref().filter(|proxies| proxies.sends_proxy_header(peer));
    if let Some(proxies) = proxies {
        match timeout(time, read_proxy_header(&mut socket)).await {
            Ok(Ok(header)) => {
                connection.client = proxies.client_of_connection(peer, &header);
                if let Some(client) = connection.known_client()
                    && !application.admit_client(permit, client)
                {
                    return None;
                }
            }
            Ok(Err(error)) => {
                log::warn!("listener {}: proxy {peer}: {error}", listener.label);
                return None;
            }
            Err(_) => {
                application.proxy_header_timed_out();
                log::warn!("listener {}: proxy {peer}: no PROXY header within {time:?}", listener.label);
                return None;
            }
        }
    }
    let Some(acceptor) = &listener.tls else {
        let Socket { tcp, ahead } = socket;
        return Some(Established { transport: Transport::Plain(tcp), ahead, connection, is_http2: false });
    };
    let mut certificate = None;
    let handshake = shake_hands(acceptor, &listener, socket, time, &mut certificate).await;
    let result = handshake.as_ref().map_or_else(HandshakeFailure::result, |(_, _, result)| *result);
    if let (Err(failure), Some(certificate)) = (&handshake, certificate)
        && failure.is_of_client()
    {
        application.certificate_refused(&listener, certificate);
    }
    application.handshake_ended(&listener, result);
    match handshake {
        Ok((stream, session, _)) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(Protocol::Http2.label().as_bytes());
            connection.tls = Some(Box::new(session));
            let transport = Transport::Tls(Box::new(stream));
            Some(Established { transport, ahead: BytesMut::new(), connection, is_http2 })
        }
        Err(failure) => {
            log::debug!("listener {}: client {}: {failure}", listener.label, connection.client);
            None
        }
    }
}

async fn read_proxy_header(socket: &mut Socket) -> io::Result<proxy_protocol::ProxyHeader> {
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

/// Why a TLS handshake failed.
enum HandshakeFailure {
    /// The handshake was not complete within this time.
    TimedOut(Duration),
    /// rustls refused the handshake, or the connection broke.
    Tls(io::Error),
    /// The client's certificate was verified but cannot be read, or has expired since.
    Certificate,
}

impl HandshakeFailure {
    fn result(&self) -> Handshake {
        match self {
            HandshakeFailure::TimedOut(_) => Handshake::TimedOut,
            HandshakeFailure::Tls(_) | HandshakeFailure::Certificate => Handshake::Failed,
        }
    }
}

impl HandshakeFailure {
    /// Whether the client broke off: with an alert, or by closing the connection.
    fn is_of_client(&self) -> bool {
        let HandshakeFailure::Tls(error) = self else { return false };
        match error.get_ref().and_then(|cause| cause.downcast_ref()) {
            Some(rustls::Error::AlertReceived(_)) => true,
            Some(_) => false,
            None => matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ),
        }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeFailure::TimedOut(time) => write!(f, "no TLS handshake within {time:?}"),
            HandshakeFailure::Tls(error) => write!(f, "TLS handshake: {error}"),
            HandshakeFailure::Certificate => f.write_str("the client's certificate is not valid any more"),
        }
    }
}

/// Makes the handshake. `certificate` becomes the name of the certificate that the client sees.
async fn shake_hands<'l>(
    acceptor: &TlsAcceptor,
    listener: &'l Listener,
    socket: Socket,
    time: Duration,
    certificate: &mut Option<&'l str>,
) -> Result<(TlsStream<Socket>, TlsSession, Handshake), HandshakeFailure> {
    let handshake = async {
        // The server name is known only between both halves.
        let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let shown = listener.certificates.as_ref();
        *certificate = shown.and_then(|shown| shown.find(start.client_hello().server_name()));
        start.into_stream(acceptor.config().clone()).await
    };
    let stream = timeout(time, handshake).await;
    let stream = stream.map_err(|_| HandshakeFailure::TimedOut(time))?.map_err(HandshakeFailure::Tls)?;
    let state = stream.get_ref().1;
    let client_certificate =
        client_certificate(state.peer_certificates()).map_err(|_| HandshakeFailure::Certificate)?;
    let version = match state.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
        _ => "1.2",
    };
    let result = match state.handshake_kind() {
        Some(HandshakeKind::Resumed) => Handshake::Resumed,
        _ => Handshake::Full,
    };
    let session = TlsSession { version, client_certificate };
    if session.client_certificate.is_some() && session.valid_certificate().is_none() {
        return Err(HandshakeFailure::Certificate);
    }
    Ok((stream, session, result))
}
