//! One connection of a client that speaks HTTP/1.1. Only answers with `Content-Length` are read.

use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use super::connect::{Stream, Target};

/// The largest head that is read.
const MAX_HEAD: usize = 256 << 10;

/// The most bytes of a body that are read at once.
const PIECE: usize = 64 << 10;

pub struct Http1 {
    pub stream: Box<dyn Stream>,
    answer: Answer,
    keeps_body: bool,
    received: Vec<u8>,
}

/// The last answer of a connection.
#[derive(Debug, Default)]
pub struct Answer {
    status: u16,
    length: usize,
    closes: bool,
    body: Vec<u8>,
}

impl Http1 {
    /// Connects. Bodies of answers are not kept.
    pub async fn open(target: &Target, from: Option<Ipv4Addr>) -> io::Result<Self> {
        Ok(Self::over(target.open(from).await?))
    }

    /// A connection that is established already.
    pub fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream, answer: Answer::default(), keeps_body: false, received: Vec::with_capacity(4096) }
    }

    /// Keeps the bodies of answers.
    pub fn with_body(self) -> Self {
        Self { keeps_body: true, ..self }
    }

    /// Whether the server has closed the connection while it was idle.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_ready()
    }

    /// Sends a request and reads the answer. The answer may arrive before the whole request is sent.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<&Answer> {
        let sent = self.stream.write_all(request).await;
        let sent = sent.and(self.stream.flush().await);
        self.received.clear();
        self.answer.body.clear();
        match self.receive().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => sent.and(Err(error))?,
            received => received?,
        }
        Ok(&self.answer)
    }

    /// Reads an answer. Interim answers (1xx) are skipped.
    async fn receive(&mut self) -> io::Result<()> {
        loop {
            self.read().await?;
            while let Some(head) = self.answer.parse_head(&self.received)? {
                self.received.drain(..head);
                if self.answer.status >= 200 {
                    return self.receive_body().await;
                }
            }
            if self.received.len() > MAX_HEAD {
                return Err(invalid("the head is too large"));
            }
        }
    }

    async fn receive_body(&mut self) -> io::Result<()> {
        let mut left = self.answer.length;
        loop {
            let rest = left.checked_sub(self.received.len());
            left = rest.ok_or_else(|| invalid("more bytes than the answer has"))?;
            if self.keeps_body {
                self.answer.body.extend_from_slice(&self.received);
            }
            self.received.clear();
            if left == 0 {
                return Ok(());
            }
            self.received.reserve(left.min(PIECE));
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer")),
            _ => Ok(()),
        }
    }
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Empty if the client does not keep bodies.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether the server closes the connection after this answer.
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// Returns the length of the head; `None` if it is not complete.
    fn parse_head(&mut self, received: &[u8]) -> io::Result<Option<usize>> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(received).map_err(|error| invalid(&error.to_string()))?;
        let httparse::Status::Complete(end) = parsed else { return Ok(None) };
        let field = |name: &str| {
            let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok()
        };
        self.status = response.code.unwrap_or_default();
        self.closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let length = field("content-length").and_then(|length| length.parse().ok());
        match length {
            None if self.status >= 200 => Err(invalid("no Content-Length")),
            length => {
                self.length = length.unwrap_or_default();
                Ok(Some(end))
            }
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
