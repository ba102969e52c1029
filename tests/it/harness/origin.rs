//! An origin that records what reaches it, byte for byte, and answers as the test scripts it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use super::DEADLINE;
use super::wire::{Framing, Wire, framing, latin1, split_head, values};

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// On which connection, counted from 0.
    pub connection: usize,
    /// The head as it came.
    pub head: Vec<u8>,
    pub method: String,
    pub target: String,
    /// The header fields, in order.
    pub fields: Vec<(String, String)>,
    /// As much of the body as the script has read, without chunk sizes.
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Request {
    fn from_head(connection: usize, head: Vec<u8>) -> Self {
        let (line, fields) = split_head(&head);
        let (method, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let target = rest.strip_suffix(" HTTP/1.1").unwrap_or(rest);
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { connection, head, method, target, fields, ..Self::default() }
    }

    /// The values of a field, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }
}

/// Everything that has happened at an origin.
#[derive(Default)]
pub struct Record {
    pub requests: Vec<Request>,
    pub connections: usize,
    /// Connections that the gateway, or the script, has ended.
    pub ended: usize,
    /// Bytes received on all connections, TLS taken off.
    pub bytes: u64,
    /// The TLS handshakes that succeeded.
    pub handshakes: Vec<Handshake>,
}

/// How a TLS handshake went.
#[derive(Clone, Debug)]
pub struct Handshake {
    pub kind: HandshakeKind,
    pub version: ProtocolVersion,
    /// None where a session of TLS 1.2 is resumed.
    pub group: Option<NamedGroup>,
    pub server_name: Option<String>,
    /// Whether the gateway has shown a certificate, now or in the session that was resumed.
    pub has_client_certificate: bool,
}

#[derive(Default)]
struct Shared {
    record: Mutex<Record>,
    changed: Condvar,
    /// Of every connection; none of those that have ended.
    closers: Mutex<Vec<Option<Closer>>>,
}

impl Shared {
    fn update<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let result = change(&mut self.record.lock().unwrap());
        self.changed.notify_all();
        result
    }
}

/// What becomes of the connection after an answer.
pub enum Then {
    KeepAlive,
    Close,
    /// Closed with a TCP reset.
    Reset,
}

type Script = dyn Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync;

/// A server on a port of the loopback interface.
pub struct Origin {
    address: SocketAddr,
    url: String,
    shared: Arc<Shared>,
    /// A socket that is bound and does not listen, where connections are to be refused.
    closed: Option<socket2::Socket>,
    /// Where it listens, and the thread that accepts from there.
    listener: Option<(TcpListener, JoinHandle<()>)>,
}

impl Origin {
    /// Answers every request with 200 and `hello`.
    pub fn new() -> Self {
        Self::scripted(|exchange| {
            exchange.body()?;
            exchange.answer("200 OK", "hello")
        })
    }

    /// Hands each request to `script` as soon as its head is there.
    pub fn scripted(script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static) -> Self {
        Self::serve(None, script)
    }

    /// Answers every request to `/honest` with 200, and hands the others to `script`.
    pub fn troubled(script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static) -> Self {
        Self::scripted(move |exchange| {
            if exchange.request.target != "/honest" {
                return script(exchange);
            }
            exchange.body()?;
            exchange.answer("200 OK", "hello")
        })
    }

    /// Speaks TLS; its name is `localhost`. Answers with 200 and `hello`.
    pub fn with_tls(config: Arc<ServerConfig>) -> Self {
        Self::scripted_with_tls(config, |exchange| {
            exchange.body()?;
            exchange.answer("200 OK", "hello")
        })
    }

    /// Speaks TLS, and hands each request to `script`.
    pub fn scripted_with_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(config), script)
    }

    /// A port at which connections are refused, and which nobody else can take.
    pub fn refusing() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let url = format!("http://{address}");
        Self { address, url, shared: Arc::default(), closed: Some(socket), listener: None }
    }

    /// From now on connections are accepted where they were refused, and requests handed to `script`.
    pub fn open(&mut self, script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static) {
        let socket = self.closed.take().expect("an origin that refuses");
        socket.listen(128).unwrap();
        self.listen(socket.into(), None, Arc::new(script));
    }

    /// From now on connections are refused, and those that there are end: as if its process had died.
    pub fn kill(&mut self) {
        let (listener, accepting) = self.listener.take().expect("an origin that listens");
        SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
        accepting.join().unwrap();
        drop(listener);
        self.shared.closers.lock().unwrap().iter().flatten().for_each(Closer::close);
    }

    /// Listens on a unix socket, where `path` is, for requests to `http://unix.test`.
    pub fn at_path(
        path: &Path,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let shared = Arc::new(Shared::default());
        let (accepting, script): (_, Arc<Script>) = (Arc::clone(&shared), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let closer = Closer::Unix(stream.try_clone().unwrap());
                take(Box::new(stream), closer, None, &accepting, &script);
            }
        });
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        Self { address, url: "http://unix.test".to_owned(), shared, closed: None, listener: None }
    }

    fn serve(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = match tls {
            None => format!("http://{address}"),
            Some(_) => format!("https://localhost:{}", address.port()),
        };
        let mut origin = Self { address, url, shared: Arc::default(), closed: None, listener: None };
        origin.listen(listener, tls, Arc::new(script));
        origin
    }

    fn listen(&mut self, listener: TcpListener, tls: Option<Arc<ServerConfig>>, script: Arc<Script>) {
        let shared = Arc::clone(&self.shared);
        let handle = listener.try_clone().unwrap();
        let accepting = thread::spawn(move || {
            // The first error is the end: the socket was shut down.
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nodelay(true).unwrap();
                stream.set_write_timeout(Some(DEADLINE)).unwrap();
                let closer = Closer::Tcp(stream.try_clone().unwrap());
                take(Box::new(stream), closer, tls.clone(), &shared, &script);
            }
        });
        self.listener = Some((handle, accepting));
    }

    /// The TLS handshakes so far.
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.shared.record.lock().unwrap().handshakes.clone()
    }

    /// What `API_DOMAIN` has to be.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Host and port as in a `Host` field.
    pub fn authority(&self) -> String {
        self.url.split_once("://").map(|(_, authority)| authority.to_owned()).unwrap()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.record.lock().unwrap().requests.clone()
    }

    /// The only request so far.
    pub fn only_request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "requests at the origin: {:?}", self.targets());
        requests.remove(0)
    }

    /// What was asked for so far, in order.
    pub fn targets(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.target).collect()
    }

    /// How often a target was asked for.
    pub fn count(&self, target: &str) -> usize {
        self.targets().iter().filter(|other| *other == target).count()
    }

    pub fn connections(&self) -> usize {
        self.shared.record.lock().unwrap().connections
    }

    /// Bytes received on all connections.
    pub fn bytes(&self) -> u64 {
        self.shared.record.lock().unwrap().bytes
    }

    /// Waits until the record satisfies the predicate.
    ///
    /// # Panics
    /// At the deadline, with what was waited for.
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&Record) -> bool) {
        let record = self.shared.record.lock().unwrap();
        let (record, _) =
            self.shared.changed.wait_timeout_while(record, DEADLINE, |record| !wanted(record)).unwrap();
        assert!(wanted(&record), "at the origin, waited in vain for {what}: {:?}", record.requests);
    }
}

/// A connection, in a thread of its own.
fn take(
    stream: Box<dyn ReadWrite>,
    closer: Closer,
    tls: Option<Arc<ServerConfig>>,
    shared: &Arc<Shared>,
    script: &Arc<Script>,
) {
    let number = shared.update(|record| {
        record.connections += 1;
        record.connections - 1
    });
    shared.closers.lock().unwrap().push(Some(closer.try_clone()));
    let (shared, script) = (Arc::clone(shared), Arc::clone(script));
    thread::spawn(move || {
        let _ = converse(number, stream, &closer, tls, &shared, &*script);
        // The last copies of the socket.
        shared.closers.lock().unwrap()[number] = None;
        drop(closer);
        shared.update(|record| record.ended += 1);
    });
}

/// Ends a connection.
enum Closer {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Closer {
    fn try_clone(&self) -> Self {
        match self {
            Closer::Tcp(stream) => Closer::Tcp(stream.try_clone().unwrap()),
            Closer::Unix(stream) => Closer::Unix(stream.try_clone().unwrap()),
        }
    }

    fn close(&self) {
        // It may have ended by itself.
        let _ = match self {
            Closer::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Closer::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    /// With a TCP reset, as soon as every copy is dropped.
    fn reset(&self) -> io::Result<()> {
        match self {
            Closer::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            Closer::Unix(_) => unreachable!("a unix socket knows no reset"),
        }
    }
}

fn handshake(
    config: Arc<ServerConfig>,
    mut stream: Box<dyn ReadWrite>,
    shared: &Shared,
) -> io::Result<Box<dyn ReadWrite>> {
    let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    let handshake = Handshake {
        kind: session.handshake_kind().unwrap(),
        version: session.protocol_version().unwrap(),
        group: session.negotiated_key_exchange_group().map(|group| group.name()),
        server_name: session.server_name().map(str::to_owned),
        has_client_certificate: session.peer_certificates().is_some(),
    };
    shared.update(|record| record.handshakes.push(handshake));
    Ok(Box::new(StreamOwned::new(session, stream)))
}

fn converse(
    number: usize,
    stream: Box<dyn ReadWrite>,
    closer: &Closer,
    tls: Option<Arc<ServerConfig>>,
    shared: &Arc<Shared>,
    script: &Script,
) -> io::Result<()> {
    let stream = match tls {
        None => stream,
        Some(config) => handshake(config, stream, shared)?,
    };
    let mut wire = Wire::new(Counted { stream, shared: Arc::clone(shared) });
    while let Some(head) = wire.head()? {
        let request = Request::from_head(number, head);
        let index = shared.update(|record| {
            record.requests.push(request.clone());
            record.requests.len() - 1
        });
        let left = match framing(&request.fields, Framing::Length(0)) {
            Framing::Chunked => None,
            Framing::Length(length) => Some(length),
            Framing::Close => unreachable!("requests do not end so"),
        };
        let mut exchange = Exchange { request, wire: &mut wire, index, left, body_ended: false };
        match script(&mut exchange)? {
            Then::KeepAlive => {}
            Then::Close => {
                closer.close();
                return Ok(());
            }
            Then::Reset => return closer.reset(),
        }
    }
    Ok(())
}

trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

/// Counts what arrives.
struct Counted {
    stream: Box<dyn ReadWrite>,
    shared: Arc<Shared>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.shared.update(|record| record.bytes += count as u64);
        Ok(count)
    }
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A request and the means to answer it.
pub struct Exchange<'c> {
    pub request: Request,
    wire: &'c mut Wire<Counted>,
    index: usize,
    /// Bytes of the body still to come; nothing where it is chunked.
    left: Option<u64>,
    body_ended: bool,
}

impl Exchange<'_> {
    /// Reads and records the whole body.
    pub fn body(&mut self) -> io::Result<()> {
        while self.piece()? {}
        Ok(())
    }

    /// Reads and records the next piece of the body, if there is one.
    pub fn piece(&mut self) -> io::Result<bool> {
        let mut trailers = Vec::new();
        let piece = match &mut self.left {
            _ if self.body_ended => None,
            Some(0) => None,
            Some(left) => {
                let piece = self.wire.some(usize::try_from(*left).unwrap())?;
                if piece.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *left -= piece.len() as u64;
                Some(piece)
            }
            None => self.wire.chunk(&mut trailers)?,
        };
        self.body_ended |= piece.is_none();
        let index = self.index;
        self.wire.stream.shared.update(|record| {
            let request = &mut record.requests[index];
            request.trailers.extend(trailers);
            request.body.extend(piece.iter().flatten());
        });
        Ok(piece.is_some())
    }

    /// Reads a body with a known length without recording it.
    pub fn skip_body(&mut self) -> io::Result<()> {
        self.wire.skip(self.left.take().expect("a body with a Content-Length"))?;
        self.body_ended = true;
        Ok(())
    }

    /// Sends these bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes.as_ref())
    }

    /// Answers with a Content-Length, and keeps the connection.
    pub fn answer(&mut self, status: &str, body: &str) -> io::Result<Then> {
        self.send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))?;
        Ok(Then::KeepAlive)
    }

    /// Says nothing until the gateway hangs up.
    pub fn wait_for_hangup(&mut self) -> io::Result<Then> {
        while !self.wire.some(usize::MAX)?.is_empty() {}
        Ok(Then::Close)
    }

    /// Sends back what comes until the gateway hangs up.
    pub fn echo(&mut self) -> io::Result<Then> {
        loop {
            let some = self.wire.some(usize::MAX)?;
            if some.is_empty() {
                return Ok(Then::Close);
            }
            self.send(some)?;
        }
    }
}

impl std::fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&latin1(&self.request.head))
    }
}
