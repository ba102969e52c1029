//! The access log: one JSON object a line, written by a thread of its own so that a slow disk or a
//! stopped reader of standard output never holds up a request.

mod line;
mod output;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use line::Clock;
pub(crate) use line::address as write_address;
use output::Output;

/// Bytes that may wait for the writer. What comes beyond is dropped and counted.
const MAX_WAITING: usize = 8 * 1024 * 1024;

/// How long lines may gather before they are written: one write for many requests.
const GATHER: Duration = Duration::from_millis(20);

/// One finished request. Attribute names follow OpenTelemetry's semantic conventions for HTTP.
#[derive(Debug)]
pub struct Entry<'a> {
    /// `http.request.method`
    pub method: &'a str,
    /// `url.path`, without the query
    pub path: &'a [u8],
    /// `http.response.status_code`; none when the client was gone before an answer
    pub status: Option<u16>,
    /// `client.address`, and `client.port` where the client itself has connected
    pub client: Option<(IpAddr, Option<u16>)>,
    /// `network.protocol.version`
    pub protocol: &'static str,
    /// `tls.protocol.version`
    pub tls_version: Option<&'static str>,
    /// `tls.client.subject`: of a verified certificate
    pub client_subject: Option<&'a str>,
    /// `server.address`: the `Host` field
    pub host: &'a [u8],
    /// `user_agent.original`
    pub user_agent: &'a [u8],
    /// `http.request.body.size`, bytes
    pub request_bytes: usize,
    /// `http.response.body.size`, bytes
    pub response_bytes: usize,
    /// `http.server.request.duration`, written in seconds
    pub duration: Duration,
    /// `error.type`: what went wrong at the origin or with the client's connection
    pub error: Option<&'static str>,
    /// `approov.route`
    pub route: &'a str,
    /// `approov.policy`
    pub policy: &'static str,
    /// `approov.verdict`
    pub verdict: &'static str,
    /// `approov.reason`
    pub reason: &'static str,
    /// `approov.limit` and what goes with it
    pub limit: Option<Exceeded<'a>>,
    /// `approov.did`
    pub device_id: Option<&'a str>,
    /// `approov.arc`
    pub response_code: Option<&'a str>,
    /// `approov.origin`
    pub origin: Option<&'a str>,
    /// `http.request.resend_count`: attempts beyond the first to have it answered by the origin
    pub resends: usize,
}

/// A limit that a request has exceeded.
#[derive(Clone, Copy, Debug)]
pub struct Exceeded<'a> {
    /// `approov.limit`: which kind, as in metrics
    pub cause: &'static str,
    /// `approov.limit_name`: the name of a rate limit
    pub name: Option<&'a str>,
    /// `approov.limit_observed`: written where the request went on all the same
    pub is_observed: bool,
}

impl Entry<'_> {
    /// The line as it is written, with its line break and the time of this call.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        line::write(self, &mut Clock::default(), &mut line);
        line
    }
}

/// Where finished requests are written.
#[derive(Clone)]
pub struct AccessLogSink(Arc<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    dropped: AtomicU64,
    /// The file that is appended to; none for standard output.
    file: Mutex<Option<PathBuf>>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    clock: Clock,
    /// Where the writer goes on, each behind so many bytes of the lines.
    moves: Vec<(usize, Output)>,
    closed: bool,
}

/// Ends the writer thread when dropped, after everything that waits has been written.
pub struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLogSink {
    /// A sink, and the thread that appends to `file`, or without one writes to standard output.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not be started.
    pub fn start(file: Option<&Path>) -> io::Result<(Self, Writer)> {
        let queue = Queue { file: Mutex::new(file.map(Path::to_owned)), ..Queue::default() };
        Self::start_with(queue, Output::open(file)?)
    }

    fn start_with(queue: Queue, output: Output) -> io::Result<(Self, Writer)> {
        let queue = Arc::new(queue);
        let writer = Writer::start(queue.clone(), output)?;
        Ok((Self(queue), writer))
    }

    /// Goes on in `file`, or without one on standard output; nothing is lost. Where it goes there
    /// already, nothing is done.
    ///
    /// # Errors
    /// When the file cannot be opened: the log stays where it was.
    pub fn redirect(&self, file: Option<&Path>) -> io::Result<()> {
        let mut present = self.0.file.lock();
        if present.as_deref() != file {
            self.0.go_on_with(Output::open(file)?);
            *present = file.map(Path::to_owned);
        }
        Ok(())
    }

    /// Opens the file again, which has been moved away, and goes on there; nothing is lost. Returns
    /// its path, if the log goes to a file.
    ///
    /// # Errors
    /// When the file cannot be opened: the log stays where it was.
    pub fn reopen(&self) -> io::Result<Option<PathBuf>> {
        let present = self.0.file.lock();
        if present.is_some() {
            self.0.go_on_with(Output::open(present.as_deref())?);
        }
        Ok(present.clone())
    }

    /// Takes one line to be written soon; never waits for the writer.
    pub fn log(&self, entry: &Entry<'_>) {
        let queue = &self.0;
        let mut waiting = queue.waiting.lock();
        if waiting.lines.len() >= MAX_WAITING {
            queue.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = waiting.lines.is_empty();
        let Waiting { lines, clock, .. } = &mut *waiting;
        line::write(entry, clock, lines);
        drop(waiting);
        if first {
            queue.arrived.notify_one();
        }
    }

    /// How many lines were lost: the reader was too slow, or the disk full.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Writer {
    fn start(queue: Arc<Queue>, mut output: Output) -> io::Result<Self> {
        let thread = thread::Builder::new().name("access-log".into()).spawn({
            let queue = queue.clone();
            move || {
                let mut lines = Vec::new();
                while let Some(moves) = queue.take(&mut lines) {
                    let (mut written, mut lost) = (0, 0);
                    for (end, next) in moves {
                        lost += output.write(&lines[written..end]);
                        (written, output) = (end, next);
                    }
                    lost += output.write(&lines[written..]);
                    queue.dropped.fetch_add(lost, Ordering::Relaxed);
                    lines.clear();
                }
            }
        })?;
        Ok(Self { queue, thread: Some(thread) })
    }
}

impl Queue {
    /// Waits for lines and swaps them into `lines`, and for where to go on behind which of them;
    /// `None` when closed and empty.
    fn take(&self, lines: &mut Vec<u8>) -> Option<Vec<(usize, Output)>> {
        let mut waiting = self.waiting.lock();
        while waiting.lines.is_empty() && waiting.moves.is_empty() && !waiting.closed {
            self.arrived.wait(&mut waiting);
        }
        // Lines that come wake nobody while others are waiting, so this gathers.
        let goes_on = |waiting: &mut Waiting| !waiting.closed && waiting.moves.is_empty();
        self.arrived.wait_while_for(&mut waiting, goes_on, GATHER);
        std::mem::swap(lines, &mut waiting.lines);
        let moves = std::mem::take(&mut waiting.moves);
        (!lines.is_empty() || !moves.is_empty()).then_some(moves)
    }

    fn go_on_with(&self, output: Output) {
        let mut waiting = self.waiting.lock();
        let written = waiting.lines.len();
        waiting.moves.push((written, output));
        drop(waiting);
        self.arrived.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.waiting.lock().closed = true;
        self.queue.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the writer has been reported by itself.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().clone()).expect("UTF-8");
            text.lines().map(str::to_owned).collect()
        }
    }

    fn entry(path: &[u8]) -> Entry<'_> {
        Entry {
            method: "GET",
            path,
            status: Some(200),
            client: Some(([192, 0, 2, 1].into(), Some(4711))),
            protocol: "1.1",
            tls_version: Some("1.3"),
            client_subject: None,
            host: b"api.example.com",
            user_agent: b"",
            request_bytes: 0,
            response_bytes: 2,
            duration: Duration::from_micros(1500),
            error: None,
            route: "/",
            policy: "protect",
            verdict: "accepted",
            reason: "ok",
            limit: None,
            device_id: Some("ExampleApproovTokenDID=="),
            response_code: None,
            origin: Some("api"),
            resends: 0,
        }
    }

    #[test]
    fn everything_logged_is_written_before_the_writer_ends() {
        let memory = Memory::default();
        let output = Output::new(memory.clone());
        let (sink, writer) = AccessLogSink::start_with(Queue::default(), output).expect("starts");
        for _ in 0..1000 {
            sink.log(&entry(b"/a\"\n"));
        }
        drop(writer);
        let written = memory.lines();
        assert_eq!(written.len(), 1000);
        let line: serde_json::Value = serde_json::from_str(&written[0]).expect("JSON");
        assert_eq!(line["url.path"], "/a\"\\u{a}");
        assert_eq!(line["client.address"], "192.0.2.1");
        assert_eq!(line["http.server.request.duration"], 0.0015);
        assert_eq!(line.get("user_agent.original"), None);
        assert_eq!(sink.dropped(), 0);
    }

    #[test]
    fn no_line_is_lost_when_it_goes_on_elsewhere() {
        let outputs: Vec<Memory> = (0..8).map(|_| Memory::default()).collect();
        let (sink, writer) =
            AccessLogSink::start_with(Queue::default(), Output::new(io::sink())).expect("starts");
        for (index, next) in outputs.iter().enumerate() {
            sink.0.go_on_with(Output::new(next.clone()));
            sink.log(&entry(format!("/{index}/first").as_bytes()));
            sink.log(&entry(format!("/{index}/second").as_bytes()));
        }
        drop(writer);
        // Each line stands where the log was at its time, however late it was written.
        for (index, output) in outputs.iter().enumerate() {
            let lines = output.lines();
            assert_eq!(lines.len(), 2, "{lines:?}");
            assert!(lines[0].contains(&format!("\"/{index}/first\"")), "{lines:?}");
            assert!(lines[1].contains(&format!("\"/{index}/second\"")), "{lines:?}");
        }
        assert_eq!(sink.dropped(), 0);
    }

    #[test]
    fn drops_and_counts_rather_than_grow_without_bound() {
        let queue = Arc::new(Queue::default());
        let sink = AccessLogSink(queue.clone());
        let path = vec![b'x'; 200];
        while sink.dropped() == 0 {
            sink.log(&entry(&path));
        }
        assert!(queue.waiting.lock().lines.len() < MAX_WAITING + 1024);
    }
}
