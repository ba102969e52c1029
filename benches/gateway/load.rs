//! The load: kept-alive connections, each sending its next request when the answer is in.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::process::Process;

/// One request, to be sent many times, and the status it must get.
pub struct Load {
    request: Arc<[u8]>,
    status: &'static str,
}

/// What one round took.
#[derive(Clone, Debug)]
pub struct Measured {
    requests: usize,
    elapsed: Duration,
    cpu: Duration,
}

impl Measured {
    pub fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }

    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6.1} µs CPU/request {:8.0} requests/s", self.cpu_micros(), self.rate())
    }
}

impl Load {
    pub fn new(token: &str, authorization: &str, status: u16) -> Self {
        let request = format!(
            "GET /v1/posts/1?full=true HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: app/1.0\r\n\
             Accept: application/json\r\nAccept-Encoding: gzip\r\nAuthorization: {authorization}\r\n\
             Approov-Token: {token}\r\n\r\n"
        );
        let status = if status == 200 { "HTTP/1.1 200 " } else { "HTTP/1.1 401 " };
        Self { request: request.into_bytes().into(), status }
    }

    /// Sends `requests` in all; every answer must have the expected status.
    pub fn run(&self, process: &Process, connections: usize, requests: usize) -> Measured {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let left = Arc::new(AtomicUsize::new(requests));
        let cpu = process.cpu();
        let start = Instant::now();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..connections)
                .map(|_| {
                    let (request, left) = (self.request.clone(), left.clone());
                    tokio::spawn(client(process.address(), request, self.status, left))
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic").expect("every request is answered as expected");
            }
        });
        Measured { requests, elapsed: start.elapsed(), cpu: process.cpu() - cpu }
    }
}

async fn client(
    address: SocketAddr,
    request: Arc<[u8]>,
    status: &'static str,
    left: Arc<AtomicUsize>,
) -> io::Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let mut response = Vec::with_capacity(8192);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        connection.write_all(&request).await?;
        response.clear();
        while !is_complete(&response) {
            if connection.read_buf(&mut response).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if !response.starts_with(status.as_bytes()) {
            let answer = String::from_utf8_lossy(&response).into_owned();
            return Err(io::Error::other(format!("expected {status}, got {answer}")));
        }
    }
    Ok(())
}

/// Head and body have arrived; every answer here has a Content-Length.
fn is_complete(response: &[u8]) -> bool {
    let Some(head) = response.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&response[..head]);
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    response.len() >= head + 4 + length.unwrap_or(0)
}
