//! `server.user`: the process gives up root once its ports are bound. These tests need root.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::process::Command;

use super::reload::reload;
use crate::harness::{Folder, Gateway, Message, Origin, Setup, has_program, is_root, run, tokens};

/// User and group ids that are not in the user database.
const USER: u32 = 54_321;
const GROUP: u32 = 54_322;

impl Folder {
    /// A configuration with [`USER`], the secret in a file, and a port below 1024.
    fn config_for_user(&self, origin: &Origin) -> String {
        self.share(0o755);
        self.write("secret", tokens::SECRET_BASE64);
        self.give("secret", GROUP, 0o640);
        let run = self.path("run");
        self.config(origin, "")
            .replace("threads: 2", &format!("threads: 2, user: {USER}, group: {GROUP}"))
            .replace(&self.path("pid").display().to_string(), &run.join("pid").display().to_string())
            .replace(&self.path("sock").display().to_string(), &run.join("sock").display().to_string())
            .replace(
                &format!("secret_base64: \"{}\"", tokens::SECRET_BASE64),
                &format!("secret_base64_file: {}", self.path("secret").display()),
            )
            .replacen("127.0.0.1:0", &format!("{}:81", low_address()), 1)
    }

    fn give(&self, name: &str, group: u32, mode: u32) {
        chown(self.path(name), Some(0), Some(group)).unwrap();
        self.set_mode(name, mode);
    }

    /// A gateway that is started by [`USER`], with a copy of the binary that this user can read.
    fn setup_as_user(&self, name: &str, arguments: &[&str]) -> Setup {
        let binary = self.path("binary");
        if !binary.exists() {
            let built = env!("CARGO_BIN_EXE_approov-gateway");
            fs::hard_link(built, &binary).or_else(|_| fs::copy(built, &binary).map(drop)).unwrap();
        }
        let numbers = [format!("--reuid={USER}"), format!("--regid={GROUP}"), format!("--groups={GROUP}")];
        let [user, group, groups] = &numbers;
        self.setup(name, arguments).binary(&binary).under(&["setpriv", user, group, groups])
    }
}

/// A loopback address that only this test uses, so that its low ports are free.
fn low_address() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("127.{}.{middle}.{low}", 64 + (u32::from(high) * 8 + number) % 128)
}

/// The values of a line of `/proc/PID/status`.
fn status(gateway: &Gateway, word: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(word)).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

fn assert_is_users(gateway: &Gateway) {
    assert_eq!(status(gateway, "Uid:"), [USER.to_string().as_str(); 4]);
    assert_eq!(status(gateway, "Gid:"), [GROUP.to_string().as_str(); 4]);
    assert_eq!(status(gateway, "Groups:"), [GROUP.to_string()]);
    for set in ["CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(status(gateway, set), ["0000000000000000"], "{set}");
    }
}

#[test]
fn root_binds_a_low_port_and_an_upgrade_keeps_it_without_root() {
    if !is_root() || !has_program("setpriv") {
        return;
    }
    let (folder, origin) = (Folder::new(), Origin::new());
    let config = folder.config_for_user(&origin);
    let mut gateway = folder.start(&config);
    assert!(gateway.address().port() == 81);
    assert_is_users(&gateway);
    gateway.wait_for_message(&format!("running as {USER}:{GROUP}"));
    assert_eq!(fs::metadata(folder.path("run")).unwrap().uid(), USER);
    gateway.assert_serves(&origin);
    reload(&gateway, 2);
    // A successor started by root, then one started by the user, who could not bind the port.
    let next = config.replacen("127.0.0.1:0", &gateway.admin_address().to_string(), 1);
    folder.write("next.yaml", &next);
    for is_users in [false, true] {
        let arguments = ["run", "--upgrade"];
        let setup = match is_users {
            false => folder.setup("next.yaml", &arguments),
            true => folder.setup_as_user("next.yaml", &arguments),
        };
        let mut new = setup.launch();
        new.wait_for_message("waiting for the sockets");
        gateway.signal("QUIT");
        new.wait_until_listening();
        assert_eq!(gateway.wait_for_exit().code(), Some(0));
        assert_is_users(&new);
        new.assert_serves(&origin);
        assert_eq!(fs::read_to_string(folder.path("run/pid")).unwrap(), format!("{}\n", new.pid()));
        gateway = new;
    }
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    assert_eq!(fs::read_dir(folder.path("run")).unwrap().count(), 0);
}

#[test]
fn the_upgrade_command_of_root_works_with_an_unprivileged_gateway() {
    if !is_root() {
        return;
    }
    let (folder, origin) = (Folder::new(), Origin::new());
    let config = folder.config_for_user(&origin);
    let mut gateway = folder.start(&config);
    let next = config.replacen("127.0.0.1:0", &gateway.admin_address().to_string(), 1);
    folder.write("next.yaml", &next);
    let exit = folder.setup("next.yaml", &["upgrade"]).run_to_exit();
    assert_eq!(exit.status.code(), Some(0), "{}{}", exit.stdout, exit.stderr);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    gateway.assert_serves(&origin);
    let pid: i32 = fs::read_to_string(folder.path("run/pid")).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

#[test]
fn a_file_that_the_user_cannot_read_stops_check_and_start() {
    if !is_root() {
        return;
    }
    let (folder, origin) = (Folder::new(), Origin::new());
    folder.write("gateway.yaml", folder.config_for_user(&origin));
    let checked = folder.setup("gateway.yaml", &["check"]).run_to_exit();
    assert_eq!(checked.status.code(), Some(0), "{}", checked.stderr);
    let told = format!("user           {USER}:{GROUP}, once it listens; which may read every file\n");
    assert!(checked.stdout.contains(&told), "{}", checked.stdout);
    folder.give("secret", 0, 0o600);
    for command in ["check", "run"] {
        let exit = folder.setup("gateway.yaml", &[command]).run_to_exit();
        assert_eq!(exit.status.code(), Some(78), "{command}: {}", exit.stderr);
        let told = format!("as the user {USER}:{GROUP}, that a reload");
        assert!(exit.stderr.contains(&told), "{command}: {}", exit.stderr);
        assert!(exit.stderr.contains("secret cannot be read: Permission denied"), "{}", exit.stderr);
    }
}

#[test]
fn a_folder_where_the_user_cannot_write_stops_the_start() {
    if !is_root() {
        return;
    }
    let (folder, origin) = (Folder::new(), Origin::new());
    folder.write("gateway.yaml", folder.config_for_user(&origin));
    fs::create_dir(folder.path("run")).unwrap();
    let exit = folder.setup("gateway.yaml", &["run"]).run_to_exit();
    assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
    let told = format!("is root's, and user {USER} cannot write there; chown it to that user");
    assert!(exit.stderr.contains(&told), "{}", exit.stderr);
}

#[test]
fn only_root_can_change_the_user() {
    if !is_root() || !has_program("setpriv") {
        return;
    }
    let (folder, origin) = (Folder::new(), Origin::new());
    // No pid file and no upgrade socket, and a free port.
    let config = folder.config_for_user(&origin).replace(":81\"", ":0\"");
    let (server, rest) = config.split_once('\n').unwrap();
    let (identity, _) = server.split_once(", pid_file").unwrap();
    let config = format!("{identity} }}\n{rest}");
    let other = config.replace(&format!("user: {USER}"), &format!("user: {}", USER + 1));
    folder.write("gateway.yaml", &other);
    let exit = folder.setup_as_user("gateway.yaml", &["run"]).run_to_exit();
    assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
    assert!(
        exit.stderr.contains("only a process that is started as root can change its user"),
        "{}",
        exit.stderr
    );
    // The process has this user already.
    folder.write("gateway.yaml", &config);
    let gateway = folder.setup_as_user("gateway.yaml", &["run"]).start();
    assert_is_users(&gateway);
    assert_eq!(gateway.ask(&Message::get("/").token(&tokens::valid())).status, 200);
}

#[test]
fn other_processes_of_the_user_cannot_read_the_memory_and_no_core_is_dumped() {
    if !is_root() || !has_program("setpriv") {
        return;
    }
    let (folder, origin) = (Folder::new(), Origin::new());
    let gateway = folder.start(&folder.config_for_user(&origin));
    let process = format!("/proc/{}", gateway.pid());
    for file in ["environ", "maps", "mem"] {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={USER}"), &format!("--regid={GROUP}"), "--clear-groups"]);
        let exit = run(command.args(["cat", &format!("{process}/{file}")]));
        assert!(exit.stderr.contains("Permission denied"), "{file}: {exit:?}");
    }
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
}
