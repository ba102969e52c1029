//! What a successor takes over from the process that runs: ticket keys, state and the standard streams.

use std::env;
use std::io;
use std::os::fd::OwnedFd;

use nix::unistd::{dup2_stderr, dup2_stdout};

use crate::clock;
use crate::server::ServerError;
use crate::server::notify::UPGRADE_VARIABLE;
use crate::tls::Tickets;

/// Takes the keys of the running process, so that clients can resume its TLS sessions here.
pub(super) fn adopt_ticket_keys(tickets: &Tickets, keys: Option<&[u8]>) {
    let what = match keys {
        Some(keys) if tickets.adopt(keys, clock::unix_time().as_secs()) => return,
        Some(_) => "are of another version",
        None => "were not handed over",
    };
    log::info!("the ticket keys of the running process {what}: its TLS sessions are not resumed here");
}

/// Uses the standard streams of the predecessor. Until now, a process that `upgrade` has started has the
/// streams of that command.
pub(super) fn log_where_the_predecessor_does(streams: Option<[OwnedFd; 2]>) {
    let Some([output, error]) = streams.filter(|_| env::var_os(UPGRADE_VARIABLE).is_some()) else { return };
    if let Err(failure) = dup2_stdout(output).and_then(|()| dup2_stderr(error)) {
        log::warn!("cannot log where the running process does: {failure}");
    }
}

/// The error of a predecessor that has given up.
pub(super) fn too_late(error: &io::Error) -> ServerError {
    ServerError::new("the running process did not hand over", error)
}
