//! One connection of a client that speaks HTTP/2, with many requests at a time.

use std::io;

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use parking_lot::Mutex;
use tokio::task::spawn_local;

use super::connect::Target;
use super::request::Request;

/// How often a request is sent again if the server did not process it.
const ATTEMPTS: usize = 5;

pub struct Http2 {
    target: Target,
    current: Mutex<Option<SendRequest<Bytes>>>,
}

impl Http2 {
    pub fn new(target: Target) -> Self {
        Self { target, current: Mutex::default() }
    }

    pub fn head(&self, request: &Request) -> io::Result<http::Request<()>> {
        let scheme = if self.target.tls.is_some() { "https" } else { "http" };
        request.to_http2(scheme).map_err(io::Error::other)
    }

    /// Sends a request, and returns the status and the body of the answer.
    ///
    /// A request that the server reports as not processed is sent again (RFC 9113 §8.7), as every
    /// library does.
    pub async fn ask(&self, head: &http::Request<()>, body: &Bytes) -> io::Result<(u16, Vec<u8>)> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.current.lock().take();
            }
            let Ok(mut sender) = self.sender().await?.ready().await else { continue };
            let Ok((response, mut stream)) = sender.send_request(head.clone(), body.is_empty()) else {
                continue;
            };
            if !body.is_empty() {
                stream.send_data(body.clone(), true).map_err(io::Error::other)?;
            }
            let response = match response.await {
                Err(error) if is_not_processed(&error) => continue,
                response => response.map_err(io::Error::other)?,
            };
            let status = response.status().as_u16();
            let mut body = response.into_body();
            let mut answer = Vec::new();
            while let Some(piece) = body.data().await {
                let piece = piece.map_err(io::Error::other)?;
                body.flow_control().release_capacity(piece.len()).map_err(io::Error::other)?;
                answer.extend_from_slice(&piece);
            }
            return Ok((status, answer));
        }
        Err(io::Error::other("no connection takes the request"))
    }

    pub async fn sender(&self) -> io::Result<SendRequest<Bytes>> {
        let current = self.current.lock().clone();
        if let Some(sender) = current {
            return Ok(sender);
        }
        let stream = self.target.open().await?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        spawn_local(connection);
        *self.current.lock() = Some(sender.clone());
        Ok(sender)
    }
}

/// Whether the server has said that it did not process the request.
fn is_not_processed(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away() || error.is_reset())
        && matches!(error.reason(), Some(Reason::NO_ERROR | Reason::REFUSED_STREAM))
}
