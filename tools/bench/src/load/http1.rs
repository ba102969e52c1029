//! One connection of a client that speaks HTTP/1.1. Only answers with `Content-Length` are read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use super::connect::{Stream, Target};

/// The most bytes of a body that are kept. A longer body is read and forgotten piece by piece.
const PIECE: usize = 64 << 10;

pub struct Http1 {
    pub stream: Box<dyn Stream>,
    answer: Answer,
}

#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Whether the server closes the connection after this answer.
    closes: bool,
    /// The last piece of a body that is longer than 64 KiB.
    pub body: Vec<u8>,
}

impl Http1 {
    pub async fn open(target: &Target) -> io::Result<Self> {
        Ok(Self { stream: target.open().await?, answer: Answer::default() })
    }

    /// Sends a request and reads the answer. The answer may arrive before the whole request is sent.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<&Answer> {
        let sent = self.stream.write_all(request).await;
        let sent = sent.and(self.stream.flush().await);
        match self.receive().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => sent.and(Err(error))?,
            received => received?,
        }
        Ok(&self.answer)
    }

    async fn receive(&mut self) -> io::Result<()> {
        self.answer.body.clear();
        let length = loop {
            self.read().await?;
            if let Some(length) = self.answer.take_head()? {
                break length;
            }
        };
        let mut received = self.answer.body.len();
        while received < length {
            if self.answer.body.len() >= PIECE {
                self.answer.body.clear();
            }
            self.answer.body.reserve((length - received).min(PIECE));
            received += self.read().await?;
        }
        if received > length { Err(invalid("more bytes than the answer has")) } else { Ok(()) }
    }

    async fn read(&mut self) -> io::Result<usize> {
        match self.stream.read_buf(&mut self.answer.body).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer")),
            count => Ok(count),
        }
    }

    /// Whether the server has closed the connection while it was idle.
    fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_ready()
    }
}

impl Answer {
    /// Takes the head off the bytes received so far, and interim heads (1xx) before it. Returns the length
    /// of the body; `None` if the head is not complete.
    fn take_head(&mut self) -> io::Result<Option<usize>> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut fields);
            let parsed = response.parse(&self.body).map_err(|error| invalid(&error.to_string()))?;
            let httparse::Status::Complete(end) = parsed else { return Ok(None) };
            let field = |name: &str| {
                let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
                std::str::from_utf8(found.value).ok()
            };
            self.status = response.code.unwrap_or_default();
            self.closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            let length = field("content-length").and_then(|length| length.parse().ok());
            self.body.drain(..end);
            if self.status >= 200 {
                return length.map(Some).ok_or_else(|| invalid("no Content-Length"));
            }
        }
    }
}

/// A connection for several requests. It is made anew when the server has closed it.
pub struct Kept {
    most: usize,
    /// The connection and the number of its requests.
    open: Option<(Http1, usize)>,
}

impl Kept {
    /// Connects with the first request. `most` requests use one connection.
    pub fn new(most: usize) -> Self {
        Self { most, open: None }
    }

    /// Connects at once.
    pub async fn open(target: &Target) -> io::Result<Self> {
        Ok(Self { most: usize::MAX, open: Some((Http1::open(target).await?, 0)) })
    }

    pub async fn ask(&mut self, target: &Target, request: &[u8]) -> io::Result<&Answer> {
        let usable = |(client, used): &mut (Http1, usize)| {
            *used < self.most && !client.answer.closes && !client.is_closed()
        };
        let (mut client, used) = match self.open.take_if(usable) {
            Some(kept) => kept,
            None => (Http1::open(target).await?, 0),
        };
        client.ask(request).await?;
        Ok(&self.open.insert((client, used + 1)).0.answer)
    }
}

/// The status of an answer that was read as bytes.
pub fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
