//! Handovers that fail: killed, late and broken successors.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{begin_download, end_download, gated};
use crate::harness::{Folder, Gate, Gateway, Origin, eventually};

const REFUSED: &str = "SIGQUIT: no successor took the sockets";
const RETIRED: &str = "a successor accepts connections";

fn count(gateway: &Gateway, text: &str) -> usize {
    String::from_utf8_lossy(&gateway.stderr()).matches(text).count()
}

/// The names of the files in the folder.
fn files(folder: &Folder) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = entries.collect();
    files.sort();
    files
}

#[test]
fn a_successor_may_be_killed_at_any_moment_of_the_handover() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut old = folder.start(&folder.config(&origin, ""));
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("seed {seed}");
    let mut random = seed;
    let (mut refused, mut retired) = (0, 0);
    for _ in 0..24 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let delay = Duration::from_micros(u64::from(random >> 8) % 60_000);
        let mut new = folder.successor(&old, &origin);
        let before = count(&old, REFUSED);
        old.signal("QUIT");
        std::thread::sleep(delay);
        new.signal("KILL");
        new.wait_for_exit();
        old.wait_for_log(|_, stderr| {
            let text = String::from_utf8_lossy(stderr);
            text.matches(REFUSED).count() > before || text.contains(RETIRED)
        });
        if count(&old, RETIRED) > 0 {
            // The successor had taken over before it was killed, so that no process is left.
            retired += 1;
            assert_eq!(old.wait_for_exit().code(), Some(0));
            old = folder.setup("next.yaml", &["run"]).start();
            continue;
        }
        refused += 1;
        old.assert_serves(&origin);
        assert_eq!(folder.pid(), old.pid());
        eventually("the files of the handover to be removed", || {
            (files(&folder) == ["gateway.yaml", "next.yaml", "pid"]).then_some(())
        });
    }
    println!("{refused} killed on the way, {retired} after it");
    assert!(refused > 0 && refused + retired == 24);
    old.assert_serves(&origin);
}

#[test]
fn a_successor_that_is_too_late_leaves_the_old_process_serving() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let old = folder.start(&folder.config(&origin, ""));
    let mut late = folder.successor(&old, &origin);
    late.signal("STOP");
    old.signal("QUIT");
    // The old process waits for so long.
    old.wait_for_message(REFUSED);
    old.wait_for_message("within 10s it has not prepared everything");
    late.signal("CONT");
    assert_eq!(late.wait_for_exit().code(), Some(1));
    late.wait_for_message("it did not wait any longer and serves on");
    assert!(!String::from_utf8_lossy(&late.stderr()).contains("listening on"));
    old.assert_serves(&origin);
    assert_eq!(folder.pid(), old.pid());
    assert_eq!(files(&folder), ["gateway.yaml", "next.yaml", "pid"]);
}

#[test]
fn a_successor_that_cannot_start_does_not_disturb_the_old_process() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let old = folder.start(&folder.config(&origin, ""));
    let like = folder.config_like(&old, &origin, "");
    let missing = like.replace(
        &format!("secret_base64: \"{}\"", crate::harness::tokens::SECRET_BASE64),
        "secret_base64_file: /nonexistent/secret",
    );
    // This path is a file, not a folder. (Root can write to every folder.)
    let no_folder = like.replace("/sock ", "/gateway.yaml/sock ");
    for (config, status, told) in [
        (missing, 78, "/nonexistent/secret cannot be read"),
        (no_folder, 1, "gateway.yaml/sock: "),
        (like.replace("threads: 2", "threads: two"), 78, "server.threads"),
    ] {
        folder.write("next.yaml", &config);
        let exit = folder.setup("next.yaml", &["run", "--upgrade"]).run_to_exit();
        assert_eq!(exit.status.code(), Some(status), "{}", exit.stderr);
        assert!(exit.stderr.contains(told), "{told}: {}", exit.stderr);
        let upgrade = folder.setup("next.yaml", &["upgrade"]).run_to_exit();
        assert_ne!(upgrade.status.code(), Some(0), "{}", upgrade.stdout);
        old.assert_serves(&origin);
    }
    // The process that `upgrade` starts logs to the same place as the old one.
    let log = String::from_utf8(old.stderr()).unwrap();
    assert!(!log.contains("SIGQUIT") && !log.contains("draining"), "{log}");
    assert_eq!(
        (folder.pid(), files(&folder)),
        (old.pid(), vec!["gateway.yaml".into(), "next.yaml".into(), "pid".into()])
    );
}

#[test]
fn the_end_of_the_old_process_during_a_handover_withdraws_the_sockets() {
    let gate = Gate::default();
    let (folder, origin) = (Folder::new(), gated(&gate));
    let mut old = folder.start(&folder.config(&origin, ""));
    let download = begin_download(old.address());
    let mut new = folder.successor(&old, &origin);
    new.signal("STOP");
    old.signal("QUIT");
    eventually("the offer", || is_connected(&folder).then_some(()));
    old.signal("TERM");
    old.wait_for_message("SIGTERM: draining");
    new.signal("CONT");
    assert_eq!(new.wait_for_exit().code(), Some(1));
    gate.open();
    end_download(download);
    assert_eq!(old.wait_for_exit().code(), Some(0));
}

/// Whether a process has connected to the upgrade socket, accepted or not.
fn is_connected(folder: &Folder) -> bool {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let path = folder.path("sock").display().to_string();
    sockets.lines().filter(|line| line.ends_with(&path)).count() > 1
}
