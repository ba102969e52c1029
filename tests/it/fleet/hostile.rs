//! A store in the wrong hands: it answers without end, or others have written to it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::failures::server;
use super::redis::{Connection, Redis, Reply};
use super::{Fleet, ask, at, count, limit, wait_until_connected};
use crate::harness::{eventually, has_program};

/// A store that has every bucket full, until it has a text to say without end.
struct FalseStore {
    port: u16,
    endless: Arc<Mutex<Option<[&'static [u8]; 2]>>>,
}

impl FalseStore {
    fn start() -> Self {
        let endless = Arc::default();
        let here = Arc::clone(&endless);
        let port = server(move |stream| answer(&stream, &here).unwrap_or_default());
        Self { port, endless }
    }

    /// Answers the next commands with `text`: its first part, then its second part without end.
    fn say(&self, text: Option<[&'static [u8]; 2]>) {
        *self.endless.lock().unwrap() = text;
    }
}

/// Answers commands until the client is gone.
fn answer(mut stream: &TcpStream, endless: &Mutex<Option<[&'static [u8]; 2]>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let command = read_command(&mut reader)?;
        let text = *endless.lock().unwrap();
        let is_script = command[0].starts_with("EVAL");
        match text {
            Some([first, again]) if is_script => {
                stream.write_all(first).ok()?;
                let again = again.repeat(65_536 / again.len());
                while stream.write_all(&again).is_ok() {}
                return None;
            }
            // A log: from where to read next, and no entries.
            _ if is_script && (command[3].ends_with(":bans}") || command[3].ends_with(":replays}")) => {
                stream.write_all(b"*2\r\n$1\r\n0\r\n*0\r\n").ok()?;
            }
            _ if is_script => {
                let keys = command[2].parse().ok()?;
                stream.write_all(format!("*{keys}\r\n{}", ":0\r\n".repeat(keys)).as_bytes()).ok()?;
            }
            _ => stream.write_all(b"+OK\r\n").ok()?,
        }
    }
}

/// Reads a command in the protocol of Redis; `None` at the end.
fn read_command(reader: &mut impl BufRead) -> Option<Vec<String>> {
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

#[test]
fn answers_without_end_are_dropped_in_time_and_the_nodes_agree_again_afterwards() {
    let (store, fleet) = (FalseStore::start(), Fleet::new());
    let node = fleet.node(&at(store.port), &limit("by: device, rate: 3/h"));
    wait_until_connected(&node, true);
    let before = node.memory();
    let texts: [[&[u8]; 2]; 6] = [
        [b"$2147483647\r\n", b"x"],
        [b"*2147483647\r\n", b":0\r\n"],
        [b"*1\r\n", b"*1\r\n"],
        [b"+", b"a line without an end "],
        [b":", b"1"],
        [b"-", b"NOSCRIPT "],
    ];
    for (number, text) in texts.into_iter().enumerate() {
        store.say(Some(text));
        wait_until_connected(&node, false);
        let statuses: Vec<_> = (0..4).map(|_| ask(&node, &format!("device {number}"))).collect();
        assert_eq!(statuses, [200, 200, 200, 429], "{}", String::from_utf8_lossy(text[0]));
        store.say(None);
        wait_until_connected(&node, true);
    }
    // A node holds what arrives within its patience of half a second, and then closes the connection.
    let grown = node.memory().saturating_sub(before) / 1024;
    assert!(grown < 2048, "the node grew by {grown} MiB");
    assert!(!String::from_utf8_lossy(&node.stderr()).contains("panicked"));
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
        "-1 -1".to_owned(),
        "nan nan".to_owned(),
        "1e308 0".to_owned(),
        format!("{} 0", nines(16)),
        format!("0 {}", nines(16)),
        format!("{} {}", nines(17), nines(17)),
        format!("{} 0", nines(400)),
        format!("{} {}", nines(400), nines(400)),
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
