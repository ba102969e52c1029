//! A Redis process, and just enough of its protocol to talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::harness::{DEADLINE, Folder, Process, eventually};

/// A running Redis. Killed with the value.
pub struct Redis {
    pub process: Process,
    pub port: u16,
    _folder: Folder,
}

/// An answer of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    Error(String),
    Number(i64),
    List(Vec<Reply>),
    Nothing,
}

impl Redis {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts with more arguments, on a free port.
    pub fn start_with(arguments: &[&str]) -> Self {
        eventually("a Redis", || Self::try_start(free_port(), arguments))
    }

    /// Starts on this port; `None` if another process has taken it.
    pub fn try_start(port: u16, arguments: &[&str]) -> Option<Self> {
        let folder = Folder::new();
        let mut command = Command::new("redis-server");
        let usual = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()];
        command.arg("-").args(usual).args(arguments).arg("--dir").arg(folder.path(""));
        let process = Process::start(command.stdin(std::process::Stdio::null()));
        let is_end = |out: &[u8]| {
            let text = String::from_utf8_lossy(out).into_owned();
            text.contains("Ready to accept connections") || text.contains("Address already in use")
        };
        let (out, _) = process.output_until(|out, _| is_end(out));
        String::from_utf8_lossy(&out).contains("Ready to accept").then_some(Self {
            process,
            port,
            _folder: folder,
        })
    }

    /// The answer to a command.
    ///
    /// # Panics
    /// If it is an error.
    pub fn ask(&self, command: &[&str]) -> Reply {
        let reply = Connection::new(self.port).ask(command);
        assert!(!matches!(reply, Reply::Error(_)), "{command:?}: {reply:?}");
        reply
    }

    /// The texts of a list, or the lines of a text.
    pub fn lines(&self, command: &[&str]) -> Vec<String> {
        match self.ask(command) {
            Reply::List(list) => list
                .into_iter()
                .map(|entry| match entry {
                    Reply::Text(text) => text,
                    other => panic!("{other:?}"),
                })
                .collect(),
            Reply::Text(text) => text.lines().map(str::to_owned).collect(),
            other => panic!("{other:?}"),
        }
    }
}

/// A port that was free a moment ago, below those at which the bus of a cluster would have no room.
pub fn free_port() -> u16 {
    eventually("a port", || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Some(listener.local_addr().unwrap().port()).filter(|port| *port < 55_000)
    })
}

pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn ask(&mut self, command: &[&str]) -> Reply {
        let mut bytes = format!("*{}\r\n", command.len());
        for part in command {
            bytes += &format!("${}\r\n{part}\r\n", part.len());
        }
        self.0.get_mut().write_all(bytes.as_bytes()).unwrap();
        self.read()
    }

    /// What MONITOR has shown until now, a line for each command.
    pub fn monitored(&mut self, redis: &Redis) -> Vec<String> {
        redis.ask(&["ECHO", "the end"]);
        let line = || match self.read() {
            Reply::Text(line) => line,
            other => panic!("{other:?}"),
        };
        std::iter::repeat_with(line).take_while(|line| !line.contains("the end")).collect()
    }

    pub fn read(&mut self) -> Reply {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "+" => Reply::Text(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(rest.parse().unwrap()),
            "$" if rest == "-1" => Reply::Nothing,
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut bytes).unwrap();
                Reply::Text(String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned())
            }
            "*" => Reply::List((0..rest.parse().unwrap()).map(|_| self.read()).collect()),
            _ => panic!("{line:?}"),
        }
    }
}
