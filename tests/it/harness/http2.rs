//! An HTTP/2 client, based on the `h2` library.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{DEADLINE, Message, Response};

/// A connection to the gateway. A thread of its own sends and receives the frames.
pub struct Http2Client {
    /// `:scheme` of every request.
    scheme: &'static str,
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    connection: Option<JoinHandle<Result<(), h2::Error>>>,
}

/// A request of which at least the head has been sent.
pub struct Pending {
    response: ResponseFuture,
    pub body: SendStream<Bytes>,
}

impl Http2Client {
    /// Connects in clear text, with prior knowledge (RFC 9113 §3.3).
    pub fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &Builder::new())
    }

    /// Connects in clear text with these client settings.
    pub fn connect_with(address: SocketAddr, settings: &Builder) -> Self {
        let runtime = runtime();
        let stream = runtime.block_on(async { TcpStream::connect(address).await.unwrap() });
        stream.set_nodelay(true).unwrap();
        Self::shake_hands("http", runtime, stream, settings)
    }

    /// Uses a TLS stream that is connected already.
    pub fn over(runtime: Runtime, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self::shake_hands("https", runtime, stream, &Builder::new())
    }

    fn shake_hands(
        scheme: &'static str,
        runtime: Runtime,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        settings: &Builder,
    ) -> Self {
        let (sender, connection) = runtime.block_on(within(settings.handshake(stream))).unwrap();
        let connection = Some(runtime.spawn(connection));
        Self { scheme, runtime, sender, connection }
    }

    /// Sends the head of a request. `is_whole` says that there is no body.
    pub fn begin(&mut self, message: &Message, is_whole: bool) -> Pending {
        let request = message.to_http2(self.scheme);
        let sender = self.sender.clone();
        let (response, body) = self.runtime.block_on(within(async {
            let mut sender = sender.ready().await.unwrap();
            sender.send_request(request, is_whole).unwrap()
        }));
        Pending { response, body }
    }

    /// Sends a complete request.
    pub fn send(&mut self, message: &Message) -> Pending {
        let body = message.body_bytes();
        let mut pending = self.begin(message, body.is_empty());
        if !body.is_empty() {
            // The gateway may have refused the request and ended the stream.
            let _ = pending.body.send_data(Bytes::copy_from_slice(body), true);
        }
        pending
    }

    /// Sends a part of a body, as flow control permits.
    pub fn send_body(&mut self, pending: &mut Pending, body: &[u8], is_last: bool) {
        pending.body.send_data(Bytes::copy_from_slice(body), is_last).unwrap();
    }

    /// Sends `count` requests and resets each at once. Returns the error if the connection ended.
    pub fn send_and_reset(&mut self, message: &Message, count: usize) -> Option<h2::Error> {
        let (sender, scheme) = (self.sender.clone(), self.scheme);
        self.runtime
            .block_on(within(async {
                let mut sender = sender.ready().await?;
                for _ in 0..count {
                    let (_, mut body) = sender.send_request(message.to_http2(scheme), false)?;
                    body.send_reset(h2::Reason::CANCEL);
                    sender = sender.ready().await?;
                }
                Ok::<_, h2::Error>(())
            }))
            .err()
    }

    /// Reads the complete answer.
    pub fn response(&self, pending: Pending) -> Response {
        self.try_response(pending).unwrap_or_else(|error| panic!("no complete answer: {error}"))
    }

    pub fn try_response(&self, pending: Pending) -> Result<Response, h2::Error> {
        self.runtime.block_on(within(async {
            let response = pending.response.await?;
            let (head, body) = response.into_parts();
            let (body, trailers) = read(body).await?;
            Ok(Response::from_http2(&head, body, trailers))
        }))
    }

    /// Sends a request and reads the answer.
    pub fn ask(&mut self, message: &Message) -> Response {
        let pending = self.send(message);
        self.response(pending)
    }

    /// Waits until the gateway has closed the connection.
    pub fn wait_for_end(&mut self) -> Result<(), h2::Error> {
        let connection = self.connection.take().expect("the connection is open");
        self.runtime.block_on(within(connection)).unwrap()
    }
}

/// A runtime with one thread.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("an answer before the deadline")
}

async fn read(mut body: RecvStream) -> Result<(Vec<u8>, http::HeaderMap), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        bytes.extend_from_slice(&part);
    }
    Ok((bytes, body.trailers().await?.unwrap_or_default()))
}
