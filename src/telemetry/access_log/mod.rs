//! The access log: one JSON object a line.

mod entry;
mod line;
mod privacy;
mod recent;
mod sample;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::lines::{LineQueue, Output, Trouble, Writer};
use line::Clock;

pub use entry::{Entry, Exceeded};
pub(crate) use line::address as write_address;
pub use privacy::{AddressPrivacy, DevicePrivacy, PathPrivacy, PrivacyKey, PrivacySettings};
pub use recent::Recent;
pub use sample::Sample;

/// Bytes that may wait for the writer.
const CAPACITY: usize = 8 * 1024 * 1024;

/// How long lines may gather before they are written.
const GATHER: Duration = Duration::from_millis(20);

/// Where finished requests are written.
#[derive(Clone)]
pub struct AccessLogSink {
    queue: Arc<LineQueue<Clock>>,
    /// The file that is appended to; `None` for standard output.
    file: Arc<Mutex<Option<PathBuf>>>,
}

/// The thread that writes the access log. Dropping it ends the log: see [`AccessLogWriter::close`].
pub struct AccessLogWriter {
    queue: Arc<LineQueue<Clock>>,
    _writer: Writer<Clock>,
}

impl AccessLogSink {
    /// A sink, and the thread that appends to `file`, or writes to standard output if `None`.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread cannot be started.
    pub fn start(file: Option<&Path>) -> io::Result<(Self, AccessLogWriter)> {
        Self::start_with(file, Output::open(file)?)
    }

    fn start_with(file: Option<&Path>, output: Output) -> io::Result<(Self, AccessLogWriter)> {
        let queue = Arc::new(LineQueue::new(CAPACITY, GATHER, report));
        let writer = Writer::start("access-log", queue.clone(), output)?;
        let sink = Self { queue: queue.clone(), file: Arc::new(Mutex::new(file.map(Path::to_owned))) };
        Ok((sink, AccessLogWriter { queue, _writer: writer }))
    }

    /// Writes to `file` from now on, or to standard output if `None`. No line is lost. Does nothing
    /// if the log goes there already.
    ///
    /// # Errors
    /// When the file cannot be opened: the log stays where it was.
    pub fn redirect(&self, file: Option<&Path>) -> io::Result<()> {
        let mut present = self.file.lock();
        if present.as_deref() != file {
            self.queue.change_to(Output::open(file)?);
            *present = file.map(Path::to_owned);
        }
        Ok(())
    }

    /// Opens the file again after it was moved away. No line is lost. Returns the path if the log
    /// goes to a file.
    ///
    /// # Errors
    /// When the file cannot be opened: the log stays where it was.
    pub fn reopen(&self) -> io::Result<Option<PathBuf>> {
        let present = self.file.lock();
        if present.is_some() {
            self.queue.change_to(Output::open(present.as_deref())?);
        }
        Ok(present.clone())
    }

    /// Queues one line; never waits for the writer.
    pub fn log(&self, entry: &Entry<'_>) {
        self.queue.push(|clock, line| line::write(entry, clock, line));
    }

    /// Lines that were lost: the reader was too slow, or the disk full.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Reports a write that takes seconds, once. To be called every second or so.
    pub fn report_if_slow(&self) {
        self.queue.report_if_slow();
    }
}

impl AccessLogWriter {
    /// Ends the log as soon as every line is written.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Whether every line is written.
    pub fn is_done(&self) -> bool {
        self.queue.is_empty()
    }
}

fn report(trouble: Trouble) {
    match trouble {
        Trouble::Fails(error) => log::error!("the access log cannot be written: {error}"),
        Trouble::Slow { waiting } => log::warn!(
            "the access log waits for its reader: {waiting} lines are not written yet; check that the \
             process that reads the log is alive and reads, or that the disk answers"
        ),
        Trouble::Over { lost } => log::warn!("the access log is written again; {lost} lines were lost"),
        Trouble::Abandoned { lost } => {
            log::warn!("{lost} lines of the access log are lost: nothing has read them before the end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::lines::Memory;

    pub(super) fn entry(path: &[u8]) -> Entry<'_> {
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
            request_id: Some(b"4bf92f3577b34da6a3ce929d0e0e4736"),
            trace: Some(([0xab; 16], [0x0c; 8])),
            error: None,
            error_message: None,
            peer: None,
            route: "/",
            policy: "protect",
            verdict: "accepted",
            reason: "ok",
            limit: None,
            device_id: Some("ExampleApproovTokenDID=="),
            response_code: None,
            app_status: None,
            unverified_device_id: None,
            unverified_response_code: None,
            message_signature: None,
            message_signature_reason: None,
            origin: Some("api"),
            resends: 0,
            sample_rate: None,
        }
    }

    #[test]
    fn everything_logged_is_written_as_json() {
        let memory = Memory::default();
        let output = Output::new(memory.clone());
        let (sink, writer) = AccessLogSink::start_with(None, output).expect("starts");
        for _ in 0..1000 {
            sink.log(&entry(b"/a\"\n"));
        }
        writer.close();
        assert!(sink.queue.flush(Duration::from_secs(30)));
        let written = memory.lines();
        assert_eq!(written.len(), 1000);
        let line: serde_json::Value = serde_json::from_str(&written[0]).expect("JSON");
        assert_eq!(line["url.path"], "/a\"\\u{a}");
        assert_eq!(line["client.address"], "192.0.2.1");
        assert_eq!(line["http.server.request.duration"], 0.0015);
        assert_eq!(line["request.id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((&line["trace_id"], &line["span_id"]), (&"ab".repeat(16).into(), &"0c".repeat(8).into()));
        assert_eq!(line.get("user_agent.original"), None);
        assert_eq!(sink.dropped(), 0);
    }
}
