//! What a start prepares before it has sockets: the event loop, files and rights.

use rustix::process::geteuid;
use tokio::runtime::Runtime;

use super::failed;
use crate::admin::AdminAddress;
use crate::config::{ServerSettings, User};
use crate::limits::MostInFlight;
use crate::otlp::{Exporter, OtlpSettings};
use crate::server::pid_file;
use crate::server::reload::Load;
use crate::server::signals::Signals;
use crate::server::{ServerError, become_user};
use crate::telemetry::Metrics;

/// The event loop of everything that is not a request.
pub(super) fn event_loop() -> Result<Runtime, ServerError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(failed("cannot start an event loop"))
}

/// Catches the signals of the process.
pub(super) fn catch_signals(runtime: &Runtime) -> Result<Signals, ServerError> {
    let _inside = runtime.enter();
    Signals::catch().map_err(failed("cannot catch signals"))
}

/// Refuses to start next to the process that the pid file names.
pub(super) fn refuse_second(server: &ServerSettings) -> Result<(), ServerError> {
    let Some(path) = &server.pid_file else { return Ok(()) };
    pid_file::refuse_running(path)
        .map_err(|error| ServerError::new(format!("server.pid_file {}", path.display()), error))
}

/// Creates the folders of the pid file and of the upgrade socket for the user that this process will become.
pub(super) fn prepare_folders(server: &ServerSettings, admin: &AdminAddress) -> Result<(), ServerError> {
    let admin = match admin {
        AdminAddress::Unix(path) => Some(path),
        AdminAddress::Tcp(_) => None,
    };
    let user = server.user.as_ref().map_or_else(|| geteuid().as_raw(), |user| user.uid);
    for path in server.pid_file.iter().chain(&server.upgrade_sock).chain(admin) {
        pid_file::prepare_folder(path, user)
            .map_err(|error| ServerError::new(format!("cannot use {}", path.display()), error))?;
    }
    Ok(())
}

/// Changes to the configured user, and checks that it can read everything that a reload reads.
pub(super) fn give_up_rights(user: &User, load: &Load) -> Result<(), ServerError> {
    become_user(user)
        .map_err(|error| ServerError::new(format!("server.user: cannot become {user}"), error))?;
    load().map_err(|error| {
        ServerError::Configuration(format!(
            "as the user {user}, that a reload would run as:\n{}",
            error.problems
        ))
    })?;
    log::info!("running as {user}");
    Ok(())
}

/// Logs how many requests in flight the memory allows, if that was not configured.
pub(super) fn tell_of_memory(most: MostInFlight) {
    if let MostInFlight { requests, memory: Some(bytes) } = most {
        let mebibytes = bytes >> 20;
        log::info!("limits.requests.in_flight is not written: {requests}, fitting {mebibytes} MiB of memory");
    }
}

/// Starts the thread that exports spans, if they are exported.
pub(super) fn start_exporter(
    settings: Option<OtlpSettings>,
    metrics: &Metrics,
) -> Result<Option<Exporter>, ServerError> {
    let Some(settings) = settings else { return Ok(None) };
    log::info!("exporting spans to {}", settings.server.name);
    let started = Exporter::start(settings, metrics);
    started.map(Some).map_err(failed("cannot export spans"))
}
