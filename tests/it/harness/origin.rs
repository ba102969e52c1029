//! An origin that records what reaches it, byte for byte, and answers as the test scripts it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
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
}

#[derive(Default)]
struct Shared {
    record: Mutex<Record>,
    changed: Condvar,
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
    _closed: Option<socket2::Socket>,
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
        Self::serve(Some(config), |exchange| {
            exchange.body()?;
            exchange.answer("200 OK", "hello")
        })
    }

    /// A port at which connections are refused, and which nobody else can take.
    pub fn refusing() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { address, url: format!("http://{address}"), shared: Arc::default(), _closed: Some(socket) }
    }

    fn serve(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let url = match tls {
            None => format!("http://{address}"),
            Some(_) => format!("https://localhost:{}", address.port()),
        };
        let script: Arc<Script> = Arc::new(script);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, script, tls) = (Arc::clone(&accepting), Arc::clone(&script), tls.clone());
                thread::spawn(move || {
                    let number = shared.update(|record| {
                        record.connections += 1;
                        record.connections - 1
                    });
                    let _ = converse(number, stream, tls, &shared, &*script);
                    shared.update(|record| record.ended += 1);
                });
            }
        });
        Self { address, url, shared, _closed: None }
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

fn converse(
    number: usize,
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    shared: &Arc<Shared>,
    script: &Script,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let tcp = stream.try_clone()?;
    let stream: Box<dyn ReadWrite> = match tls {
        None => Box::new(stream),
        Some(config) => {
            let session = ServerConnection::new(config).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(session, stream))
        }
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
            Then::Close => return tcp.shutdown(std::net::Shutdown::Both),
            Then::Reset => {
                SockRef::from(&tcp).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
        }
    }
    Ok(())
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

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
