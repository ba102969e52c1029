//! The commands `reload` and `upgrade` with a running gateway.

use std::fs;

use crate::harness::tls::{Authority, Identity};
use crate::harness::{Exit, Folder, Gateway, Origin, Setup, config_before, gateway_command, get, run};

/// A gateway whose configuration and pid file are in a folder.
struct Running {
    gateway: Gateway,
    origin: Origin,
    folder: Folder,
}

impl Running {
    fn start() -> Self {
        let (folder, origin) = (Folder::new(), Origin::new());
        let config = folder.write("gateway.yaml", configuration(&origin, ""));
        let gateway = Setup::bare().env("GATEWAY_CONFIG", config.to_str().unwrap()).start();
        Self { gateway, origin, folder }
    }

    fn configure(&self, rest: &str) {
        self.folder.write("gateway.yaml", configuration(&self.origin, rest));
    }

    /// Runs a command in an environment that has the gateway's real ports.
    fn command(&self, arguments: &[&str]) -> Exit {
        let mut command = gateway_command(arguments);
        command
            .env("GATEWAY_CONFIG", self.folder.path("gateway.yaml"))
            .env("GATEWAY_LISTEN", self.gateway.address().to_string())
            .env("GATEWAY_ADMIN_LISTEN", self.gateway.admin_address().to_string())
            .env("GATEWAY_THREADS", "1");
        run(&mut command)
    }

    /// The process id in the pid file.
    fn pid(&self) -> i32 {
        fs::read_to_string(self.folder.path("run/pid")).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The successor is not a child of this process.
        if let Ok(pid) = fs::read_to_string(self.folder.path("run/pid"))
            && let Some(pid) = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn configuration(origin: &Origin, rest: &str) -> String {
    let server = "server: { pid_file: run/pid, upgrade_sock: run/upgrade.sock, grace_period: 5s }\n";
    config_before(origin, &format!("{server}{rest}"))
}

fn text(exit: &Exit) -> String {
    format!("{}{}", exit.stdout, exit.stderr)
}

#[test]
fn reload_reports_that_the_configuration_was_loaded() {
    let running = Running::start();
    assert_eq!(running.gateway.ask(&get("/x")).status, 200);
    running.configure("routes: [ { path: /, policy: deny } ]\nrejection: { status: 403 }\n");
    let output = running.command(&["reload"]);
    assert_eq!(
        (output.status.code(), text(&output).contains("configuration 2")),
        (Some(0), true),
        "{output:?}"
    );
    assert_eq!(running.gateway.ask(&get("/x")).status, 403);
}

#[test]
fn reload_sends_no_signal_if_the_configuration_has_a_problem() {
    let running = Running::start();
    running.configure("routes: [ { path: /, policy: denied } ]\n");
    let output = running.command(&["reload"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(text(&output).contains("routes[0].policy"), "{output:?}");
    running.configure("");
    assert_eq!(running.gateway.ask(&get("/x")).status, 200);
    assert!(text(&running.command(&["reload"])).contains("configuration 2"));
}

#[test]
fn reload_switches_tls_of_the_admin_listener_on_and_off() {
    let running = Running::start();
    let identity = running.folder.identity("admin", &Identity::new(&Authority::new(), &["localhost"]));
    let with_tls = format!("admin: {{ tls: {identity} }}\n");
    for (rest, generation) in [(&*with_tls, 2), ("", 3), (&*with_tls, 4)] {
        running.configure(rest);
        let output = running.command(&["reload"]);
        assert!(text(&output).contains(&format!("configuration {generation}")), "{output:?}");
    }
    // The commands that look for the gateway need none of its files.
    fs::remove_file(running.folder.path("admin.key")).unwrap();
    let output = running.command(&["health"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn reload_and_upgrade_recognise_a_stale_pid_file() {
    let running = Running::start();
    // No process has the largest possible id.
    fs::write(running.folder.path("run/pid"), "2147483647\n").unwrap();
    for command in ["reload", "upgrade"] {
        let output = running.command(&[command]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output).contains("stale"), "{output:?}");
    }
    fs::remove_file(running.folder.path("run/pid")).unwrap();
}

#[test]
fn upgrade_replaces_the_process_and_a_dry_run_does_not() {
    let mut running = Running::start();
    let old = running.pid();
    let output = running.command(&["upgrade", "--dry-run"]);
    assert_eq!((output.status.code(), running.pid()), (Some(0), old), "{output:?}");
    let output = running.command(&["upgrade"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_ne!(running.pid(), old);
    let status = running.gateway.wait_for_exit();
    assert_eq!(status.code(), Some(0));
    assert_eq!(running.gateway.ask(&get("/x")).status, 200);
    assert!(!running.folder.path("run/upgrade.sock").exists());
}

#[test]
fn upgrade_to_a_binary_that_fails_leaves_the_old_process_serving() {
    let running = Running::start();
    let old = running.pid();
    for binary in ["/bin/false", "/nowhere/at/all"] {
        let output = running.command(&["upgrade", "--binary", binary]);
        assert!(matches!(output.status.code(), Some(1 | 78)), "{output:?}");
        assert!(text(&output).contains("nothing was changed"), "{output:?}");
    }
    // This program accepts the configuration in `check`, and then exits.
    let liar = running.folder.path("liar");
    fs::write(&liar, "#!/bin/sh\ntest \"$1\" = check\n").unwrap();
    fs::set_permissions(&liar, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let output = running.command(&["upgrade", "--binary", &liar.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output).contains("serves on"), "{output:?}");
    assert_eq!((running.pid(), running.gateway.ask(&get("/x")).status), (old, 200));
}
