//! The gateway's processes, and the folder they share.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{DEADLINE, SECRET};

/// A private folder for the configuration, the pid file and the socket of upgrades.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("approov-bench-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&folder).expect("a folder");
        Self(folder)
    }

    pub fn configure(&self, origin: SocketAddr, public: &str, admin: &str, routes: usize) {
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
pub struct Gateway {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Gateway {
    pub fn start(place: &Place, is_upgrade: bool) -> Self {
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
    pub fn await_line(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("never said {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn await_addresses(&self) -> (String, String) {
        let address = |marker| {
            let line = self.await_line(marker);
            line.split_once(marker).expect("it is there").1.trim().to_owned()
        };
        (address("listening on http://"), address("admin on http://"))
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it runs");
    }

    pub fn await_exit(&mut self) -> Option<i32> {
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
