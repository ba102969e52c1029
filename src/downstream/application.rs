//! The application: what the downstream side asks about connections, and hands requests to.

use std::net::IpAddr;
use std::time::Instant;

use bytes::BytesMut;
use pingora_core::protocols::http::v2::server::HttpSession;
use pingora_core::server::ShutdownWatch;

use super::{ClientStream, Connection, Deadline, Listener};
use crate::admission::ProtocolLimits;
use crate::http::Body;
use crate::limits::Permit;
use crate::tls::Handshake;

/// Serves the requests that arrive on connections.
pub trait Application: Send + Sync + 'static {
    /// The limits in force now.
    fn limits(&self) -> ProtocolLimits;

    /// Admits a new connection of the listener at this position. `None` refuses the connection.
    fn admit_connection(&self, connection: &Connection, listener: usize) -> Option<Permit>;

    /// Admits the client that a trusted proxy has named for a connection. `false` refuses the
    /// connection.
    fn admit_client(&self, permit: &mut Permit, client: IpAddr) -> bool;

    /// A trusted proxy has not sent its PROXY header in time.
    fn proxy_header_timed_out(&self);

    /// A TLS handshake on a connection of this listener has ended.
    fn handshake_ended(&self, listener: &Listener, result: Handshake);

    /// A client has broken off a TLS handshake after it saw the certificate of this name.
    fn certificate_refused(&self, listener: &Listener, certificate: &str);

    /// Refuses bytes that are not a valid HTTP/1 request. Returns the bytes of the response, after
    /// which the connection is closed.
    fn refuse_unparsed(&self, request: &UnparsedRequest<'_>) -> Option<Vec<u8>>;

    /// Serves one HTTP/1 request. Returns the stream if the connection is kept.
    fn serve_http1(
        &self,
        request: Http1Request<'_>,
        stop: &ShutdownWatch,
    ) -> impl Future<Output = Option<Box<ClientStream>>> + Send;

    /// Serves one HTTP/2 request.
    fn serve_http2(&self, request: Http2Request, stop: &ShutdownWatch) -> impl Future<Output = ()> + Send;
}

/// An HTTP/1 request whose head has been read and judged.
pub struct Http1Request<'a> {
    /// The bytes of the head, with the empty line at its end.
    pub head: BytesMut,
    /// The framing of the body.
    pub body: Body,
    /// When the head was complete.
    pub arrived: Instant,
    /// The rest of the connection.
    pub stream: Box<ClientStream>,
    /// Whether the connection is to be closed after this request.
    pub is_last: bool,
    /// The connection's timer, which waits for nothing while the request is served.
    pub deadline: &'a mut Deadline,
    /// The limits of the request.
    pub limits: &'a ProtocolLimits,
}

/// An HTTP/2 request whose head has been read.
pub struct Http2Request {
    /// The stream of the request.
    pub session: HttpSession,
    /// The limits of the request.
    pub limits: ProtocolLimits,
}

/// What is wrong with bytes that are not a valid HTTP/1 request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsed {
    /// The head is malformed or ambiguous.
    Malformed,
    /// The request target is too long.
    TargetTooLong,
    /// The head is too long or has too many fields.
    HeadTooLarge,
    /// The head was not complete in time.
    HeadTooSlow,
}

/// Bytes that are not a valid HTTP/1 request.
#[derive(Clone, Copy)]
pub struct UnparsedRequest<'a> {
    /// The bytes that have arrived.
    pub head: &'a [u8],
    /// The connection on which the bytes arrived.
    pub connection: &'a Connection,
    /// Why the bytes are not a request.
    pub why: Unparsed,
}
