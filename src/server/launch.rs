//! SIGUSR2: starts a successor, for the command `reload --or-upgrade`.
//!
//! A service manager may show a secret to the main process alone, such as a credential of systemd. A
//! successor that another command starts could not read it. A successor that this process starts has
//! the same environment, files and rights.
//!
//! The signal carries no argument. The only program that is ever started is the file that this process
//! was started from, with this process's own configuration.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use super::notify::UPGRADE_VARIABLE;

/// The socket at which the command that ordered a successor waits for its messages. It is next to the
/// upgrade socket, in a folder of the gateway's user.
pub fn progress_socket(upgrade_sock: &Path) -> PathBuf {
    let mut path = upgrade_sock.as_os_str().to_owned();
    path.push(".progress");
    path.into()
}

/// Starts a successor with this command line, and logs the result.
pub(super) fn launch(command: &[OsString], upgrade_sock: Option<&Path>) {
    let Some((program, arguments)) = command.split_first() else {
        log::warn!("SIGUSR2: this process cannot be replaced; nothing was started");
        return;
    };
    let Some(progress) = upgrade_sock.map(progress_socket).filter(|path| path.exists()) else {
        log::warn!("SIGUSR2: no `reload --or-upgrade` waits for a successor; nothing was started");
        return;
    };
    let mut command = Command::new(program);
    command.args(arguments).env(UPGRADE_VARIABLE, progress).stdin(Stdio::null());
    // The launcher ends at once, but the thread that handles signals must not wait for anything.
    thread::spawn(move || report(command.status()));
}

fn report(outcome: io::Result<ExitStatus>) {
    match outcome {
        Ok(status) if status.success() => {
            log::info!("audit: a successor was started, ordered by SIGUSR2");
        }
        Ok(status) => log::error!("SIGUSR2: no successor was started: its launcher ended with {status}"),
        Err(error) => log::error!("SIGUSR2: no successor was started: {error}"),
    }
}
