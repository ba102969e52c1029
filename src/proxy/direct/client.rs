//! The client's side of a direct exchange.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora_core::protocols::Shutdown;
use pingora_core::server::ShutdownWatch;
use pingora_core::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::upload::Upload;
use crate::downstream::{ClientStream, Deadline};
use crate::http::{BadChunk, BodyPipe};
use crate::proxy::body::{BodyFault, Hold};

/// The size of one read. The space is on the stack: a request that waits holds none.
const READ: usize = 16 * 1024;

/// The connection on which a request has arrived.
pub(super) struct ClientSide<'a> {
    pub stream: Box<ClientStream>,
    pub deadline: &'a mut Deadline,
    /// How long the client may send nothing of a body.
    pub body_time: Duration,
    /// Whether the connection is closed after this request.
    pub is_last: bool,
    /// Tells whether the gateway has begun to stop.
    pub stop: &'a ShutdownWatch,
}

impl ClientSide<'_> {
    /// Decides whether the connection is closed after this request. The response says so, and that holds.
    pub fn closes(&mut self) -> bool {
        self.is_last |= *self.stop.borrow();
        self.is_last
    }

    /// Reads a part of the body and appends it to `out`, in the form for the origin. Calls `each` with
    /// its data, and returns how many bytes that are.
    ///
    /// # Errors
    /// If the client fails to send its body.
    pub fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        body: &mut BodyPipe,
        out: &mut Vec<u8>,
        each: impl FnMut(&[u8]),
    ) -> Poll<Result<usize>> {
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *self.stream).poll_read(context, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(read_failed(error))),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Err(closed())),
            Poll::Ready(Ok(())) => {
                let passed = body.pass_each(buffer.filled(), out, each);
                Poll::Ready(passed.map_err(|fault: BadChunk| {
                    read_failed(io::Error::new(io::ErrorKind::InvalidData, fault))
                }))
            }
        }
    }

    /// Notices that the client has closed the connection, after its whole body has arrived.
    ///
    /// # Errors
    /// If the client has closed the connection.
    pub fn watch(&mut self, context: &mut Context<'_>) -> Result<()> {
        let mut byte = [MaybeUninit::uninit()];
        match Pin::new(&mut *self.stream).poll_read(context, &mut ReadBuf::uninit(&mut byte)) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => Err(closed()),
            Poll::Ready(Err(error)) => Err(read_failed(error)),
        }
    }

    /// Reads up to `most` further bytes of the body and discards them. Returns whether the body is
    /// complete.
    pub async fn drain(&mut self, body: &mut BodyPipe, most: u64, limit: Duration) -> bool {
        let read = async {
            let (mut read, mut out) = (0, Vec::new());
            while !body.is_done() && read <= most {
                match poll_fn(|context| self.poll_body(context, body, &mut out, |_| {})).await {
                    Ok(length) => read += length as u64,
                    Err(_) => break,
                }
                out.clear();
            }
        };
        // If the body is not complete in time, the connection is closed after the response.
        let _ = timeout(limit, read).await;
        body.is_done()
    }

    /// Reads the whole body before the origin is asked.
    ///
    /// # Errors
    /// If the client fails to send its body. The inner error is that of `hold`.
    pub async fn hold(&mut self, upload: &mut Upload, hold: &mut Hold) -> Result<Result<(), BodyFault>> {
        // The data alone: small chunks would take several times their length in the form for the origin.
        let (is_chunked, mut held, mut out) = (upload.body.left().is_none(), Vec::new(), Vec::new());
        while !upload.body.is_done() {
            self.deadline.set(self.body_time);
            let mut judged = Ok(());
            let part = poll_fn(|context| {
                let take = |data: &[u8]| {
                    judged = judged.and_then(|()| hold.take(data));
                    if judged.is_ok() {
                        held.extend_from_slice(data);
                    }
                };
                match self.poll_body(context, &mut upload.body, &mut out, take) {
                    Poll::Ready(read) => Poll::Ready(read.map(drop)),
                    Poll::Pending => self.deadline.poll_passed(context).map(|()| Err(silent())),
                }
            });
            part.await?;
            out.clear();
            if judged.is_err() {
                return Ok(judged);
            }
        }
        upload.put_held(held, is_chunked);
        Ok(Ok(()))
    }

    /// Sends all bytes.
    ///
    /// # Errors
    /// If the client cannot be written to.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut sent = 0;
        let sending = poll_fn(|context| {
            while sent < bytes.len() {
                match self.stream.poll_send(context, &bytes[sent..])? {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(count) => sent += count,
                }
            }
            Pin::new(&mut *self.stream).poll_flush(context)
        });
        sending.await.map_err(write_failed)
    }

    /// Ends the stream to the client and reads further bytes, so that the connection is not reset and the
    /// client gets the response.
    pub async fn linger(&mut self, most: usize, limit: Duration) {
        let _ = timeout(limit, self.stream.linger(most)).await;
    }

    /// Ends the exchange. Returns the stream if the connection is kept.
    pub async fn finish(mut self, is_kept: bool) -> Option<Box<ClientStream>> {
        if is_kept {
            return Some(self.stream);
        }
        Shutdown::shutdown(&mut *self.stream).await;
        None
    }
}

/// The client cannot be written to.
pub(super) fn write_failed(error: io::Error) -> Box<Error> {
    Error::because(ErrorType::WriteError, "sending the response", error).into_down()
}

fn read_failed(error: io::Error) -> Box<Error> {
    Error::because(ErrorType::ReadError, "reading the request", error).into_down()
}

/// The client has sent nothing of its body for too long.
pub(super) fn silent() -> Box<Error> {
    Error::explain(ErrorType::ReadTimedout, "reading the request").into_down()
}

fn closed() -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, "the client has closed the connection").into_down()
}
