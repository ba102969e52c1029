//! Clients and origins that other projects wrote: gRPC, WebSocket and HTTP/2 load.
//!
//! Those in Python need `pip install grpcio oteltap websockets`. `TEST_PYTHON` names the interpreter
//! that has the packages; the default is `python3`.

mod grpc;
mod h2load;
mod message_signatures;
mod otlp_receiver;
mod websockets;

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Process, eventually, run};

/// Runs a program to its end and parses its standard output as JSON.
fn run_for_json(command: &mut Command) -> Value {
    let exit = run(command);
    assert!(exit.status.success(), "{exit:?}");
    serde_json::from_str(&exit.stdout).unwrap_or_else(|error| panic!("{error}\n{exit:?}"))
}

/// A Python script with arguments.
fn script(interpreter: &str, text: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(interpreter);
    command.args(["-c", text]).args(arguments);
    command
}

/// An origin in a process of its own. It prints one line of JSON for each event; the first line has
/// its port.
struct OriginProcess(Process);

impl OriginProcess {
    fn start(mut command: Command) -> Self {
        Self(Process::start(command.stdin(Stdio::null())))
    }

    fn port(&self) -> u64 {
        eventually("the origin's port", || self.events().first()?["port"].as_u64())
    }

    /// All events so far.
    fn events(&self) -> Vec<Value> {
        let stdout = String::from_utf8(self.0.stdout()).unwrap();
        let lines = stdout.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The value of this key in each event that has it.
    fn values(&self, key: &str) -> Vec<Value> {
        self.events().iter().filter_map(|event| event.get(key).cloned()).collect()
    }

    fn stop(&mut self) {
        self.0.kill();
    }
}
