//! Honest requests over HTTP/2, many on one connection.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use tokio::task::spawn_local;

use super::super::sockets::connect;

/// How often a request is asked again that was not taken.
const TIMES: usize = 5;

/// The connection that takes requests at present.
pub struct Http2 {
    gateway: SocketAddr,
    current: RefCell<Option<SendRequest<Bytes>>>,
}

impl Http2 {
    pub fn new(gateway: SocketAddr) -> Self {
        Self { gateway, current: RefCell::default() }
    }

    /// Asks, and asks again where the connection went away without taking the request, which a
    /// client may do (RFC 9113 §8.7) and every library does. The answer, and how often that was.
    pub async fn ask(&self, from: Ipv4Addr, target: &str, token: &str) -> io::Result<(Vec<u8>, usize)> {
        let request = || {
            let uri = format!("http://api.example.com{target}");
            http::Request::get(uri).header("approov-token", token).body(()).map_err(io::Error::other)
        };
        for again in 0..TIMES {
            let sender = self.sender(from).await?;
            let Ok(mut sender) = sender.ready().await else {
                self.forget();
                continue;
            };
            let Ok((response, _)) = sender.send_request(request()?, true) else {
                self.forget();
                continue;
            };
            let response = match response.await {
                Err(error) if is_not_taken(&error) => {
                    self.forget();
                    continue;
                }
                response => response.map_err(io::Error::other)?,
            };
            if response.status() != http::StatusCode::OK {
                return Err(io::Error::other(format!("answered {}", response.status())));
            }
            let mut body = response.into_body();
            let mut answer = Vec::new();
            while let Some(piece) = body.data().await {
                let piece = piece.map_err(io::Error::other)?;
                body.flow_control().release_capacity(piece.len()).map_err(io::Error::other)?;
                answer.extend_from_slice(&piece);
            }
            return Ok((answer, again));
        }
        Err(io::Error::other("no connection takes the request"))
    }

    async fn sender(&self, from: Ipv4Addr) -> io::Result<SendRequest<Bytes>> {
        if let Some(sender) = self.current.borrow().clone() {
            return Ok(sender);
        }
        let stream = connect(from, self.gateway).await?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        spawn_local(connection);
        *self.current.borrow_mut() = Some(sender.clone());
        Ok(sender)
    }

    fn forget(&self) {
        self.current.take();
    }
}

/// Whether the gateway has said that it did nothing with the request.
fn is_not_taken(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away() || error.is_reset())
        && matches!(error.reason(), Some(Reason::NO_ERROR | Reason::REFUSED_STREAM))
}
