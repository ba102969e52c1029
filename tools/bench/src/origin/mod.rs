//! The origin behind every gateway and peer: fixed answers, slow answers and hostile ones.
//!
//! | path | answer |
//! |---|---|
//! | `/v1/…` | the same JSON of 270 bytes |
//! | `/v1/slow` | the same JSON after 100 ms |
//! | `/v1/seen` | the token header of the request |
//! | `/v1/large/NUMBER` | that many KiB |
//! | `/r/NUMBER` | the target; the arrival is counted |
//! | `/refused/…` | the target; the request should have been refused |
//! | `/hostile/KIND/NUMBER` | see [`hostile`] |
//! | other | the target |

pub mod hostile;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::rig::{Process, Result, runtime};

/// Requests below this path should have been refused.
pub const REFUSED: &str = "/refused/";

pub const SLOW: Duration = Duration::from_millis(100);

/// The send buffer for large answers. The default of loopback holds megabytes, and a few thousand slow
/// readers would use up the memory that the kernel has for TCP.
const SEND_BUFFER: usize = 64 << 10;

const PIECE: [u8; 16 << 10] = [b'x'; 16 << 10];

/// An origin on a thread of this process.
pub struct Origin {
    pub address: SocketAddr,
    pub log: Arc<Log>,
}

#[derive(Default)]
pub struct Log {
    /// Requests that should have been refused.
    pub wrongly_arrived: AtomicU64,
    /// How often the request with each number arrived.
    pub arrived: Mutex<BTreeMap<u64, u32>>,
}

impl Origin {
    pub fn start(address: Ipv4Addr) -> Result<Self> {
        let runtime = runtime()?;
        let socket = TcpSocket::new_v4()?;
        socket.bind((address, 0).into())?;
        let listener = runtime.block_on(async { socket.listen(16_384) })?;
        let address = listener.local_addr()?;
        let log = Arc::new(Log::default());
        let here = log.clone();
        thread::Builder::new()
            .name("origin".into())
            .spawn(move || runtime.block_on(serve(listener, here)))?;
        Ok(Self { address, log })
    }
}

pub fn start_process() -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("origin");
    let process = Process::start("the origin", &command)?;
    let address = process.await_line("listening on http://")?.parse()?;
    Ok((process, address))
}

/// Serves in this process until it is killed, and writes the address to standard error.
pub fn serve_as_process() -> Result<()> {
    let origin = Origin::start(Ipv4Addr::LOCALHOST)?;
    eprintln!("listening on http://{}", origin.address);
    loop {
        thread::park();
    }
}

async fn serve(listener: TcpListener, log: Arc<Log>) {
    let fixed = answer(&format!("{{\"id\":1,\"text\":\"{}\"}}", "x".repeat(270 - 18)));
    let fixed: Arc<[u8]> = fixed.into_bytes().into();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let (fixed, log) = (fixed.clone(), log.clone());
            tokio::spawn(async move {
                Conversation { stream, received: Vec::with_capacity(2048), log }.hold(&fixed).await
            });
        }
    }
}

struct Conversation {
    stream: TcpStream,
    received: Vec<u8>,
    log: Arc<Log>,
}

impl Conversation {
    async fn hold(mut self, fixed: &[u8]) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some((head, target)) = self.request().await? {
            let parts: Vec<&str> = target.split(['/', '?']).skip(1).collect();
            match parts[..] {
                ["v1", "slow", ..] => {
                    sleep(SLOW).await;
                    self.stream.write_all(fixed).await?;
                }
                ["v1", "seen", ..] => self.say(field(&head, "approov-token").unwrap_or_default()).await?,
                ["v1", "large", size, ..] => self.large(size).await?,
                ["v1", ..] => self.stream.write_all(fixed).await?,
                ["r", number] => {
                    let number = number.parse().map_err(io::Error::other)?;
                    *self.log.arrived.lock().entry(number).or_default() += 1;
                    self.say(&target).await?;
                }
                ["hostile", kind, ..] => {
                    if !hostile::answer(&mut self.stream, kind, &target).await? {
                        return Ok(());
                    }
                }
                ["refused", ..] => {
                    self.log.wrongly_arrived.fetch_add(1, Ordering::Relaxed);
                    self.say(&target).await?;
                }
                _ => self.say(&target).await?,
            }
        }
        Ok(())
    }

    /// Reads a request with its body; `None` at the end of the connection. Returns head and target.
    async fn request(&mut self) -> io::Result<Option<(String, String)>> {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.received[..end]).into_owned();
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let length = if head.starts_with("GET ") { None } else { field(&head, "content-length") };
        let mut left = length.and_then(|length| length.parse().ok()).unwrap_or(0usize);
        let body = left.min(self.received.len() - end);
        self.received.drain(..end + body);
        left -= body;
        while left > 0 {
            let mut piece = [0; 8192];
            let count = self.stream.read(&mut piece[..left.min(8192)]).await?;
            if count == 0 {
                return Ok(None);
            }
            left -= count;
        }
        Ok(Some((head, target)))
    }

    async fn say(&mut self, body: &str) -> io::Result<()> {
        self.stream.write_all(answer(body).as_bytes()).await
    }

    async fn large(&mut self, size: &str) -> io::Result<()> {
        let length = size.parse::<usize>().map_err(io::Error::other)? << 10;
        if length > 1 << 20 {
            SockRef::from(&self.stream).set_send_buffer_size(SEND_BUFFER)?;
        }
        self.stream.write_all(head(length).as_bytes()).await?;
        for _ in 0..length / PIECE.len() {
            self.stream.write_all(&PIECE).await?;
        }
        Ok(())
    }
}

fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
}

fn answer(body: &str) -> String {
    head(body.len()) + body
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (of, value) = line.split_once(':')?;
        of.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
