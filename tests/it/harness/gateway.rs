//! The gateway as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use super::{Client, DEADLINE, Message, Metrics, Origin, Response, eventually, tokens};

/// How the gateway is to be started.
pub struct Setup {
    /// The gateway, behind whatever is to start it.
    program: Vec<String>,
    input: Option<OwnedFd>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    files: Scratch,
}

impl Setup {
    /// With nothing but two free ports of the loopback interface to listen on.
    pub fn bare() -> Self {
        let program = vec![env!("CARGO_BIN_EXE_approov-gateway").to_owned()];
        let (arguments, environment) = (Vec::new(), Vec::new());
        Self { program, input: None, arguments, environment, files: Scratch::default() }
            .env("GATEWAY_LISTEN", "127.0.0.1:0")
            .env("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0")
            .env("GATEWAY_THREADS", "1")
    }

    /// With the two variables that nobody can do without.
    pub fn before(origin: &Origin) -> Self {
        Self::bare().env("APPROOV_SECRET_BASE64", tokens::SECRET_BASE64).env("API_DOMAIN", &origin.url())
    }

    /// With a variable; a later one of the same name wins.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a variable.
    pub fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self
    }

    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// With a configuration file of this content.
    pub fn config(mut self, yaml: &str) -> Self {
        let path = self.files.write("yaml", yaml);
        self.env("GATEWAY_CONFIG", &path)
    }

    /// With a variable that names a file of this content.
    pub fn file(mut self, variable: &str, content: &str) -> Self {
        let path = self.files.write("txt", content);
        self.env(variable, &path)
    }

    /// Started by this program, with these arguments before the gateway's.
    pub fn under(mut self, starter: &[&str]) -> Self {
        self.program.splice(0..0, starter.iter().map(|part| (*part).to_owned()));
        self
    }

    /// From this copy of the binary.
    pub fn binary(mut self, path: &Path) -> Self {
        *self.program.last_mut().unwrap() = path.to_str().unwrap().to_owned();
        self
    }

    /// With this as standard input.
    pub fn input(mut self, input: impl Into<OwnedFd>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Starts it, and waits until it says where it listens.
    pub fn start(self) -> Gateway {
        let mut gateway = self.launch();
        gateway.wait_until_listening();
        gateway
    }

    /// Starts it, and waits for nothing.
    pub fn launch(mut self) -> Gateway {
        let mut child = self.spawn();
        let log = Arc::new(Log::default());
        log.follow(Stream::Out, child.stdout.take().unwrap());
        log.follow(Stream::Err, child.stderr.take().unwrap());
        Gateway { child, log, public: None, admin: None, _files: self.files }
    }

    /// Starts it where it is expected to end by itself.
    pub fn run_to_exit(mut self) -> Exit {
        let mut child = self.spawn();
        let log = Arc::new(Log::default());
        log.follow(Stream::Out, child.stdout.take().unwrap());
        log.follow(Stream::Err, child.stderr.take().unwrap());
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it did not end; standard error:\n{}", log.text(Stream::Err));
            }
            thread::sleep(std::time::Duration::from_millis(5));
        };
        log.wait(|log| log.ended == 2);
        Exit { status, stdout: log.text(Stream::Out), stderr: log.text(Stream::Err) }
    }

    fn spawn(&mut self) -> Child {
        Command::new(&self.program[0])
            .args(&self.program[1..])
            .args(&self.arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(self.input.take().map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// How a gateway ended, and what it had to say.
pub struct Exit {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A gateway that is running; killed at the end of the test.
pub struct Gateway {
    child: Child,
    log: Arc<Log>,
    public: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    _files: Scratch,
}

impl Gateway {
    /// Waits until it says where it listens.
    pub fn wait_until_listening(&mut self) {
        self.public = Some(self.announced("listening on "));
        self.admin = Some(self.announced("admin on "));
    }

    /// Waits until standard error holds this text.
    pub fn wait_for_message(&self, text: &str) {
        self.wait_for_log(|_, stderr| String::from_utf8_lossy(stderr).contains(text));
    }

    /// What `/version` says.
    pub fn version(&self) -> Value {
        serde_json::from_slice(&self.admin("/version").body).expect("JSON")
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.public.unwrap()
    }

    /// Where operators connect.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.unwrap()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// A connection from 127.0.0.`host`.
    pub fn connect_from(&self, host: u8) -> Client {
        self.try_connect_from(host).unwrap()
    }

    /// The same, where it may be reset.
    pub fn try_connect_from(&self, host: u8) -> std::io::Result<Client> {
        Client::try_connect_from(host, self.address())
    }

    /// One request on a connection of its own.
    pub fn ask(&self, message: &Message) -> Response {
        self.connect().ask(message)
    }

    /// The next honest request is served, on a connection of its own: the origin is asked for
    /// `/honest` once more.
    pub fn assert_serves(&self, origin: &Origin) {
        let before = origin.count("/honest");
        let response = self.ask(&Message::get("/honest").token(&tokens::valid()));
        assert_eq!(response.status, 200, "an honest request: {}", response.undated());
        assert_eq!(origin.count("/honest"), before + 1, "honest requests at the origin");
    }

    /// One request to the admin listener.
    pub fn admin(&self, path: &str) -> Response {
        Client::connect(self.admin_address()).ask(&Message::get(path).field("Connection", "close"))
    }

    pub fn metrics(&self) -> Metrics {
        let response = self.admin("/metrics");
        assert_eq!(response.status, 200);
        Metrics { text: response.text() }
    }

    /// Waits until the counter has this value: requests are counted after they were answered.
    pub fn wait_for_count(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let mut last = String::new();
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            let metrics = self.metrics();
            if metrics.sum(name, labels) == value {
                return;
            }
            last = metrics.text;
            thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{name}{labels:?} never was {value}:\n{last}");
    }

    /// Waits until the requests with these labels are so many.
    pub fn wait_for_requests(&self, labels: &[(&str, &str)], value: f64) {
        self.wait_for_count("approov_gateway_requests_total", labels, value);
    }

    /// Waits for an entry of the access log.
    pub fn wait_for_entry(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let lines = self.wait_for_log(|stdout, _| entries(stdout).iter().any(&wanted));
        entries(&lines.0).into_iter().find(|entry| wanted(entry)).unwrap()
    }

    /// The whole access log so far; panics where a line is no JSON object.
    pub fn entries(&self) -> Vec<Value> {
        entries(&self.stdout())
    }

    /// Waits until standard output and standard error satisfy the predicate, and returns them.
    pub fn wait_for_log(&self, wanted: impl Fn(&[u8], &[u8]) -> bool) -> (Vec<u8>, Vec<u8>) {
        let text = self.log.wait(|text| wanted(&text.out, &text.err));
        assert!(wanted(&text.0, &text.1), "it never appeared in the logs");
        text
    }

    /// Everything on standard output so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.log.written.lock().unwrap().out.clone()
    }

    /// Everything on standard error so far.
    pub fn stderr(&self) -> Vec<u8> {
        self.log.written.lock().unwrap().err.clone()
    }

    /// Resident memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the process has ended.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        eventually("the end of the process", || self.child.try_wait().unwrap())
    }

    /// The address behind `marker` on standard error.
    fn announced(&mut self, marker: &str) -> SocketAddr {
        let (_, stderr) = self.log.wait(|text| find(&text.err, marker).is_some() || text.ended == 2);
        find(&stderr, marker).unwrap_or_else(|| panic!("the gateway never said {marker:?}"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- standard output of the gateway\n{}", self.log.text(Stream::Out));
            eprintln!("--- standard error of the gateway\n{}", self.log.text(Stream::Err));
        }
    }
}

fn find(stderr: &[u8], marker: &str) -> Option<SocketAddr> {
    let text = String::from_utf8_lossy(stderr);
    // Whole lines only: the last one may still be in the making.
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.filter_map(|line| line.split_once(marker)?.1.split_once("://")).find_map(|(_, rest)| {
        let end = rest.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

fn entries(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).expect("the access log is UTF-8");
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let entry = |line| match serde_json::from_str(line) {
        Ok(entry @ Value::Object(_)) => entry,
        _ => panic!("no JSON object: {line:?}"),
    };
    lines.map(entry).collect()
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// Both streams of a process, whole.
#[derive(Default)]
struct Log {
    written: Mutex<Written>,
    grown: Condvar,
}

#[derive(Default)]
struct Written {
    out: Vec<u8>,
    err: Vec<u8>,
    /// How many of the two have ended.
    ended: usize,
}

impl Log {
    fn follow(self: &Arc<Self>, stream: Stream, source: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            loop {
                let mut line = Vec::new();
                let count = source.read_until(b'\n', &mut line).unwrap_or(0);
                let mut written = log.written.lock().unwrap();
                match stream {
                    Stream::Out => written.out.extend(line),
                    Stream::Err => written.err.extend(line),
                }
                written.ended += usize::from(count == 0);
                log.grown.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
    }

    /// Both streams as soon as the predicate holds, or as they are at the deadline.
    fn wait(&self, wanted: impl Fn(&Written) -> bool) -> (Vec<u8>, Vec<u8>) {
        let written = self.written.lock().unwrap();
        let (written, _) =
            self.grown.wait_timeout_while(written, DEADLINE, |written| !wanted(written)).unwrap();
        (written.out.clone(), written.err.clone())
    }

    fn text(&self, stream: Stream) -> String {
        let written = self.written.lock().unwrap();
        let bytes = match stream {
            Stream::Out => &written.out,
            Stream::Err => &written.err,
        };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// Files that live as long as the test.
#[derive(Default)]
struct Scratch {
    paths: Vec<PathBuf>,
}

impl Scratch {
    fn write(&mut self, extension: &str, content: &str) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("it-{}-{number}.{extension}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, content).unwrap();
        let text = path.to_str().unwrap().to_owned();
        self.paths.push(path);
        text
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }
}
