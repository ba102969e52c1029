//! Clients and origins that nobody here wrote, where they are installed: each test says plainly
//! where it was left out.
//!
//! Those in Python need `pip install grpcio websockets`. `APPROOV_TEST_PYTHON` names the interpreter
//! that has them, and then they have to be there; otherwise it is `python3`, and they may be.

mod grpc;
mod h2load;
mod websockets;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::harness::eventually;

/// The interpreter, if it has this package; says so if not.
fn python_with(package: &str) -> Option<String> {
    let chosen = std::env::var("APPROOV_TEST_PYTHON").ok();
    let interpreter = chosen.clone().unwrap_or_else(|| "python3".to_owned());
    let mut probe = Command::new(&interpreter);
    probe.args(["-c", &format!("import {package}")]).stderr(Stdio::null());
    if probe.status().is_ok_and(|status| status.success()) {
        return Some(interpreter);
    }
    assert!(chosen.is_none(), "APPROOV_TEST_PYTHON={interpreter} has no package {package}");
    eprintln!("left out: {interpreter} has no package {package}");
    None
}

/// Runs a program to its end, and returns what it has printed, as JSON.
fn told_by(command: &mut Command) -> Value {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}\n{stdout}\n{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}\n{stdout}\n{stderr}"))
}

/// A script, with arguments.
fn script(interpreter: &str, text: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(interpreter);
    command.args(["-c", text]).args(arguments);
    command
}

/// An origin that is a process and prints a line of JSON for whatever happens; the first names its
/// port. Ended with the test.
struct OriginProcess {
    child: Child,
    printed: Arc<Mutex<Vec<Value>>>,
}

impl OriginProcess {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let all = printed.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                all.lock().unwrap().push(serde_json::from_str(&line).expect("JSON"));
            }
        });
        Self { child, printed }
    }

    fn port(&self) -> u64 {
        eventually("the origin's port", || self.printed().first()?["port"].as_u64())
    }

    /// All lines so far.
    fn printed(&self) -> Vec<Value> {
        self.printed.lock().unwrap().clone()
    }

    /// The values behind this key, line by line.
    fn values(&self, key: &str) -> Vec<Value> {
        self.printed().iter().filter_map(|line| line.get(key).cloned()).collect()
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for OriginProcess {
    fn drop(&mut self) {
        self.stop();
    }
}
