//! The origin: says which request it has got, and counts those that should never have come.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Result;

/// Below this path is what must be refused.
pub const REFUSED: &str = "/refused/";

/// A path with an answer that no buffer on the way holds.
pub const LARGE: &str = "/large";

const LARGE_BYTES: usize = 1 << 20;

/// Bytes that wait for the gateway in the kernel. Left alone, loopback lets megabytes wait, and a few
/// thousand slow readers take all the memory that the kernel has for TCP: all connections suffer then.
const WAITING: usize = 64 << 10;

pub struct Origin {
    address: SocketAddr,
    /// Requests that should have been refused.
    wrongly_arrived: Arc<AtomicU64>,
}

impl Origin {
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let wrongly_arrived = Arc::new(AtomicU64::new(0));
        let here = wrongly_arrived.clone();
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    if let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(converse(stream, here.clone()));
                    }
                }
            })
        });
        Ok(Self { address, wrongly_arrived })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that should have been refused.
    pub fn wrongly_arrived(&self) -> u64 {
        self.wrongly_arrived.load(Ordering::Relaxed)
    }
}

async fn converse(mut stream: TcpStream, wrongly_arrived: Arc<AtomicU64>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_send_buffer_size(WAITING)?;
    let mut received = Vec::with_capacity(8192);
    loop {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&received, b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        };
        let (target, body) = understand(&received[..end]).ok_or(io::ErrorKind::InvalidData)?;
        if target.starts_with(REFUSED) {
            wrongly_arrived.fetch_add(1, Ordering::Relaxed);
        }
        let mut left = body.saturating_sub(received.len() - end);
        while left > 0 {
            received.clear();
            let count = stream.read_buf(&mut received).await?;
            if count == 0 {
                return Ok(());
            }
            left = left.saturating_sub(count);
        }
        received.clear();
        let (length, content) =
            if target == LARGE { (LARGE_BYTES, String::new()) } else { (target.len(), target) };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{content}").as_bytes()).await?;
        if content.is_empty() {
            let piece = [b'x'; 16 << 10];
            for _ in 0..length / piece.len() {
                stream.write_all(&piece).await?;
            }
        }
    }
}

/// The target, and the length of the body.
fn understand(head: &[u8]) -> Option<(String, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let target = head.split(' ').nth(1)?.to_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some((target, length.unwrap_or(0)))
}
