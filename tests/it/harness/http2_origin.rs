//! An HTTP/2 origin, based on the `h2` library.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{eventually, http2};

/// A request as it arrived at the origin.
#[derive(Clone, Debug)]
pub struct Http2Request {
    pub head: Request<()>,
    /// The part of the body that has arrived.
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Http2Request {
    /// The values of a field, in the order of arrival.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.head.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

#[derive(Default)]
struct Record {
    requests: Vec<Http2Request>,
    connections: usize,
}

/// A server on a free port of the loopback interface. It sends each body back, with trailers.
///
/// Requests to `/held` wait for [`Http2Origin::let_go`]. If the very first request is to
/// `/refused`, its stream is reset with REFUSED_STREAM.
pub struct Http2Origin {
    address: SocketAddr,
    has_tls: bool,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    record: Mutex<Record>,
    held: Semaphore,
}

impl Http2Origin {
    /// Listens in clear text.
    pub fn new() -> Self {
        Self::serve(None)
    }

    /// Speaks TLS as `localhost`.
    pub fn with_tls(config: &Arc<ServerConfig>) -> Self {
        let mut config = (**config).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self::serve(Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn serve(tls: Option<TlsAcceptor>) -> Self {
        let runtime = http2::runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { record: Mutex::default(), held: Semaphore::new(0) });
        let has_tls = tls.is_some();
        let accepting = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (tls, shared) = (tls.clone(), Arc::clone(&accepting));
                tokio::spawn(async move {
                    match tls {
                        None => converse(stream, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, shared).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, has_tls, shared, _runtime: runtime }
    }

    /// The value for `domain`.
    pub fn url(&self) -> String {
        match self.has_tls {
            true => format!("https://localhost:{}", self.address.port()),
            false => format!("http://{}", self.address),
        }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Http2Request> {
        self.shared.record.lock().unwrap().requests.clone()
    }

    /// Number of connections that completed the HTTP/2 handshake.
    pub fn connections(&self) -> usize {
        self.shared.record.lock().unwrap().connections
    }

    /// Waits until `count` requests have arrived.
    pub fn wait_for(&self, count: usize) {
        eventually("requests at the origin", || (self.requests().len() >= count).then_some(()));
    }

    /// Lets the origin answer `count` requests to `/held`.
    pub fn let_go(&self, count: usize) {
        self.shared.held.add_permits(count);
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    shared.record.lock().unwrap().connections += 1;
    while let Some(Ok((request, respond))) = connection.accept().await {
        let shared = Arc::clone(&shared);
        let (head, body) = request.into_parts();
        let head = Request::from_parts(head, ());
        tokio::spawn(async move { drop(answer(head, body, respond, &shared).await) });
    }
}

async fn answer(
    head: Request<()>,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    shared: &Shared,
) -> Result<(), h2::Error> {
    let path = head.uri().path().to_owned();
    let index = {
        let mut record = shared.record.lock().unwrap();
        record.requests.push(Http2Request { head, body: Vec::new(), trailers: None });
        record.requests.len() - 1
    };
    if path == "/refused" && index == 0 {
        respond.send_reset(Reason::REFUSED_STREAM);
        return Ok(());
    }
    if path == "/held" {
        shared.held.acquire().await.unwrap().forget();
    }
    let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut answer = respond.send_response(response, false)?;
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        shared.record.lock().unwrap().requests[index].body.extend_from_slice(&part);
        answer.send_data(part, false)?;
    }
    shared.record.lock().unwrap().requests[index].trailers = body.trailers().await?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("grpc-message", "fine".parse().unwrap());
    answer.send_trailers(trailers)
}
