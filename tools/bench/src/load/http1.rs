//! One connection of a client that speaks HTTP/1.1.

use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use super::answer::Answer;
use super::connect::{Stream, Target};

pub struct Http1 {
    pub stream: Box<dyn Stream>,
    answer: Answer,
    buffer: Vec<u8>,
}

impl Http1 {
    /// Connects. Bodies of answers are not kept.
    pub async fn open(target: &Target, from: Option<Ipv4Addr>) -> io::Result<Self> {
        Ok(Self::over(target.open(from).await?))
    }

    /// A connection that is established already.
    pub fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream, answer: Answer::default(), buffer: vec![0; 4096] }
    }

    /// Keeps the bodies of answers.
    pub fn with_body(self) -> Self {
        Self { answer: Answer::with_body(), ..self }
    }

    /// Whether the server has closed the connection while it was idle.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_ready()
    }

    /// The last answer.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Sends a request and reads the answer. The answer may arrive before the whole request is sent.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<&Answer> {
        let sent = self.stream.write_all(request).await;
        let mut sent = sent.and(self.stream.flush().await);
        self.answer.clear();
        loop {
            let count = match self.stream.read(&mut self.buffer).await? {
                0 => return Err(std::mem::replace(&mut sent, Ok(())).err().unwrap_or_else(closed)),
                count => count,
            };
            if self.answer.feed(&self.buffer[..count])? {
                return Ok(&self.answer);
            }
            // Large answers take fewer reads with a larger buffer.
            if count == self.buffer.len() && count < 64 << 10 {
                self.buffer.resize(2 * count, 0);
            }
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer")
}
