//! The access log in a file: rotation, and a reload that changes the file.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::reload::{fail_to_reload, reload};
use super::{begin_download, end_download, gated};
use crate::harness::{Client, Folder, Gate, Origin, SetOnDrop, eventually, get};

impl Folder {
    /// The paths in the log file `name`, in order. Empty if there is no such file.
    fn logged(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        let path = |line| serde_json::from_str::<Value>(line).expect("JSON")["url.path"].clone();
        text.lines().map(|line| path(line).as_str().unwrap().to_owned()).collect()
    }

    /// A configuration with the access log in the file of this name.
    fn config_logging(&self, origin: &Origin, log: &str) -> String {
        self.config(origin, &format!("log: {{ access: json, access_file: {} }}\n", self.path(log).display()))
    }
}

#[test]
fn a_moved_log_is_reopened_and_no_line_is_lost() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut gateway = folder.start(&folder.config_logging(&origin, "log"));
    let (address, is_over) = (gateway.address(), AtomicBool::new(false));
    let rotations = 5;
    let asked = std::thread::scope(|scope| {
        let (is_over, over) = (&is_over, SetOnDrop(&is_over));
        let clients: Vec<_> = (0..2)
            .map(|number| {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    let targets = (0..).map(|count| format!("/{number}/{count}"));
                    let asked = targets.take_while(|_| !is_over.load(Ordering::Relaxed)).inspect(|target| {
                        let answer = client.ask(&get(target));
                        assert_eq!(answer.status, 200);
                        // The number of requests on a connection is limited.
                        if answer.values("connection") == ["close"] {
                            client = Client::connect(address);
                        }
                    });
                    asked.collect::<Vec<String>>()
                })
            })
            .collect();
        for rotation in 0..rotations {
            // Not read: the last line may be incomplete.
            eventually("lines", || (fs::metadata(folder.path("log")).ok()?.len() > 0).then_some(()));
            fs::rename(folder.path("log"), folder.path(&format!("log.{rotation}"))).unwrap();
            gateway.signal("USR1");
            eventually("a new file", || folder.path("log").exists().then_some(()));
        }
        drop(over);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<String>>()
    });
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    let moved = (0..rotations).map(|rotation| format!("log.{rotation}"));
    let mut logged: Vec<String> =
        moved.chain(["log".to_owned()]).flat_map(|name| folder.logged(&name)).collect();
    let mut asked = asked;
    logged.sort();
    asked.sort();
    assert_eq!(logged, asked);
    assert!(gateway.stdout().is_empty());
    assert!(gateway.stderr().len() > 100, "diagnostics stay on standard error");
}

#[test]
fn a_log_that_cannot_be_reopened_stays_in_the_old_file() {
    let (folder, origin) = (Folder::new(), Origin::new());
    fs::create_dir(folder.path("logs")).unwrap();
    let gateway = folder.start(&folder.config_logging(&origin, "logs/log"));
    fs::rename(folder.path("logs"), folder.path("elsewhere")).unwrap();
    gateway.signal("USR1");
    gateway.wait_for_message("SIGUSR1: the access log stays where it was");
    assert_eq!(gateway.ask(&get("/after")).status, 200);
    eventually("the line", || (folder.logged("elsewhere/log") == ["/after"]).then_some(()));
}

#[test]
fn a_log_is_reopened_while_draining() {
    let gate = Gate::default();
    let (folder, origin) = (Folder::new(), gated(&gate));
    let mut gateway = folder.start(&folder.config_logging(&origin, "log"));
    let download = begin_download(gateway.address());
    gateway.signal("TERM");
    gateway.wait_for_message("SIGTERM: draining");
    fs::rename(folder.path("log"), folder.path("log.0")).unwrap();
    gateway.signal("USR1");
    gateway.wait_for_message("SIGUSR1: reopened");
    gate.open();
    end_download(download);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    assert_eq!((folder.logged("log.0"), folder.logged("log")), (vec![], vec!["/download".to_owned()]));
}

#[test]
fn a_reload_moves_the_log_or_reports_why_not() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let gateway = folder.start(&folder.config(&origin, ""));
    let ask = |target: &str| assert_eq!(gateway.ask(&get(target)).status, 200);
    ask("/on-output");
    gateway.wait_for_entry(|entry| entry["url.path"] == "/on-output");
    folder.write("gateway.yaml", folder.config_logging(&origin, "one"));
    reload(&gateway, 2);
    ask("/in-one");
    eventually("the line", || (folder.logged("one") == ["/in-one"]).then_some(()));
    folder.write("gateway.yaml", folder.config_logging(&origin, "nowhere/two"));
    let problems = fail_to_reload(&gateway).join("\n");
    assert!(problems.contains("log.access_file") && problems.contains("nowhere/two"), "{problems}");
    ask("/in-one-still");
    eventually("the line", || (folder.logged("one").len() == 2).then_some(()));
    folder.write("gateway.yaml", folder.config(&origin, "log: { access: off }\n"));
    reload(&gateway, 3);
    ask("/nowhere");
    folder.write("gateway.yaml", folder.config_logging(&origin, "two"));
    reload(&gateway, 4);
    ask("/in-two");
    eventually("the line", || (folder.logged("two") == ["/in-two"]).then_some(()));
    assert_eq!(folder.logged("one"), ["/in-one", "/in-one-still"]);
    assert_eq!(gateway.entries().len(), 1);
}
