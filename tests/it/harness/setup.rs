//! How a gateway process is started.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Exit, Folder, Gateway, Origin, Process, tokens};

/// The command line, environment and files of a gateway process.
pub struct Setup {
    /// The gateway's binary, after the program that starts it, if there is one.
    program: Vec<String>,
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: Folder,
}

impl Setup {
    /// One worker thread, and two free ports of the loopback interface to listen on.
    pub fn bare() -> Self {
        let program = vec![env!("CARGO_BIN_EXE_approov-gateway").to_owned()];
        let (arguments, environment) = (Vec::new(), Vec::new());
        Self {
            program,
            input: None,
            output: None,
            error: None,
            arguments,
            environment,
            folder: Folder::new(),
        }
        .env("GATEWAY_LISTEN", "127.0.0.1:0")
        .env("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0")
        .env("GATEWAY_THREADS", "1")
        .exchange()
    }

    /// Serves plain HTTP/1.1 exchanges as `TEST_HTTP1_EXCHANGE` says, so that the same tests run over both
    /// ways.
    fn exchange(self) -> Self {
        match std::env::var("TEST_HTTP1_EXCHANGE") {
            Ok(way) => self.env("GATEWAY_HTTP1_EXCHANGE", &way),
            Err(_) => self,
        }
    }

    /// Adds the two required variables: the account secret and the API's domain.
    pub fn before(origin: &Origin) -> Self {
        Self::bare().env("APPROOV_SECRET_BASE64", tokens::SECRET_BASE64).env("API_DOMAIN", &origin.url())
    }

    /// Sets a variable; the last value of a name wins.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Unsets a variable.
    pub fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self
    }

    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Uses a configuration file with this content.
    pub fn config(self, yaml: &str) -> Self {
        let path = self.folder.write("gateway.yaml", yaml);
        self.env("GATEWAY_CONFIG", path.to_str().unwrap())
    }

    /// Sets a variable to the path of a file with this content.
    pub fn file(self, variable: &str, content: &str) -> Self {
        let path = self.folder.write(variable, content);
        self.env(variable, path.to_str().unwrap())
    }

    /// Starts the gateway by another program: `starter` is its name and its arguments.
    pub fn under(mut self, starter: &[&str]) -> Self {
        self.program.splice(0..0, starter.iter().map(|part| (*part).to_owned()));
        self
    }

    /// Starts this copy of the gateway's binary.
    pub fn binary(mut self, path: &Path) -> Self {
        *self.program.last_mut().unwrap() = path.to_str().unwrap().to_owned();
        self
    }

    /// Standard output of the process. The harness does not read it.
    pub fn output(mut self, output: impl Into<OwnedFd>) -> Self {
        self.output = Some(output.into());
        self
    }

    /// Standard error of the process. The harness does not read it.
    pub fn error(mut self, error: impl Into<OwnedFd>) -> Self {
        self.error = Some(error.into());
        self
    }

    /// Standard input of the process; `/dev/null` unless set.
    pub fn input(mut self, input: impl Into<OwnedFd>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Starts the gateway and waits until it listens.
    pub fn start(self) -> Gateway {
        let mut gateway = self.launch();
        gateway.wait_until_listening();
        gateway
    }

    /// Starts the gateway without waiting.
    pub fn launch(mut self) -> Gateway {
        let process = self.spawn();
        Gateway::new(process, self.folder)
    }

    /// Runs a command that ends by itself, such as `check`, or a start that is refused.
    pub fn run_to_exit(mut self) -> Exit {
        self.spawn().wait_for_end()
    }

    fn spawn(&mut self) -> Process {
        let mut command = Command::new(&self.program[0]);
        command
            .args(&self.program[1..])
            .args(&self.arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(self.input.take().map_or_else(Stdio::null, Stdio::from));
        Process::start_with(&mut command, self.output.take(), self.error.take())
    }
}
