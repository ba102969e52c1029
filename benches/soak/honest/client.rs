//! One request of an honest client, and the connections that all of them have.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use approov_gateway::cli::token::Kind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::super::sockets::{PATIENCE, connect};
use super::super::{Result, tokens};
use super::http2::Http2;
use super::seen::Seen;

/// Devices, and addresses that they come from: far fewer than the attackers'.
const DEVICES: u64 = 200;
const ADDRESSES: u64 = 50;

/// Connections that are kept. When all are busy a request waits for one, as in an app.
const KEPT: usize = 64;

/// Clients that speak HTTP/2, each over one connection.
const HTTP2: usize = 8;

/// Bytes of a body, where there is one.
const BODY: usize = 2048;

pub struct Clients {
    gateway: SocketAddr,
    tokens: Vec<String>,
    room: Semaphore,
    idle: RefCell<Vec<TcpStream>>,
    http2: [Http2; HTTP2],
    seen: RefCell<Seen>,
}

/// How a request goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Kept,
    New,
    Http2,
}

impl Clients {
    pub fn new(gateway: SocketAddr) -> Result<Self> {
        let tokens = (0..DEVICES).map(|device| tokens::token(Kind::Valid, device)).collect::<Result<_>>()?;
        let (idle, seen) = (RefCell::default(), RefCell::default());
        Ok(Self {
            gateway,
            tokens,
            room: Semaphore::new(KEPT),
            idle,
            http2: [(); HTTP2].map(|()| Http2::new(gateway)),
            seen,
        })
    }

    pub fn seen(&self) -> Seen {
        self.seen.take()
    }

    /// Asks and takes down what came of it. Of ten requests seven go over kept connections, two over
    /// new ones, and one over HTTP/2; one of ten has a body.
    pub async fn ask(&self, number: u64, due: Instant, phase: usize) {
        let way = match number % 10 {
            0..7 => Way::Kept,
            7 | 8 => Way::New,
            _ => Way::Http2,
        };
        self.seen.borrow_mut().phase(phase).lateness.push(due.elapsed());
        let answered = timeout(PATIENCE, self.answer(number, way, phase)).await;
        let took = due.elapsed();
        let mut seen = self.seen.borrow_mut();
        let phase = seen.phase(phase);
        match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => phase.latencies.push(took),
            Err(error) => phase.lost.push(format!("request {number}: {error}")),
        }
    }

    async fn answer(&self, number: u64, way: Way, phase: usize) -> io::Result<()> {
        let (target, token) = (format!("/honest/{number}"), &self.tokens[(number % DEVICES) as usize]);
        if way == Way::Http2 {
            let client = &self.http2[(number / 10) as usize % HTTP2];
            let (answer, again) = client.ask(from(number), &target, token).await?;
            self.seen.borrow_mut().phase(phase).again += again;
            return expect(answer == target.as_bytes(), &answer);
        }
        let (method, body) = if (number / 10).is_multiple_of(10) { ("POST", BODY) } else { ("GET", 0) };
        let connection = if way == Way::New { "Connection: close\r\n" } else { "" };
        let length = if body > 0 { format!("Content-Length: {body}\r\n") } else { String::new() };
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: app/1.0\r\n{connection}\
             {length}Approov-Token: {token}\r\n\r\n"
        );
        request.extend(std::iter::repeat_n('x', body));
        let (_room, kept) = match way {
            Way::Kept => {
                let room = self.room.acquire().await.map_err(io::Error::other)?;
                (Some(room), self.idle.borrow_mut().pop())
            }
            _ => (None, None),
        };
        let mut stream = match kept {
            Some(stream) => stream,
            None => connect(from(number), self.gateway).await?,
        };
        stream.write_all(request.as_bytes()).await?;
        let end = format!("\r\n\r\n{target}");
        let mut answer = Vec::with_capacity(512);
        while !answer.ends_with(end.as_bytes()) {
            if stream.read_buf(&mut answer).await? == 0 {
                expect(false, &answer)?;
            }
            expect(answer.len() < 12 || answer.starts_with(b"HTTP/1.1 200"), &answer)?;
        }
        let is_last = memchr::memmem::find(&answer.to_ascii_lowercase(), b"connection: close").is_some();
        if way == Way::Kept && !is_last {
            self.idle.borrow_mut().push(stream);
        }
        Ok(())
    }
}

fn from(number: u64) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, 0, (number % ADDRESSES) as u8 + 1)
}

fn expect(is_fine: bool, answer: &[u8]) -> io::Result<()> {
    let wrong = || io::Error::other(format!("answered {:?}", String::from_utf8_lossy(answer)));
    is_fine.then_some(()).ok_or_else(wrong)
}
