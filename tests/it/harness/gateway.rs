//! A gateway process.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Client, DEADLINE, Folder, Message, Metrics, Origin, Process, Response, tokens};

/// A running gateway. Killed with the value; its output is printed if the test fails.
pub struct Gateway {
    process: Process,
    public: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    _folder: Folder,
}

impl Gateway {
    pub(super) fn new(process: Process, folder: Folder) -> Self {
        Self { process, public: None, admin: None, _folder: folder }
    }

    /// Waits until the process has logged the addresses it listens on.
    pub fn wait_until_listening(&mut self) {
        self.public = Some(self.announced("listening on "));
        self.admin = Some(self.announced("admin on "));
    }

    /// Waits until standard error contains this text.
    pub fn wait_for_message(&self, text: &str) {
        self.wait_for_log(|_, stderr| String::from_utf8_lossy(stderr).contains(text));
    }

    /// The answer of `/version`.
    pub fn version(&self) -> Value {
        serde_json::from_slice(&self.admin("/version").body).expect("JSON")
    }

    /// Address of the public listener.
    pub fn address(&self) -> SocketAddr {
        self.public.unwrap()
    }

    /// Address of the admin listener.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.unwrap()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A new connection to the public listener.
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// A new connection from 127.0.0.`host`.
    pub fn connect_from(&self, host: u8) -> Client {
        self.try_connect_from(host).unwrap()
    }

    /// A new connection from 127.0.0.`host`, which the gateway may refuse.
    pub fn try_connect_from(&self, host: u8) -> std::io::Result<Client> {
        Client::try_connect_from(host, self.address())
    }

    /// Sends one request on a new connection.
    pub fn ask(&self, message: &Message) -> Response {
        self.connect().ask(message)
    }

    /// Asserts that an honest request on a new connection reaches the origin, as `/honest`.
    pub fn assert_serves(&self, origin: &Origin) {
        let before = origin.count("/honest");
        let response = self.ask(&Message::get("/honest").token(&tokens::valid()));
        assert_eq!(response.status, 200, "an honest request: {}", response.undated());
        assert_eq!(origin.count("/honest"), before + 1, "honest requests at the origin");
    }

    /// Sends one request to the admin listener.
    pub fn admin(&self, path: &str) -> Response {
        let message = Message::get(path).host("localhost").field("Connection", "close");
        Client::connect(self.admin_address()).ask(&message)
    }

    pub fn metrics(&self) -> Metrics {
        let response = self.admin("/metrics");
        assert_eq!(response.status, 200);
        Metrics { text: response.text() }
    }

    /// Waits until the series of this name and these labels add up to `value`.
    ///
    /// A metric changes after the answer was sent, so a test waits for it.
    pub fn wait_for_count(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let metrics = self.metrics();
            if metrics.sum(name, labels) == value {
                return;
            }
            let text = &metrics.text;
            assert!(Instant::now() < deadline, "{name}{labels:?} was never {value}:\n{text}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the number of requests with these labels is `value`.
    pub fn wait_for_requests(&self, labels: &[(&str, &str)], value: f64) {
        self.wait_for_count("approov_gateway_requests_total", labels, value);
    }

    /// Waits for an entry of the access log.
    pub fn wait_for_entry(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let lines = self.wait_for_log(|stdout, _| entries(stdout).iter().any(&wanted));
        entries(&lines.0).into_iter().find(|entry| wanted(entry)).unwrap()
    }

    /// All entries of the access log so far.
    ///
    /// # Panics
    /// If a line is not a JSON object.
    pub fn entries(&self) -> Vec<Value> {
        entries(&self.stdout())
    }

    /// Waits until standard output and standard error satisfy `wanted`, and returns them.
    pub fn wait_for_log(&self, wanted: impl Fn(&[u8], &[u8]) -> bool) -> (Vec<u8>, Vec<u8>) {
        self.process.wait_for_output(wanted)
    }

    /// Standard output so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.process.stdout()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> Vec<u8> {
        self.process.stderr()
    }

    /// Resident memory, in KiB.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory until now, in KiB.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// A field of `/proc/PID/status`, in KiB.
    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends a signal by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    pub fn wait_for_exit(&mut self) -> ExitStatus {
        self.process.wait_for_exit()
    }

    /// Waits for the address after `marker` on standard error.
    fn announced(&self, marker: &str) -> SocketAddr {
        let (_, stderr) = self.process.output_until(|_, stderr| find(stderr, marker).is_some());
        find(&stderr, marker).unwrap_or_else(|| panic!("the gateway did not log {marker:?}"))
    }
}

/// The address after `marker` in the first complete line that has one.
fn find(stderr: &[u8], marker: &str) -> Option<SocketAddr> {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.filter_map(|line| line.split_once(marker)?.1.split_once("://")).find_map(|(_, rest)| {
        let end = rest.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

/// The complete lines of an access log, parsed.
fn entries(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).expect("the access log is UTF-8");
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let entry = |line| match serde_json::from_str(line) {
        Ok(entry @ Value::Object(_)) => entry,
        _ => panic!("not a JSON object: {line:?}"),
    };
    lines.map(entry).collect()
}
