//! The gateway as process 1 of a container, with a user id that is not in the user database.

use std::fs;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{
    Folder, Gateway, Message, Origin, Setup, eventually, has_program, is_root, run, tokens,
};

/// The processes whose parent is `pid`.
fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// A gateway in its own pid namespace, and its process id outside of it.
fn contained(folder: &Folder, setup: Setup) -> (Gateway, i32) {
    let binary = folder.path("binary");
    let built = env!("CARGO_BIN_EXE_approov-gateway");
    fs::hard_link(built, &binary).or_else(|_| fs::copy(built, &binary).map(drop)).unwrap();
    let user = ["setpriv", "--reuid=54321", "--regid=54322", "--clear-groups"];
    let starter = [&["unshare", "--pid", "--fork", "--kill-child"], &user[..]].concat();
    let mut gateway = setup.binary(&binary).under(&starter).launch();
    gateway.wait_until_listening();
    let inner =
        eventually("the process in the namespace", || match children(gateway.pid().cast_signed())[..] {
            [inner] => Some(inner),
            _ => None,
        });
    (gateway, inner)
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn serves_reaps_and_stops_as_process_1_of_a_container() {
    if !is_root() || !["unshare", "nsenter", "setpriv"].into_iter().all(has_program) {
        return;
    }
    let (folder, origin) = (Folder::new(), Origin::new());
    folder.share(0o777);
    let state = folder.path("run");
    let config = folder
        .config(&origin, "")
        .replace(&folder.path("pid").display().to_string(), &state.join("pid").display().to_string())
        .replace(&folder.path("sock").display().to_string(), &state.join("sock").display().to_string());
    folder.write("gateway.yaml", &config);
    let (mut gateway, inner) = contained(&folder, folder.setup("gateway.yaml", &["run"]));
    gateway.assert_serves(&origin);
    assert_eq!(gateway.version()["pid"], 1);
    gateway.wait_for_entry(|entry| entry["url.path"] == "/honest");

    // An orphan of the container becomes a child of the gateway, which reaps it.
    let namespace = format!("--pid=/proc/{inner}/ns/pid");
    let orphan = ["sh", "-c", "sleep 600 & "];
    assert!(Command::new("nsenter").arg(&namespace).args(orphan).status().unwrap().success());
    let orphan = eventually("the orphan", || children(inner).first().copied());
    signal(orphan, Signal::KILL);
    eventually("the end of the orphan", || children(inner).is_empty().then_some(()));

    signal(inner, Signal::HUP);
    eventually("the reload", || (gateway.version()["config_generation"] == 2).then_some(()));
    signal(inner, Signal::USR1);
    // The end of process 1 would end the container, and the successor with it.
    signal(inner, Signal::QUIT);
    gateway.wait_for_message("SIGQUIT: this is process 1");
    folder.write("next.yaml", folder.config_like(&gateway, &origin, "").replace("/pid,", "/run/pid,"));
    let mut upgrade = Command::new("nsenter");
    upgrade
        .arg(&namespace)
        .args([env!("CARGO_BIN_EXE_approov-gateway"), "upgrade", "-c"])
        .arg(folder.path("next.yaml"));
    let upgrade = run(&mut upgrade);
    assert_eq!(upgrade.status.code(), Some(1), "{upgrade:?}");
    assert!(upgrade.stderr.contains("process 1 cannot be replaced"));
    assert_eq!(gateway.ask(&Message::get("/").token(&tokens::valid())).status, 200);

    signal(inner, Signal::TERM);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    gateway.wait_for_message("stopped");
}
