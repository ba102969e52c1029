//! An origin that records every request byte for byte and answers as the test's script says.

mod connection;
mod exchange;
mod record;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustls::ServerConfig;
use socket2::SockRef;

use super::DEADLINE;
use connection::Closer;
pub use exchange::{Exchange, Then};
use record::Shared;
pub use record::{Handshake, Record, Request};

type Script = dyn Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync;

/// A server on a free port of the loopback interface.
pub struct Origin {
    address: SocketAddr,
    url: String,
    shared: Arc<Shared>,
    /// A socket that is bound and does not listen, for an origin that refuses connections.
    closed: Option<socket2::Socket>,
    /// The listening socket and the thread that accepts connections.
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

    /// Calls `script` for each request, as soon as its head has arrived.
    pub fn scripted(script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static) -> Self {
        Self::serve(None, script)
    }

    /// Answers requests to `/honest` with 200 and calls `script` for the others.
    pub fn troubled(script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static) -> Self {
        Self::scripted(move |exchange| {
            if exchange.request.target != "/honest" {
                return script(exchange);
            }
            exchange.body()?;
            exchange.answer("200 OK", "hello")
        })
    }

    /// Speaks TLS as `localhost` and answers every request with 200 and `hello`.
    pub fn with_tls(config: Arc<ServerConfig>) -> Self {
        Self::scripted_with_tls(config, |exchange| {
            exchange.body()?;
            exchange.answer("200 OK", "hello")
        })
    }

    /// Speaks TLS as `localhost` and calls `script` for each request.
    pub fn scripted_with_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(config), script)
    }

    /// Refuses connections. The port is reserved, so that no other process can take it.
    pub fn refusing() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let url = format!("http://{address}");
        Self { address, url, shared: Arc::default(), closed: Some(socket), listener: None }
    }

    /// Makes an origin that refuses connections accept them.
    pub fn open(&mut self, script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static) {
        let socket = self.closed.take().expect("an origin that refuses");
        socket.listen(128).unwrap();
        self.listen(socket.into(), None, Arc::new(script));
    }

    /// Closes the listening socket and every connection, as if the process had died.
    pub fn kill(&mut self) {
        let (listener, accepting) = self.listener.take().expect("an origin that listens");
        SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
        accepting.join().unwrap();
        drop(listener);
        self.shared.closers.lock().unwrap().iter().flatten().for_each(Closer::close);
    }

    /// Listens on a unix socket at `path`. The host in requests is `unix.test`.
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
                connection::serve(Box::new(stream), closer, None, &accepting, &script);
            }
        });
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        Self { address, url: "http://unix.test".to_owned(), shared, closed: None, listener: None }
    }

    /// Two origins on the same port of 127.0.0.1 and 127.0.0.2.
    pub fn twins() -> [Self; 2] {
        let answer = |exchange: &mut Exchange<'_>| {
            exchange.body()?;
            exchange.answer("200 OK", "hello")
        };
        // The port of the first may be in use at the second address.
        crate::harness::eventually("a port that is free at two addresses", || {
            let first = TcpListener::bind("127.0.0.1:0").unwrap();
            let second = TcpListener::bind(("127.0.0.2", first.local_addr().unwrap().port())).ok()?;
            Some([first, second].map(|listener| Self::serve_on(listener, None, answer)))
        })
    }

    fn serve(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        Self::serve_on(TcpListener::bind("127.0.0.1:0").unwrap(), tls, script)
    }

    fn serve_on(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
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
            // `kill` shuts the socket down, and `accept` fails.
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nodelay(true).unwrap();
                stream.set_write_timeout(Some(DEADLINE)).unwrap();
                let closer = Closer::Tcp(stream.try_clone().unwrap());
                connection::serve(Box::new(stream), closer, tls.clone(), &shared, &script);
            }
        });
        self.listener = Some((handle, accepting));
    }

    /// The TLS handshakes so far.
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.shared.record.lock().unwrap().handshakes.clone()
    }

    /// The value for `API_DOMAIN` or `domain`.
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

    /// The request targets so far, in order.
    pub fn targets(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.target).collect()
    }

    /// How many requests had this target.
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

    /// Waits until the record satisfies `wanted`.
    ///
    /// # Panics
    /// After [`DEADLINE`], with `what` and the requests so far.
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&Record) -> bool) {
        let record = self.shared.record.lock().unwrap();
        let (record, _) =
            self.shared.changed.wait_timeout_while(record, DEADLINE, |record| !wanted(record)).unwrap();
        assert!(wanted(&record), "waited in vain at the origin for {what}: {:?}", record.requests);
    }
}
