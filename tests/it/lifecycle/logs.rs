//! The access log in a file: rotation, and another file at a reload.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::reload::{fail_to_reload, reload};
use super::{Gate, Place, begin_download, end_download, gated};
use crate::harness::{Client, Message, Origin, eventually, tokens};

impl Place {
    /// The paths in a log of the name, in order; nothing where there is none.
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

fn get(target: &str) -> Message {
    Message::get(target).token(&tokens::valid())
}

#[test]
fn a_log_that_is_moved_away_is_opened_again_and_no_line_is_lost() {
    let (place, origin) = (Place::new(), Origin::new());
    let mut gateway = place.start(&place.config_logging(&origin, "log"));
    let (address, is_over) = (gateway.address(), AtomicBool::new(false));
    let rotations = 5;
    let asked = std::thread::scope(|scope| {
        let is_over = &is_over;
        let clients: Vec<_> = (0..2)
            .map(|number| {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    let targets = (0..).map(|count| format!("/{number}/{count}"));
                    let asked = targets.take_while(|_| !is_over.load(Ordering::Relaxed)).inspect(|target| {
                        assert_eq!(client.ask(&get(target)).status, 200);
                    });
                    asked.collect::<Vec<String>>()
                })
            })
            .collect();
        for rotation in 0..rotations {
            eventually("lines", || (!place.logged("log").is_empty()).then_some(()));
            fs::rename(place.path("log"), place.path(&format!("log.{rotation}"))).unwrap();
            gateway.signal("USR1");
            eventually("a new file", || place.path("log").exists().then_some(()));
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<String>>()
    });
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    let moved = (0..rotations).map(|rotation| format!("log.{rotation}"));
    let mut logged: Vec<String> =
        moved.chain(["log".to_owned()]).flat_map(|name| place.logged(&name)).collect();
    let mut asked = asked;
    logged.sort();
    asked.sort();
    assert_eq!(logged, asked);
    assert!(gateway.stdout().is_empty());
    assert!(gateway.stderr().len() > 100, "diagnostics stay on standard error");
}

#[test]
fn a_log_that_cannot_be_opened_again_goes_on_where_it_was() {
    let (place, origin) = (Place::new(), Origin::new());
    fs::create_dir(place.path("logs")).unwrap();
    let gateway = place.start(&place.config_logging(&origin, "logs/log"));
    fs::rename(place.path("logs"), place.path("elsewhere")).unwrap();
    gateway.signal("USR1");
    gateway.wait_for_message("SIGUSR1: the access log stays where it was");
    assert_eq!(gateway.ask(&get("/after")).status, 200);
    eventually("the line", || (place.logged("elsewhere/log") == ["/after"]).then_some(()));
}

#[test]
fn a_log_is_opened_again_while_draining_too() {
    let gate = Gate::default();
    let (place, origin) = (Place::new(), gated(&gate));
    let mut gateway = place.start(&place.config_logging(&origin, "log"));
    let download = begin_download(gateway.address());
    gateway.signal("TERM");
    gateway.wait_for_message("SIGTERM: draining");
    fs::rename(place.path("log"), place.path("log.0")).unwrap();
    gateway.signal("USR1");
    gateway.wait_for_message("SIGUSR1: reopened");
    gate.open();
    end_download(download);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    assert_eq!((place.logged("log.0"), place.logged("log")), (vec![], vec!["/download".to_owned()]));
}

#[test]
fn a_reload_moves_the_log_or_says_why_it_cannot() {
    let (place, origin) = (Place::new(), Origin::new());
    let gateway = place.start(&place.config(&origin, ""));
    let ask = |target: &str| assert_eq!(gateway.ask(&get(target)).status, 200);
    ask("/on-output");
    gateway.wait_for_entry(|entry| entry["url.path"] == "/on-output");
    place.write("gateway.yaml", &place.config_logging(&origin, "one"));
    reload(&gateway, 2);
    ask("/in-one");
    eventually("the line", || (place.logged("one") == ["/in-one"]).then_some(()));
    place.write("gateway.yaml", &place.config_logging(&origin, "nowhere/two"));
    let problems = fail_to_reload(&gateway).join("\n");
    assert!(problems.contains("log.access_file") && problems.contains("nowhere/two"), "{problems}");
    ask("/in-one-still");
    eventually("the line", || (place.logged("one").len() == 2).then_some(()));
    place.write("gateway.yaml", &place.config(&origin, "log: { access: off }\n"));
    reload(&gateway, 3);
    ask("/nowhere");
    place.write("gateway.yaml", &place.config_logging(&origin, "two"));
    reload(&gateway, 4);
    ask("/in-two");
    eventually("the line", || (place.logged("two") == ["/in-two"]).then_some(()));
    assert_eq!(place.logged("one"), ["/in-one", "/in-one-still"]);
    assert_eq!(gateway.entries().len(), 1);
}
