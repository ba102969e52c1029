//! A store in the wrong hands: it answers without end, or others have written to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::failures::server;
use super::redis::{Connection, Redis, Reply};
use super::{Fleet, ask, at, count, limit, wait_until_connected};
use crate::harness::tls::Authority;
use crate::harness::{eventually, has_program};

/// An endless answer of a [`FalseStore`]: the first part once, then the second part again and again.
type Endless = [&'static [u8]; 2];

/// A store that has every bucket full, until it has a text to say without end. It is a cluster of one node, too.
struct FalseStore {
    port: u16,
    endless: Arc<Mutex<Option<Endless>>>,
}

impl FalseStore {
    fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let endless = Arc::default();
        let here = Arc::clone(&endless);
        let port = server(move |stream| {
            let port = stream.local_addr().unwrap().port();
            let answered = match &tls {
                Some(tls) => {
                    let session = ServerConnection::new(tls.clone()).unwrap();
                    answer(StreamOwned::new(session, stream), port, &here)
                }
                None => answer(stream, port, &here),
            };
            answered.unwrap_or_default();
        });
        Self { port, endless }
    }

    /// Answers the next commands with `text`.
    fn say(&self, text: Option<Endless>) {
        *self.endless.lock().unwrap() = text;
    }
}

/// Answers commands until the client is gone.
fn answer(stream: impl Read + Write, port: u16, endless: &Mutex<Option<Endless>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let command = read_command(&mut reader)?;
        let stream = reader.get_mut();
        let text = *endless.lock().unwrap();
        match text {
            Some([first, again]) if command[0].starts_with("EVAL") => {
                stream.write_all(first).ok()?;
                let again = again.repeat(65_536 / again.len());
                while stream.write_all(&again).is_ok() {}
                return None;
            }
            _ => stream.write_all(honest_answer(&command, port).as_bytes()).ok()?,
        }
    }
}

/// The answer of a store that has every bucket full, and whose logs are empty.
pub(super) fn honest_answer(command: &[String], port: u16) -> String {
    match &*command[0] {
        "CLUSTER" => format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:{port}\r\n"),
        // A log: from where to read next, nothing more, and no entries.
        "EVALSHA" | "EVAL" if command[3].ends_with(":bans}") || command[3].ends_with(":replays}") => {
            "*3\r\n$1\r\n0\r\n:0\r\n*0\r\n".to_owned()
        }
        "EVALSHA" | "EVAL" => {
            let keys = command[2].parse().unwrap();
            format!("*{keys}\r\n{}", ":0\r\n".repeat(keys))
        }
        _ => "+OK\r\n".to_owned(),
    }
}

/// Reads a command in the protocol of Redis; `None` at the end.
pub(super) fn read_command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let number = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse::<usize>().ok()
    };
    let count = number(reader)?;
    let mut command = Vec::new();
    for _ in 0..count {
        let mut argument = vec![0; number(reader)? + 2];
        reader.read_exact(&mut argument).ok()?;
        command.push(String::from_utf8_lossy(argument.trim_ascii_end()).into_owned());
    }
    Some(command)
}

/// The limit for the growth of a node's memory during endless answers, in KiB.
const MOST_MEMORY: u64 = 64 * 1024;

#[test]
fn an_answer_without_end_takes_little_memory_and_the_nodes_agree_again_afterwards() {
    let (authority, fleet) = (Authority::new(), Fleet::new());
    let ca = fleet.folder.write("ca.pem", &authority.pem);
    let [plain, cluster] = [(); 2].map(|()| FalseStore::start(None));
    let encrypted = FalseStore::start(Some(authority.server_named("localhost")));
    let encrypted_url = format!("url: \"rediss://localhost:{}\", ca_file: {}", encrypted.port, ca.display());
    let texts: [Endless; 9] = [
        [b"$2147483647\r\n", b"x"],
        [b"$2147483647\r\n", b"\r\n"],
        [b"*2147483647\r\n", b":0\r\n"],
        [b"*2147483647\r\n", b"_\r\n"],
        [b"*2147483647\r\n", b"*1\r\n$1\r\nx\r\n"],
        [b"*1\r\n", b"*1\r\n"],
        [b"+", b"a line without an end "],
        [b":", b"1"],
        [b"-", b"NOSCRIPT "],
    ];
    for (what, store, url) in [
        ("plain", &plain, at(plain.port)),
        ("TLS", &encrypted, encrypted_url),
        ("cluster", &cluster, format!("{}, cluster: true", at(cluster.port))),
    ] {
        let node = fleet.node(&url, &limit("by: device, rate: 3/h"));
        wait_until_connected(&node, true);
        assert_eq!(ask(&node, "before"), 200);
        let before = node.memory();
        for (number, text) in texts.into_iter().enumerate() {
            store.say(Some(text));
            wait_until_connected(&node, false);
            let statuses: Vec<_> = (0..4).map(|_| ask(&node, &format!("device {number}"))).collect();
            assert_eq!(statuses, [200, 200, 200, 429], "{what}: {}", String::from_utf8_lossy(text[0]));
            store.say(None);
            wait_until_connected(&node, true);
        }
        let grown = node.peak_memory().saturating_sub(before);
        println!("{what}: the node grew by {grown} KiB at most");
        assert!(grown < MOST_MEMORY, "{what}: the node grew by {grown} KiB");
        assert!(!String::from_utf8_lossy(&node.stderr()).contains("panicked"));
    }
}

#[test]
fn a_store_that_sends_too_much_is_named() {
    let (store, fleet) = (FalseStore::start(None), Fleet::new());
    store.say(Some([b"$2147483647\r\n", b"x"]));
    let node = fleet.node(&at(store.port), "");
    node.wait_for_message("it sends more than an exchange has");
}

#[test]
fn a_value_that_others_wrote_spoils_no_other_bucket() {
    if !has_program("redis-server") {
        return;
    }
    let (redis, fleet) = (Redis::start(), Fleet::new());
    let node = fleet.node(&at(redis.port), &limit("by: device, rate: 3/h"));
    wait_until_connected(&node, true);
    let mut connection = Connection::new(redis.port);
    let buckets = || redis.lines(&["KEYS", "ag1:*:*:*"]);
    let nines = |count: usize| "9".repeat(count);
    let values = [
        String::new(),
        "x y".to_owned(),
        "-1 -1 -1".to_owned(),
        "nan nan nan".to_owned(),
        "1e308 0 0".to_owned(),
        format!("{} 0 0", nines(16)),
        format!("0 {} 0", nines(16)),
        format!("0 0 {}", nines(40)),
        format!("{0} {0} {0}", nines(16)),
        format!("{} 0 0", nines(400)),
        nines(1 << 20),
    ];
    let sets = values.iter().map(|value| vec!["SET", "", value]);
    for (number, mut write) in sets.chain([vec!["LPUSH", "", "1"], vec!["HSET", "", "a", "b"]]).enumerate() {
        redis.ask(&["FLUSHALL"]);
        let (spoilt, other) = (format!("spoilt {number}"), format!("other {number}"));
        assert_eq!(ask(&node, &spoilt), 200);
        let names = eventually("a bucket", || Some(buckets()).filter(|names| !names.is_empty()));
        for name in &names {
            redis.ask(&["DEL", name]);
            write[1] = name;
            assert!(!matches!(connection.ask(&write), Reply::Error(_)));
        }
        // The next exchange tells both, in one command.
        ask(&node, &spoilt);
        assert_eq!(ask(&node, &other), 200);
        eventually(&format!("the other bucket after {number}"), || {
            (buckets().len() > names.len()).then_some(())
        });
        assert_eq!([(); 3].map(|()| ask(&node, &other)), [200, 200, 429], "{number}");
    }
    assert_eq!(count(&node, "failures_total"), 0.0);
}
