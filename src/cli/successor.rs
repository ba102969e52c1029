//! The new process of an upgrade, and the messages that it sends.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, Uid, geteuid};

use super::CommandFailure;
use super::running::RunningGateway;
use crate::clock;
use crate::config::{User, show_duration};
use crate::server::{UPGRADE_VARIABLE, notify, progress_socket, receive_privately};

/// How long the running process may take to start a successor.
const LAUNCH: Duration = Duration::from_secs(10);

/// How long the new process may take to each of its two messages: it waits, it serves.
const START: Duration = Duration::from_secs(30);

/// How long a new process may take to end after a failed upgrade.
const STOP: Duration = Duration::from_secs(5);

/// How often it is checked whether a process has ended.
const POLL: Duration = Duration::from_millis(20);

/// The message of `launch`, before the id of the process that it has started.
const LAUNCHED: &str = "LAUNCHED=";

/// Start a program, tell the waiting `upgrade` or `reload` its process id, and end.
///
/// The program becomes an orphan, and so a child of the service manager. A service manager accepts
/// only its own child as the main process of a service.
#[derive(clap::Args, Debug)]
pub struct Launch {
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Runs the command `launch`.
///
/// # Errors
/// [`CommandFailure::Running`] when the program cannot be started.
pub fn launch(args: &Launch) -> Result<(), CommandFailure> {
    let failed = |error: io::Error| CommandFailure::Running(error.to_string());
    let socket = env::var_os(UPGRADE_VARIABLE)
        .ok_or(CommandFailure::Usage("only `upgrade` and `reload` launch".into()))?;
    let (program, arguments) =
        args.command.split_first().ok_or(CommandFailure::Usage("nothing to launch".into()))?;
    let child = Command::new(program).args(arguments).process_group(0).spawn().map_err(failed)?;
    notify(&socket, &format!("{LAUNCHED}{}", child.id())).map_err(failed)
}

/// The new process, and the socket for its messages.
pub(super) struct Successor {
    process: RunningGateway,
    notify_socket: NotifySocket,
    /// Messages that came before the one of the launcher.
    early: Vec<String>,
}

impl Successor {
    /// Starts `binary`. It waits for the sockets of `old`, and changes to `user` in the end.
    pub fn start(
        binary: &Path,
        config: Option<&Path>,
        old: RunningGateway,
        user: Option<&User>,
    ) -> io::Result<Self> {
        let name = format!("approov-gateway-upgrade-{}.sock", std::process::id());
        let notify_socket = NotifySocket::bind(env::temp_dir().join(name), user)?;
        let mut command = Command::new("/proc/self/exe");
        command.args(arguments(binary.as_os_str(), config));
        command.env(UPGRADE_VARIABLE, &notify_socket.path).stdin(Stdio::null());
        // Only root may open these. Otherwise it logs here until `old` hands its streams over.
        for (number, set) in
            [(1, Command::stdout as fn(&mut Command, File) -> &mut Command), (2, Command::stderr)]
        {
            let path = format!("/proc/{}/fd/{number}", old.id());
            if let Ok(file) = OpenOptions::new().append(true).open(path) {
                set(&mut command, file);
            }
        }
        let status = command.status()?;
        // The launcher has sent its message before it ended.
        Self::launched(notify_socket, || true)
            .ok_or_else(|| io::Error::other(format!("launching ended with {status}; see its log")))
    }

    /// Orders a successor from `old`, which starts its own binary file again. So the successor can read what
    /// `old` can read, which may be more than this command can.
    pub fn order(old: RunningGateway, upgrade_sock: &Path, user: Option<&User>) -> Result<Self, String> {
        let socket = progress_socket(upgrade_sock);
        let notify_socket = NotifySocket::bind(socket.clone(), user)
            .map_err(|error| format!("cannot wait at {}: {error}", socket.display()))?;
        old.signal(Signal::USR2).map_err(|failure| failure.to_string())?;
        let deadline = clock::now() + LAUNCH;
        Self::launched(notify_socket, || clock::now() >= deadline || !old.is_alive())
            .ok_or_else(|| format!("process {} started no successor; see its log", old.id()))
    }

    /// Reads messages up to the launcher's. `None` if it has not come when `is_over`.
    fn launched(notify_socket: NotifySocket, is_over: impl Fn() -> bool) -> Option<Self> {
        let mut early = Vec::new();
        loop {
            // In this order: a message that was sent before the end is read.
            let is_last = is_over();
            match notify_socket.next() {
                Some(message) => match process_in(&message) {
                    Some(process) => return Some(Self { process, notify_socket, early }),
                    None => early.push(message),
                },
                None if is_last => return None,
                None => {}
            }
        }
    }

    /// The process id of the successor.
    pub fn id(&self) -> i32 {
        self.process.id()
    }

    /// Waits for a message that has the line `wanted`.
    pub fn wait_for(&mut self, wanted: &str) -> Result<(), String> {
        let deadline = clock::now() + START;
        loop {
            if self
                .early
                .pop()
                .or_else(|| self.notify_socket.next())
                .is_some_and(|message| message.lines().any(|line| line == wanted))
            {
                return Ok(());
            }
            if !self.process.is_alive() {
                return Err("the new process has ended; see its log".into());
            }
            if clock::now() >= deadline {
                return Err(format!("the new process was not ready within {}", show_duration(START)));
            }
        }
    }

    /// Ends it, if it has not ended by itself. Gives it some time to finish connections that it has
    /// accepted.
    pub fn stop(&self) {
        // Fails only if it has ended.
        let _ = self.process.signal(Signal::TERM);
        let deadline = clock::now() + STOP;
        while self.process.is_alive() && clock::now() < deadline {
            thread::sleep(POLL);
        }
        if self.process.is_alive() {
            let _ = self.process.signal(Signal::KILL);
        }
    }
}

/// The arguments that make a gateway binary launch `binary` as a successor.
pub(super) fn arguments(binary: &OsStr, config: Option<&Path>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["launch".into(), binary.into(), "run".into(), "--upgrade".into()];
    if let Some(config) = config {
        arguments.extend(["-c".into(), config.into()]);
    }
    arguments
}

/// The process that the launcher's message names.
fn process_in(message: &str) -> Option<RunningGateway> {
    RunningGateway::from_id(message.strip_prefix(LAUNCHED)?.parse().ok()?)
}

/// A socket that receives messages of systemd's notification protocol.
struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl NotifySocket {
    /// A socket for messages of this user, or of `user` if the new process will be that user's.
    fn bind(path: PathBuf, user: Option<&User>) -> io::Result<Self> {
        // A command that was killed leaves its socket behind, and no process receives there.
        if notify(path.as_os_str(), "").is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            fs::remove_file(&path)?;
        }
        let owner = user.filter(|_| geteuid().is_root()).map(|user| Uid::from_raw(user.uid));
        let socket = receive_privately(&path, owner)?;
        let notify_socket = Self { socket, path };
        notify_socket.socket.set_read_timeout(Some(POLL))?;
        Ok(notify_socket)
    }

    /// The next message, if one comes soon.
    fn next(&self) -> Option<String> {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8_lossy(&message[..length]).into_owned())
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        // No other process uses it, so it does no harm if it stays.
        let _ = fs::remove_file(&self.path);
    }
}
