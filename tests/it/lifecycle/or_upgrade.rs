//! `reload --or-upgrade`, as a service manager runs it after the installation of a new version.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Exit, Folder, Gateway, Message, Origin, Setup, get, run, tokens};

/// A gateway that runs from its own copy of the binary. Only the gateway itself is shown the secret.
struct Service {
    gateway: Gateway,
    origin: Origin,
    folder: Folder,
    binary: PathBuf,
}

impl Service {
    fn start() -> Self {
        let (folder, origin) = (Folder::new(), Origin::new());
        let binary = folder.path("approov-gateway");
        copy_gateway(&binary);
        let config = folder.write("gateway.yaml", config(&folder, &origin, "127.0.0.1:0", "127.0.0.1:0"));
        let gateway = Setup::bare()
            .without("GATEWAY_LISTEN")
            .without("GATEWAY_ADMIN_LISTEN")
            .file("APPROOV_SECRET_BASE64_FILE", tokens::SECRET_BASE64)
            .binary(&binary)
            .arguments(&["run", "-c", config.to_str().unwrap()])
            .start();
        let service = Self { gateway, origin, folder, binary };
        service.configure("");
        service
    }

    /// Writes a configuration with the ports that the gateway has got, and `rest`.
    fn configure(&self, rest: &str) {
        let (public, admin) = (self.gateway.address(), self.gateway.admin_address());
        let config = config(&self.folder, &self.origin, &public.to_string(), &admin.to_string());
        self.folder.write("gateway.yaml", config + rest);
    }

    /// Puts the same program in place as another file, as a package manager does.
    fn install(&self) {
        let new = self.folder.path("new");
        copy_gateway(&new);
        fs::rename(new, &self.binary).unwrap();
    }

    fn reload(&self) -> Exit {
        let mut command = Command::new(&self.binary);
        run(command.args(["reload", "--or-upgrade", "-c"]).arg(self.folder.path("gateway.yaml")).env_clear())
    }
}

/// Copies the program by another process: a child that another test starts just now may hold a file open that
/// this process writes, and the file then cannot be executed.
fn copy_gateway(to: &Path) {
    let exit = run(Command::new("cp").arg(env!("CARGO_BIN_EXE_approov-gateway")).arg(to));
    assert!(exit.status.success(), "{}", exit.stderr);
}

impl Drop for Service {
    fn drop(&mut self) {
        // A successor is not a child of this process.
        if let Ok(pid) = fs::read_to_string(self.folder.path("pid"))
            && let Some(pid) = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn config(folder: &Folder, origin: &Origin, public: &str, admin: &str) -> String {
    format!(
        "server: {{ threads: 1, pid_file: {}, upgrade_sock: {}, grace_period: 5s }}\n\
         listeners: [ {{ address: \"{public}\" }} ]\nadmin: {{ address: \"{admin}\" }}\n\
         origins: {{ api: {{ domain: \"{}\" }} }}\n",
        folder.path("pid").display(),
        folder.path("sock").display(),
        origin.url(),
    )
}

#[test]
fn the_same_binary_reloads_and_another_one_takes_over_with_the_secrets_of_the_running_process() {
    let mut service = Service::start();
    let old = service.gateway.pid();
    service.configure("rejection: { status: 403 }\n");
    let reload = service.reload();
    assert!(reload.stdout.contains("configuration 2"), "{reload:?}");

    service.install();
    service.configure("rejection: { status: 418 }\n");
    let upgrade = service.reload();
    assert_eq!(upgrade.status.code(), Some(0), "{upgrade:?}");
    assert_eq!(service.gateway.wait_for_exit().code(), Some(0));
    assert_ne!(service.folder.pid(), old);
    assert_eq!(service.gateway.ask(&get("/x")).status, 200);
    assert_eq!(service.gateway.ask(&Message::get("/x")).status, 418);
    service.gateway.wait_for_message("audit: a successor was started, ordered by SIGUSR2");
    assert!(!service.folder.path("sock.progress").exists());

    // The successor is replaced in the same way.
    let second = service.folder.pid();
    service.install();
    let upgrade = service.reload();
    assert_eq!(upgrade.status.code(), Some(0), "{upgrade:?}");
    assert_ne!(service.folder.pid(), second);
    assert_eq!(service.gateway.ask(&get("/x")).status, 200);
}

#[test]
fn a_new_version_that_refuses_the_configuration_leaves_the_old_one_serving() {
    let service = Service::start();
    service.install();
    service.configure("rejection: { status: 9000 }\n");
    let upgrade = service.reload();
    assert_eq!(upgrade.status.code(), Some(78), "{upgrade:?}");
    assert!(upgrade.stderr.contains("nothing was changed"), "{upgrade:?}");
    // This problem is seen by the successor only: a secret is read there.
    let account_keys = "[ { id: j3AWy6, secret_base64_file: /nowhere } ]";
    service.configure(&format!("approov: {{ message_signing: {{ account_keys: {account_keys} }} }}\n"));
    let upgrade = service.reload();
    assert_eq!(upgrade.status.code(), Some(1), "{upgrade:?}");
    assert!(upgrade.stderr.contains("serves on"), "{upgrade:?}");
    service.gateway.wait_for_message("/nowhere");
    service.gateway.assert_serves(&service.origin);
    assert_eq!(service.folder.pid(), service.gateway.pid());
}

#[test]
fn the_signal_alone_starts_nothing() {
    let service = Service::start();
    service.gateway.signal("USR2");
    service.gateway.wait_for_message("SIGUSR2: no `reload --or-upgrade` waits");
    service.gateway.assert_serves(&service.origin);
    // A command that was killed has left its socket: the next one takes its place.
    drop(UnixDatagram::bind(service.folder.path("sock.progress")).unwrap());
    service.install();
    let upgrade = service.reload();
    assert_eq!(upgrade.status.code(), Some(0), "{upgrade:?}");
    assert_ne!(service.folder.pid(), service.gateway.pid());
}
