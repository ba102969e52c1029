//! The process: sockets, threads, signals, and an end that loses no request.
//!
//! Each worker is one thread with its own event loop, Pingora proxy and pool of connections to the
//! origins, so a request never changes threads. All workers accept from the same listening sockets.
//! Another thread serves the admin listener and refreshes the origins' addresses. The thread of
//! [`Server::run`] waits for signals.
//!
//! - `start`: prepares everything, then binds the sockets, then starts the workers.
//! - `reload`: validates another configuration on a thread of its own and swaps it in as a whole.
//! - `launch`: starts a successor.
//! - `handover`: gives the sockets to a successor that is ready.
//! - `drain`: finishes the requests in flight and ends.

mod admin_socket;
mod descriptors;
mod drain;
mod error;
mod file_thread;
mod fixed_settings;
mod handover;
mod launch;
mod listener;
mod local;
mod machine;
mod notify;
mod origins;
mod pid_file;
mod pingora;
mod private_socket;
mod privileges;
mod reload;
mod signals;
mod sockets;
mod start;
mod watched;
mod worker;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::admin::{AdminAddress, Readiness};
use crate::config::Settings;
use crate::key_sets::KeySets;
use crate::otlp::Exporter;
use crate::proxy::Shared;
use crate::telemetry::{AccessLogSink, AccessLogWriter};
use crate::tls::Tickets;

pub use error::ServerError;
pub use launch::progress_socket;
pub use local::LocalService;
pub use notify::{READY, UPGRADE_VARIABLE, WAITING, notify};
pub use pid_file::{OpenPidFile, is_proc_ours};
pub use private_socket::receive_privately;
pub use privileges::{become_user, forbid_core_dumps};
pub use reload::{Load, LoadError};

use admin_socket::AdminSocket;
use drain::Offer;
use notify::Notifier;
use pid_file::PidFile;
use reload::Reloading;
use signals::{Signal, Signals};
use sockets::Sockets;
use worker::WorkerThread;

/// What [`Server::start`] needs.
pub struct Start {
    /// The settings, complete and checked.
    pub settings: Settings,
    /// Loads the configuration again, for a reload.
    pub reload: Load,
    /// Whether to wait for the sockets of the running process.
    pub take_over: bool,
    /// The command line that starts a successor of this process; empty if there is none.
    pub successor: Vec<OsString>,
}

/// A gateway that has bound its sockets and serves.
pub struct Server {
    runtime: Runtime,
    signals: Signals,
    notifier: Notifier,
    readiness: Arc<Readiness>,
    reloading: Reloading,
    sockets: Arc<Sockets>,
    /// Stays open until the end, because probes ask while this process drains.
    admin_socket: Arc<AdminSocket>,
    tickets: Tickets,
    key_sets: KeySets,
    shared: Arc<Shared>,
    workers: Vec<WorkerThread>,
    /// Tells the public listeners to stop accepting.
    stop: watch::Sender<bool>,
    /// Tells the admin listener to stop accepting.
    stop_admin: watch::Sender<bool>,
    upgrade_sock: Option<PathBuf>,
    /// The command line of [`Start::successor`].
    successor: Vec<OsString>,
    pid_file: Option<PidFile>,
    access_log: AccessLogSink,
    access_log_writer: AccessLogWriter,
    exporter: Option<Exporter>,
}

impl Server {
    /// The addresses of the public listeners.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        self.sockets.public.iter().map(|listener| listener.socket.address()).collect()
    }

    /// The address of the admin listener.
    pub fn admin(&self) -> AdminAddress {
        self.admin_socket.address()
    }

    /// Serves until a signal ends it.
    pub fn run(mut self) {
        loop {
            match self.runtime.block_on(self.signals.next()) {
                Signal::Hangup => self.reloading.order("SIGHUP"),
                Signal::User1 => reopen(&self.access_log),
                Signal::User2 => launch::launch(&self.successor, self.upgrade_sock.as_deref()),
                Signal::Interrupt => return self.stop_at_once(),
                Signal::Terminate => return self.terminate(),
                Signal::Quit => match self.offer_sockets() {
                    Offer::Taken(successor) => return self.retire(successor),
                    Offer::Refused => {}
                    Offer::Interrupted(Signal::Terminate) => return self.terminate(),
                    Offer::Interrupted(_) => return self.stop_at_once(),
                },
            }
        }
    }
}

/// Opens the log files again after SIGUSR1, because they were renamed.
fn reopen(access_log: &AccessLogSink) {
    match access_log.reopen() {
        Ok(Some(path)) => log::info!("SIGUSR1: reopened {}", path.display()),
        Ok(None) => log::info!("SIGUSR1: no log goes to a file, nothing to reopen"),
        Err(error) => log::error!("SIGUSR1: the access log stays where it was: {error}"),
    }
}
