//! A client that sends the bytes it is told to, and reads with a deadline.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use socket2::{Domain, Socket, Type};

use super::DEADLINE;
use super::wire::{Framing, Wire, framing, latin1, split_head, values};

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Message {
    method: String,
    target: String,
    host: Option<String>,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    /// A request without a body, to the host `gateway.test`.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: Some("gateway.test".to_owned()),
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST with a Content-Length.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a token in the usual header.
    pub fn token(self, token: &str) -> Self {
        self.field("Approov-Token", token)
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.field("Content-Length", &length)
    }

    pub fn method(&self) -> &str {
        &self.method
    }

    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// The header as HTTP/2 has it.
    pub fn to_http2(&self) -> http::Request<()> {
        let host = self.host.as_deref().unwrap_or_default();
        let mut request = http::Request::builder()
            .version(http::Version::HTTP_2)
            .method(self.method.as_str())
            .uri(format!("http://{host}{}", self.target));
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        request.body(()).unwrap()
    }

    /// What goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if let Some(host) = &self.host {
            text += &format!("Host: {host}\r\n");
        }
        for (name, value) in &self.fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        [text.as_bytes(), &self.body].concat()
    }
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// The head as it came.
    pub head: Vec<u8>,
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Response {
    fn from_head(head: Vec<u8>) -> Self {
        let (line, fields) = split_head(&head);
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line of HTTP/1.1: {line:?}"));
        Self { head, status, fields, body: Vec::new(), trailers: Vec::new() }
    }

    /// An answer of HTTP/2; its head is written as HTTP/1 would.
    pub fn from_http2(head: &http::response::Parts, body: Vec<u8>, trailers: http::HeaderMap) -> Self {
        let list = |fields: &http::HeaderMap| -> Vec<(String, String)> {
            fields.iter().map(|(name, value)| (name.to_string(), latin1(value.as_bytes()))).collect()
        };
        let fields = list(&head.headers);
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Self {
            head: format!("HTTP/2 {}\r\n{lines}\r\n", head.status.as_str()).into_bytes(),
            status: head.status.as_u16(),
            fields,
            body,
            trailers: list(&trailers),
        }
    }

    /// The values of a field, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    pub fn text(&self) -> String {
        latin1(&self.body)
    }

    /// Head and body without the line `Date`, which differs from second to second.
    pub fn undated(&self) -> String {
        let head = latin1(&self.head);
        let lines =
            head.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
        lines.collect::<String>() + &self.text()
    }
}

/// What a connection goes over.
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

    /// From another address of the loopback interface, 127.0.0.`host`, which may not be welcome.
    pub fn try_connect_from(host: u8, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into())?;
        socket.connect_timeout(&address.into(), DEADLINE)?;
        Ok(Self { wire: Wire::new(Link::Plain(with_deadlines(socket.into()))) })
    }

    /// Over TLS, once the handshake is done; `before` is sent ahead of it.
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

    /// What the handshake settled.
    pub fn tls(&self) -> &ClientConnection {
        match &self.wire.stream {
            Link::Plain(_) => panic!("this connection has no TLS"),
            Link::Tls(stream) => &stream.conn,
        }
    }

    /// Sends these bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// As [`Client::send`], where the gateway may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes.as_ref())
    }

    /// Sends a request and reads the answer, 1xx left out.
    pub fn ask(&mut self, message: &Message) -> Response {
        self.send(message.bytes());
        loop {
            let response = self.response_to(message.method());
            if response.status >= 200 || response.status == 101 {
                return response;
            }
        }
    }

    /// Reads one answer to anything but HEAD; 1xx count.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// Reads one answer; that to HEAD has no body.
    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method).unwrap_or_else(|error| panic!("no whole response: {error}"))
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
        self.try_head().unwrap_or_else(|error| panic!("no response: {error}"))
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

    /// Everything until the gateway closes, cleanly or with a reset.
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

    /// Everything until the gateway closes, or until it has sent something that begins so.
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

    /// The gateway has closed, or does so now, and sends nothing more.
    pub fn assert_closed(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "more came: {:?}", latin1(&rest));
    }

    /// Whether anything has come, or comes within this time; also the end of the connection.
    pub fn has_answer(&self, within: Duration) -> bool {
        let Link::Plain(stream) = &self.wire.stream else { panic!("not over TLS") };
        stream.set_read_timeout(Some(within)).unwrap();
        let found = stream.peek(&mut [0]);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        !found.is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }

    /// Sends nothing more, and goes on reading.
    pub fn finish_sending(&self) {
        match &self.wire.stream {
            Link::Plain(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Link::Tls(_) => panic!("not over TLS"),
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
