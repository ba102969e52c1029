//! The access log: one JSON object a line, written by a thread of its own so that a slow or
//! stopped reader of standard output never holds up a request.

mod line;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use line::Clock;
pub(crate) use line::address as write_address;

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
    /// `client.address`
    pub client: Option<std::net::SocketAddr>,
    /// `network.protocol.version`
    pub protocol: &'static str,
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
    /// `approov.did`
    pub device_id: Option<&'a str>,
    /// `approov.arc`
    pub response_code: Option<&'a str>,
    /// `approov.origin`
    pub origin: Option<&'a str>,
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
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    clock: Clock,
    closed: bool,
}

/// Ends the writer thread when dropped, after everything that waits has been written.
pub struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLogSink {
    /// A sink, and the thread that writes to `output`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(output: impl Write + Send + 'static) -> io::Result<(Self, Writer)> {
        let queue = Arc::new(Queue::default());
        let writer = Writer::start(queue.clone(), output)?;
        Ok((Self(queue), writer))
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

    /// How many lines were dropped because the reader was too slow.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Writer {
    fn start(queue: Arc<Queue>, mut output: impl Write + Send + 'static) -> io::Result<Self> {
        let thread = thread::Builder::new().name("access-log".into()).spawn({
            let queue = queue.clone();
            move || {
                let mut lines = Vec::new();
                while queue.take(&mut lines) {
                    if let Err(error) = output.write_all(&lines).and_then(|()| output.flush()) {
                        log::error!("the access log cannot be written: {error}");
                    }
                    lines.clear();
                }
            }
        })?;
        Ok(Self { queue, thread: Some(thread) })
    }
}

impl Queue {
    /// Waits for lines and swaps them into `lines`; false when closed and empty.
    fn take(&self, lines: &mut Vec<u8>) -> bool {
        let mut waiting = self.waiting.lock();
        while waiting.lines.is_empty() && !waiting.closed {
            self.arrived.wait(&mut waiting);
        }
        if !waiting.closed {
            // Only closing wakes the writer while lines are waiting, so this gathers.
            self.arrived.wait_while_for(&mut waiting, |waiting| !waiting.closed, GATHER);
        }
        std::mem::swap(lines, &mut waiting.lines);
        !lines.is_empty()
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

    fn entry(path: &[u8]) -> Entry<'_> {
        Entry {
            method: "GET",
            path,
            status: Some(200),
            client: Some(([192, 0, 2, 1], 4711).into()),
            protocol: "1.1",
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
            device_id: Some("ExampleApproovTokenDID=="),
            response_code: None,
            origin: Some("api"),
        }
    }

    #[test]
    fn everything_logged_is_written_before_the_writer_ends() {
        let memory = Memory::default();
        let (sink, writer) = AccessLogSink::start(memory.clone()).expect("starts");
        for _ in 0..1000 {
            sink.log(&entry(b"/a\"\n"));
        }
        drop(writer);
        let written = String::from_utf8(memory.0.lock().clone()).expect("UTF-8");
        assert_eq!(written.lines().count(), 1000);
        let line: serde_json::Value =
            serde_json::from_str(written.lines().next().expect("a line")).expect("JSON");
        assert_eq!(line["url.path"], "/a\"\\u{a}");
        assert_eq!(line["client.address"], "192.0.2.1");
        assert_eq!(line["http.server.request.duration"], 0.0015);
        assert_eq!(line.get("user_agent.original"), None);
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
