//! Upgrades and reloads in a row under load: no request may fail, and this is what they cost.
//!
//! ```sh
//! cargo bench --bench lifecycle
//! ```
//!
//! The load asks over kept connections and over one for each request. A request counts as failed
//! when its connection is refused or reset, or its answer is missing or not 200.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use approov_gateway::approov::Secret;
use approov_gateway::cli::token::{Kind, Request, mint};

const SECRET: &str =
    "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzNnqyRze3lw/WVyWrc2gZfh3XXfBOmww==";
const DEADLINE: Duration = Duration::from_secs(60);

/// How much is done.
struct Size {
    upgrades: usize,
    reloads: usize,
    requests: u64,
    routes: usize,
}

fn main() {
    // `cargo test --benches` passes no `--bench`: show only that it runs.
    let size = if std::env::args().any(|argument| argument == "--bench") {
        Size { upgrades: 20, reloads: 100, requests: 500_000, routes: 10_000 }
    } else {
        Size { upgrades: 2, reloads: 3, requests: 500, routes: 100 }
    };
    let origin = origin();
    let place = Place::new();
    place.configure(origin, "127.0.0.1:0", "127.0.0.1:0", 1);
    let mut gateway = Gateway::start(&place, false);
    let (public, admin) = gateway.await_addresses();
    place.configure(origin, &public, &admin, 1);
    let load = Arc::new(Load::default());
    let address: SocketAddr = public.parse().expect("an address");
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let load = load.clone();
            thread::spawn(move || load.run(address, number < 6))
        })
        .collect();

    load.wait_for(size.requests / 4);
    let before = load.take_latencies();
    for generation in 2..size.reloads + 2 {
        gateway.signal("HUP");
        gateway.await_line(&format!("configuration reloaded, generation {generation}"));
    }
    let during = load.take_latencies();
    place.configure(origin, &public, &admin, size.routes);
    let start = Instant::now();
    gateway.signal("HUP");
    gateway.await_line(&format!("configuration reloaded, generation {}", size.reloads + 2));
    let large = start.elapsed();
    place.configure(origin, &public, &admin, 1);

    let mut upgrades = Vec::new();
    let mut retired = Vec::new();
    for _ in 0..size.upgrades {
        let start = Instant::now();
        let next = Gateway::start(&place, true);
        next.await_line("waiting for the sockets");
        gateway.signal("QUIT");
        next.await_line("admin on http://");
        upgrades.push(start.elapsed());
        retired.push(std::mem::replace(&mut gateway, next));
        load.wait_for(load.answered.load(Ordering::Relaxed) + size.requests / 100);
    }
    load.wait_for(size.requests);
    load.stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("no panic"));
    let lost: usize = retired.iter_mut().map(|old| usize::from(old.await_exit() != Some(0))).sum();
    let start = Instant::now();
    gateway.signal("TERM");
    let code = gateway.await_exit();
    let stopped = start.elapsed();

    let failures = load.failures.lock().expect("no panic").clone();
    println!("{:<44} {:>10}", "requests answered", load.answered.load(Ordering::Relaxed));
    println!("{:<44} {:>10}", "requests failed", failures.len());
    println!("{:<44} {:>10}", format!("p99 before reloads ({} requests)", before.len()), show(p99(&before)));
    println!(
        "{:<44} {:>10}",
        format!("p99 during {} reloads ({} requests)", size.reloads, during.len()),
        show(p99(&during))
    );
    println!("{:<44} {:>10}", format!("reload with {} routes", size.routes), show(large));
    upgrades.sort();
    println!(
        "{:<44} {:>10}",
        format!("upgrade, median of {}", size.upgrades),
        show(upgrades[upgrades.len() / 2])
    );
    println!("{:<44} {:>10}", "upgrade, slowest", show(upgrades[upgrades.len() - 1]));
    println!("{:<44} {:>10}", "SIGTERM idle to exit", show(stopped));
    for failure in failures.iter().take(10) {
        println!("failed: {failure}");
    }
    assert!(failures.is_empty() && lost == 0 && code == Some(0), "requests or processes were lost");
}

fn p99(latencies: &[Duration]) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * 99 / 100).copied().unwrap_or_default()
}

fn show(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// The requests, and what became of them.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    answered: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
    failures: Mutex<Vec<String>>,
}

impl Load {
    fn run(&self, address: SocketAddr, is_kept: bool) {
        let secret = Secret::from_base64(SECRET).expect("the secret is good");
        let wanted = Request { kind: Kind::Valid, ..Request::default() };
        let token = mint(&secret, &wanted, SystemTime::now()).expect("a token");
        let connection = if is_kept { "" } else { "Connection: close\r\n" };
        let request =
            format!("GET /x HTTP/1.1\r\nHost: api.example.com\r\n{connection}Approov-Token: {token}\r\n\r\n");
        let mut kept = None;
        while !self.stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            match ask(kept.take(), address, &request) {
                Ok(stream) => {
                    kept = stream;
                    self.latencies.lock().expect("no panic").push(start.elapsed());
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.failures.lock().expect("no panic").push(error.to_string()),
            }
        }
    }

    fn wait_for(&self, count: u64) {
        let deadline = Instant::now() + 5 * DEADLINE;
        while self.answered.load(Ordering::Relaxed) < count {
            assert!(Instant::now() < deadline, "the load takes too long");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn take_latencies(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.latencies.lock().expect("no panic"))
    }
}

/// One request; returns the connection where it is kept.
fn ask(kept: Option<TcpStream>, address: SocketAddr, request: &str) -> io::Result<Option<TcpStream>> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            stream
        }
    };
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"\r\n\r\nhello") {
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

/// Answers every request without a body with `hello`.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || -> io::Result<()> {
                stream.set_nodelay(true)?;
                let (mut request, mut buffer) = (Vec::new(), [0; 8192]);
                loop {
                    request.clear();
                    while !request.ends_with(b"\r\n\r\n") {
                        let count = stream.read(&mut buffer)?;
                        if count == 0 {
                            return Ok(());
                        }
                        request.extend_from_slice(&buffer[..count]);
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")?;
                }
            });
        }
    });
    address
}

/// A private folder for the configuration, the pid file and the socket of upgrades.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("approov-bench-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&folder).expect("a folder");
        Self(folder)
    }

    fn configure(&self, origin: SocketAddr, public: &str, admin: &str, routes: usize) {
        let folder = self.0.display();
        let mut config = format!(
            "server: {{ threads: 2, pid_file: {folder}/pid, upgrade_sock: {folder}/sock }}\n\
             listeners: [ {{ address: \"{public}\" }} ]\nadmin: {{ address: \"{admin}\" }}\n\
             approov:\n  keys: [ {{ id: current, algorithm: HS256, secret_base64: \"{SECRET}\" }} ]\n\
             origins:\n  api: {{ domain: \"http://{origin}\" }}\nroutes:\n"
        );
        for number in 1..routes {
            config += &format!("  - {{ path: /route/{number}/, policy: protect, origin: api }}\n");
        }
        config += "  - { path: /, policy: protect, origin: api }\n";
        fs::write(self.0.join("gateway.yaml"), config).expect("written");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A gateway; killed when dropped.
struct Gateway {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Gateway {
    fn start(place: &Place, is_upgrade: bool) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_approov-gateway"));
        command
            .arg("run")
            .args(is_upgrade.then_some("--upgrade"))
            .arg("-c")
            .arg(place.0.join("gateway.yaml"));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the gateway starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line on standard error with this text.
    fn await_line(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("never said {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn await_addresses(&self) -> (String, String) {
        let address = |marker| {
            let line = self.await_line(marker);
            line.split_once(marker).expect("it is there").1.trim().to_owned()
        };
        (address("listening on http://"), address("admin on http://"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    fn await_exit(&mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            thread::sleep(Duration::from_millis(1));
        }
        None
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
