//! The pid file: a lock tells whether the process that it names is a gateway that runs.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};

use crate::harness::{Exit, Folder, Gateway, Origin, eventually};

impl Folder {
    fn run_command(&self, arguments: &[&str]) -> Exit {
        self.setup("gateway.yaml", arguments).run_to_exit()
    }

    /// A configuration that names the ports of `gateway`, for commands.
    fn configure_like(&self, gateway: &Gateway, origin: &Origin) {
        self.write("gateway.yaml", self.config_like(gateway, origin, ""));
    }
}

/// A process that is no gateway.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn assert_lives(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "a process that is no gateway was signalled");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn stale_pid_file_never_signals_another_process() {
    let (folder, origin) = (Folder::new(), Origin::new());
    folder.write("gateway.yaml", folder.config(&origin, ""));
    let mut stranger = Stranger::start();
    folder.write("pid", format!("{}\n", stranger.0.id()));
    for is_locked in [false, true] {
        // The lock of a process that is not the one in the file says nothing about that one.
        let file = File::open(folder.path("pid")).unwrap();
        if is_locked {
            file.lock().unwrap();
        }
        for command in ["reload", "upgrade"] {
            let exit = folder.run_command(&[command]);
            assert_eq!(exit.status.code(), Some(1), "{command}: {}", exit.stderr);
            assert!(exit.stderr.contains("it is stale"), "{command}: {}", exit.stderr);
            stranger.assert_lives();
        }
    }
}

#[test]
fn pid_file_of_a_gateway_that_was_killed_is_stale() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut gateway = folder.start(&folder.config(&origin, ""));
    folder.configure_like(&gateway, &origin);
    let exit = folder.run_command(&["reload"]);
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    gateway.signal("KILL");
    gateway.wait_for_exit();
    // Another process may get the number of the one that was killed.
    let mut stranger = Stranger::start();
    fs::write(folder.path("pid"), format!("{}\n", stranger.0.id())).unwrap();
    let exit = folder.run_command(&["reload"]);
    assert!(exit.stderr.contains("it is stale"), "{}", exit.stderr);
    stranger.assert_lives();
    // A stale file is no obstacle to a start.
    let gateway = folder.start(&folder.config(&origin, ""));
    assert_eq!(folder.pid(), gateway.pid());
}

#[test]
fn second_gateway_with_the_same_pid_file_does_not_start() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let first = folder.start(&folder.config(&origin, ""));
    let exit = folder.run_command(&["run"]);
    assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
    let expected = format!("process {} runs with this pid file", first.pid());
    assert!(exit.stderr.contains(&expected), "{}", exit.stderr);
    assert_eq!(folder.pid(), first.pid());
    first.assert_serves(&origin);
}

#[test]
fn upgrade_does_not_say_that_a_dead_process_serves_on() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut gateway = folder.start(&folder.config(&origin, ""));
    folder.configure_like(&gateway, &origin);
    // A new binary under which the old process dies. A process that was killed takes a moment to be dead.
    let pid = gateway.pid();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = check ] && exit 0\nkill -9 {pid}\n\
         until grep -q ') Z' /proc/{pid}/stat; do :; done\nexit 1\n"
    );
    folder.write("binary", &script);
    fs::set_permissions(folder.path("binary"), fs::Permissions::from_mode(0o700)).unwrap();
    let exit = folder.run_command(&["upgrade", "--binary", folder.path("binary").to_str().unwrap()]);
    gateway.wait_for_exit();
    assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
    assert!(exit.stderr.contains("has ended too: no gateway serves"), "{}", exit.stderr);
    assert!(!exit.stderr.contains("serves on"), "{}", exit.stderr);
}

#[test]
fn reload_needs_no_secret() {
    let (folder, origin) = (Folder::new(), Origin::new());
    folder.write("secret", crate::harness::tokens::SECRET_BASE64);
    let secret = format!("secret_base64: \"{}\"", crate::harness::tokens::SECRET_BASE64);
    let file = format!("secret_base64_file: {}", folder.path("secret").display());
    let gateway = folder.start(&folder.config(&origin, "").replace(&secret, &file));
    // The command runs without the secret, which the service manager gives to the gateway only.
    let hidden =
        folder.config_like(&gateway, &origin, "").replace(&secret, "secret_base64_file: /nonexistent");
    folder.write("other.yaml", &hidden);
    folder.configure_like(&gateway, &origin);
    let exit = folder
        .setup("other.yaml", &["reload"])
        .env("APPROOV_SECRET_BASE64_FILE", "/nonexistent")
        .run_to_exit();
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    eventually("the reload", || (gateway.version()["config_generation"] == 2).then_some(()));
}
