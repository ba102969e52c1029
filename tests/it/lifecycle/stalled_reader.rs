//! A process that reads the logs, is alive, and has stopped reading: the pipe is full.

use std::io::{BufRead, BufReader, PipeReader, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{begin_download, gated, get};
use crate::harness::{Client, Folder, Gate, Gateway, Message, Origin, assert_within, tokens};

/// More lines than a pipe holds.
const LINES: usize = 400;

/// How long an end that waits for nothing may take.
const AT_ONCE: Duration = Duration::from_secs(3);

fn fill_the_pipe(address: SocketAddr) {
    let mut client = Client::connect(address);
    let target = format!("/{}", "x".repeat(250));
    for _ in 0..LINES {
        let message = Message::get(&target).token(&tokens::valid()).field("User-Agent", &"u".repeat(250));
        assert_eq!(client.ask(&message).status, 200);
    }
}

/// A gateway whose access log goes to a full pipe. The reader must live as long as the test.
fn stalled(folder: &Folder, origin: &Origin, grace_period: &str) -> (Gateway, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let server = format!("threads: 2, grace_period: {grace_period}");
    folder.write("gateway.yaml", folder.config(origin, "").replace("threads: 2", &server));
    let gateway = folder.setup("gateway.yaml", &["run"]).output(writer).start();
    fill_the_pipe(gateway.address());
    (gateway, reader)
}

#[test]
fn stalled_log_reader_delays_the_end_by_the_grace_period_at_most() {
    assert_within(Duration::from_millis(500) + AT_ONCE, || {
        let (folder, origin) = (Folder::new(), Origin::new());
        let (mut gateway, _reader) = stalled(&folder, &origin, "500ms");
        let start = Instant::now();
        gateway.signal("TERM");
        assert_eq!(gateway.wait_for_exit().code(), Some(0));
        let took = start.elapsed();
        gateway.wait_for_message("lines of the access log are lost");
        assert!(!folder.path("pid").exists());
        took
    });
}

#[test]
fn stalled_log_reader_does_not_delay_the_end_after_a_second_signal() {
    let origin = gated(&Gate::default());
    for (signals, is_busy) in [
        (&["TERM", "TERM"][..], false),
        (&["TERM", "INT"], false),
        (&["TERM", "TERM"], true),
        (&["INT"], false),
    ] {
        assert_within(AT_ONCE, || {
            let folder = Folder::new();
            let (mut gateway, _reader) = stalled(&folder, &origin, "30s");
            let _download = is_busy.then(|| begin_download(gateway.address()));
            let start = Instant::now();
            for (number, signal) in signals.iter().enumerate() {
                if number > 0 {
                    gateway.wait_for_message("SIGTERM: draining");
                }
                gateway.signal(signal);
            }
            assert_eq!(gateway.wait_for_exit().code(), Some(0), "{signals:?}");
            start.elapsed()
        });
    }
}

#[test]
fn write_that_takes_seconds_is_reported_once() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let (gateway, mut reader) = stalled(&folder, &origin, "1s");
    gateway.wait_for_message("the access log waits for its reader");
    gateway.assert_serves(&origin);
    std::thread::spawn(move || std::io::copy(&mut reader.by_ref(), &mut std::io::sink()));
    gateway.wait_for_message("the access log is written again; 0 lines were lost");
    let stderr = String::from_utf8(gateway.stderr()).unwrap();
    assert_eq!(stderr.matches("the access log waits for its reader").count(), 1);
}

#[test]
fn upgrade_works_with_a_stalled_log_reader() {
    assert_within(Duration::from_secs(3) + AT_ONCE, || {
        let (folder, origin) = (Folder::new(), Origin::new());
        let (mut old, _reader) = stalled(&folder, &origin, "500ms");
        let mut new = folder.successor(&old, &origin);
        let start = Instant::now();
        old.signal("QUIT");
        new.wait_until_listening();
        assert_eq!(old.wait_for_exit().code(), Some(0));
        let took = start.elapsed();
        new.assert_serves(&origin);
        assert_eq!(folder.pid(), new.pid());
        took
    });
}

#[test]
fn stalled_reader_of_both_logs_holds_up_neither_requests_nor_the_end() {
    assert_within(Duration::from_millis(500) + AT_ONCE, || {
        let (folder, origin) = (Folder::new(), Origin::new());
        let (reader, writer) = std::io::pipe().unwrap();
        folder.write(
            "gateway.yaml",
            folder.config(&origin, "").replace("threads: 2", "threads: 2, grace_period: 500ms"),
        );
        let both = writer.try_clone().unwrap();
        let mut gateway = folder.setup("gateway.yaml", &["run"]).output(writer).error(both).launch();
        let mut reader = BufReader::new(reader);
        let mut address = None;
        loop {
            let mut line = String::new();
            assert!(reader.read_line(&mut line).unwrap() > 0, "the gateway has ended");
            if let Some((_, found)) = line.trim_end().split_once("listening on http://") {
                address = Some(found.parse::<SocketAddr>().unwrap());
            }
            if line.contains("admin on ") {
                break;
            }
        }
        let address = address.unwrap();
        fill_the_pipe(address);
        // Each of these is reported on standard error.
        for _ in 0..LINES {
            gateway.signal("USR1");
        }
        let mut client = Client::connect(address);
        assert_eq!(client.ask(&get("/still")).status, 200);
        drop(client);
        let start = Instant::now();
        gateway.signal("TERM");
        assert_eq!(gateway.wait_for_exit().code(), Some(0));
        start.elapsed()
    });
}
