//! A client that sends any bytes and reads with a deadline.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::wire::{Framing, Wire, framing, latin1};
use super::{DEADLINE, Message, Response};

/// The stream below a connection.
enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.read(buffer),
            Link::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.write(bytes),
            Link::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(stream) => stream.flush(),
            Link::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection to the gateway.
pub struct Client {
    wire: Wire<Link>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self { wire: Wire::new(Link::Plain(connect(address))) }
    }

    /// Connects from 127.0.0.`host`, which the gateway may refuse.
    pub fn try_connect_from(host: u8, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into())?;
        socket.connect_timeout(&address.into(), DEADLINE)?;
        Ok(Self { wire: Wire::new(Link::Plain(with_deadlines(socket.into()))) })
    }

    /// Connects with the smallest receive buffer and the segments of the internet, so that the kernel
    /// holds little of an answer that is not read.
    pub fn connect_with_small_window(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_tcp_mss(1448).unwrap();
        socket.connect_timeout(&address.into(), DEADLINE).unwrap();
        Self { wire: Wire::new(Link::Plain(with_deadlines(socket.into()))) }
    }

    /// Connects and completes the TLS handshake. `before` is sent ahead of the handshake.
    pub fn try_connect_tls(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        name: &str,
        before: &[u8],
    ) -> io::Result<Self> {
        let mut stream = connect(address);
        stream.write_all(before)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(Self { wire: Wire::new(Link::Tls(Box::new(tls))) })
    }

    /// The TLS session.
    pub fn tls(&self) -> &ClientConnection {
        match &self.wire.stream {
            Link::Plain(_) => panic!("this connection has no TLS"),
            Link::Tls(stream) => &stream.conn,
        }
    }

    /// Sends these bytes unchanged.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Sends these bytes on a connection that the gateway may have closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes.as_ref())
    }

    /// Sends a request and reads the final answer, without interim answers (1xx).
    pub fn ask(&mut self, message: &Message) -> Response {
        self.send(message.bytes());
        loop {
            let response = self.response_to(message.method());
            if response.status >= 200 || response.status == 101 {
                return response;
            }
        }
    }

    /// Reads one answer, which may be an interim one (1xx), to a request other than HEAD.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// Reads one answer to a request with this method: the answer to HEAD has no body.
    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method).unwrap_or_else(|error| panic!("no complete answer: {error}"))
    }

    pub fn try_response_to(&mut self, method: &str) -> io::Result<Response> {
        let mut response = self.try_head()?;
        let bodiless = method == "HEAD" || response.status < 200 || matches!(response.status, 204 | 304);
        let framing = framing(&response.fields, Framing::Close);
        response.body = match framing {
            _ if bodiless => Vec::new(),
            Framing::Length(length) => self.wire.exactly(usize::try_from(length).unwrap())?,
            Framing::Close => self.wire.read_to_end()?,
            Framing::Chunked => {
                let mut body = Vec::new();
                while let Some(chunk) = self.wire.chunk(&mut response.trailers)? {
                    body.extend(chunk);
                }
                body
            }
        };
        Ok(response)
    }

    /// Reads the head of one answer.
    pub fn head(&mut self) -> Response {
        self.try_head().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    fn try_head(&mut self) -> io::Result<Response> {
        let head = self.wire.head().map_err(|error| {
            let read = latin1(&self.wire.ahead()[..self.wire.ahead().len().min(2000)]);
            io::Error::new(error.kind(), format!("{error}; read so far: {read:?}"))
        })?;
        match head {
            Some(head) => Ok(Response::from_head(head)),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer")),
        }
    }

    /// Reads the next chunk of a chunked body.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        self.wire.chunk(&mut Vec::new()).unwrap()
    }

    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        self.wire.exactly(count).unwrap()
    }

    pub fn try_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.wire.exactly(count)
    }

    /// Reads `count` bytes without keeping them.
    pub fn skip(&mut self, count: u64) {
        self.wire.skip(count).unwrap();
    }

    /// Reads until the gateway closes the connection, with or without a reset.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        loop {
            match self.wire.some(usize::MAX) {
                Ok(some) if some.is_empty() => return read,
                Ok(some) => read.extend(some),
                Err(error) if is_reset(&error) => return read,
                Err(error) => panic!("still open: {error}; read {:?}", latin1(&read)),
            }
        }
    }

    /// Reads until the bytes begin with `beginning`, or the gateway closes the connection.
    pub fn read_until(&mut self, beginning: &str) -> Vec<u8> {
        let mut read = Vec::new();
        while !read.starts_with(beginning.as_bytes()) {
            match self.wire.some(usize::MAX) {
                Ok(some) if some.is_empty() => break,
                Ok(some) => read.extend(some),
                Err(error) if is_reset(&error) => break,
                Err(error) => panic!("still open: {error}; read {:?}", latin1(&read)),
            }
        }
        read
    }

    /// Asserts that the gateway closes the connection and sends nothing more.
    pub fn assert_closed(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "the gateway sent more: {:?}", latin1(&rest));
    }

    /// Whether the gateway sends anything or closes the connection within this time.
    pub fn has_answer(&self, within: Duration) -> bool {
        let Link::Plain(stream) = &self.wire.stream else { panic!("this connection has TLS") };
        stream.set_read_timeout(Some(within)).unwrap();
        let found = stream.peek(&mut [0]);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        !found.is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }

    /// Closes the sending direction only.
    pub fn finish_sending(&self) {
        match &self.wire.stream {
            Link::Plain(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Link::Tls(_) => panic!("this connection has TLS"),
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    with_deadlines(TcpStream::connect_timeout(&address, DEADLINE).unwrap())
}

fn with_deadlines(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}
