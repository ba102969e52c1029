//! Clients that ask without a pause, and what became of each request.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use approov_gateway::approov::Secret;
use approov_gateway::cli::token::{Kind, Request, mint};

use super::origin::Origin;
use super::{DEADLINE, SECRET};

const CLIENTS: usize = 8;

/// So many of them keep their connections.
const KEEPERS: usize = 6;

const INTERVALS: usize = 5;

/// All clients.
pub struct Load {
    address: SocketAddr,
    stop: AtomicBool,
    interval: AtomicUsize,
    answered: AtomicU64,
    clients: Vec<Mutex<Record>>,
}

/// What one client has seen.
#[derive(Default)]
struct Record {
    asked: usize,
    latencies: [Vec<Duration>; INTERVALS],
    failures: Vec<String>,
}

impl Load {
    pub fn new(address: SocketAddr) -> Self {
        let clients = std::iter::repeat_with(Mutex::default).take(CLIENTS).collect();
        let (stop, interval, answered) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicU64::new(0));
        Self { address, stop, interval, answered, clients }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn start(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let start = |number| {
            let load = self.clone();
            thread::spawn(move || load.run(number))
        };
        (0..CLIENTS).map(start).collect()
    }

    pub fn stop(&self, clients: Vec<JoinHandle<()>>) {
        self.stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("no panic"));
    }

    /// From now on latencies belong to this interval.
    pub fn enter(&self, interval: usize) {
        self.interval.store(interval, Ordering::Relaxed);
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub fn wait_for(&self, count: u64) {
        let deadline = Instant::now() + 5 * DEADLINE;
        while self.answered() < count {
            assert!(Instant::now() < deadline, "the load takes too long");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The latency that one request in a hundred exceeds.
    pub fn p99(&self, interval: usize) -> Duration {
        let mut all: Vec<Duration> = Vec::new();
        for client in &self.clients {
            all.extend(&client.lock().expect("no panic").latencies[interval]);
        }
        all.sort_unstable();
        all.get(all.len() * 99 / 100).copied().unwrap_or_default()
    }

    /// What went wrong at the clients, and what did not arrive exactly once.
    pub fn failures(&self, origin: &Origin) -> Vec<String> {
        let mut failures = Vec::new();
        for (number, client) in self.clients.iter().enumerate() {
            let client = client.lock().expect("no panic");
            failures.extend(client.failures.iter().cloned());
            let arrived = origin.arrived(number);
            for request in 0..client.asked.max(arrived.len()) {
                match arrived.get(request).copied().unwrap_or_default() {
                    1 if request < client.asked => {}
                    times => failures.push(format!("/{number}/{request} arrived {times} times")),
                }
            }
        }
        failures
    }

    fn run(&self, number: usize) {
        let connection = if number < KEEPERS { "" } else { "Connection: close\r\n" };
        let fields = format!("Host: api.example.com\r\n{connection}Approov-Token: {}\r\n\r\n", token());
        let mut kept = None;
        for count in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let target = format!("/r/{number}/{count}");
            let request = format!("GET {target} HTTP/1.1\r\n{fields}");
            let interval = self.interval.load(Ordering::Relaxed);
            let start = Instant::now();
            let answered = ask(kept.take(), self.address, &request, &target);
            let took = start.elapsed();
            let mut record = self.clients[number].lock().expect("no panic");
            record.asked += 1;
            match answered {
                Ok(stream) => {
                    kept = stream;
                    // What spans two intervals belongs to neither.
                    if interval == self.interval.load(Ordering::Relaxed) {
                        record.latencies[interval].push(took);
                    }
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => record.failures.push(format!("{target}: {error}")),
            }
        }
    }
}

/// A token that is good for long.
pub fn token() -> String {
    let secret = Secret::from_base64(SECRET).expect("the secret is good");
    let wanted = Request { kind: Kind::Valid, ..Request::default() };
    mint(&secret, &wanted, SystemTime::now()).expect("a token")
}

/// A new connection.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// One request, to be answered with its target; returns the connection where it is kept.
fn ask(
    kept: Option<TcpStream>,
    address: SocketAddr,
    request: &str,
    target: &str,
) -> io::Result<Option<TcpStream>> {
    let mut stream = kept.map_or_else(|| connect(address), Ok)?;
    stream.write_all(request.as_bytes())?;
    let end = format!("\r\n\r\n{target}");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(end.as_bytes()) {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer"));
        }
        answer.extend_from_slice(&buffer[..count]);
    }
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        return Err(io::Error::other(head));
    }
    Ok((!head.contains("connection: close")).then_some(stream))
}
