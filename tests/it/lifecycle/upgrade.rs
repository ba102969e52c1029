//! SIGQUIT: a successor takes over.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{assert_echoes, assert_tunnel, begin_download, begin_tunnel, end_download, gated};
use crate::harness::{Client, Folder, Gate, Gateway, Message, Origin, SetOnDrop, eventually, get, tokens};

pub(super) const WAITING: &str = "waiting for the sockets of the running process";

impl Folder {
    /// Starts a successor of `gateway` and waits until it is ready to take the sockets.
    pub(super) fn successor(&self, gateway: &Gateway, origin: &Origin) -> Gateway {
        self.write("next.yaml", self.config_like(gateway, origin, ""));
        let successor = self.setup("next.yaml", &["run", "--upgrade"]).launch();
        successor.wait_for_message(WAITING);
        successor
    }
}

/// Clients that send requests continuously. Each request has its own target.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    answered: AtomicUsize,
}

impl Load {
    /// Sends requests until stopped, on persistent connections or on a new one for each request.
    /// Asserts that every request is answered.
    fn run(&self, address: SocketAddr, name: &str, is_kept: bool) -> Vec<String> {
        let mut asked = Vec::new();
        let mut kept: Option<Client> = None;
        while !self.stop.load(Ordering::Relaxed) {
            let target = format!("/{name}/{}", asked.len());
            let mut client = kept.take().unwrap_or_else(|| Client::connect(address));
            let mut message = get(&target);
            if !is_kept {
                message = message.field("Connection", "close");
            }
            let response = client.ask(&message);
            assert_eq!((response.status, response.text()), (200, target.clone()));
            if response.values("connection") != ["close"] {
                kept = Some(client);
            }
            asked.push(target);
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        asked
    }

    /// Waits for `count` further answers.
    fn wait_for_more(&self, count: usize) {
        let enough = self.answered.load(Ordering::Relaxed) + count;
        eventually("more answers", || (self.answered.load(Ordering::Relaxed) >= enough).then_some(()));
    }
}

#[test]
fn an_upgrade_under_load_loses_and_repeats_no_request() {
    let gate = Gate::default();
    let (folder, origin) = (Folder::new(), gated(&gate));
    let mut old = folder.start(&folder.config(&origin, ""));
    let address = old.address();
    let load = Load::default();
    let (asked, new) = std::thread::scope(|scope| {
        let load = &load;
        let stop = SetOnDrop(&load.stop);
        let clients: Vec<_> = (0..6)
            .map(|number| scope.spawn(move || load.run(address, &format!("load{number}"), number % 2 == 0)))
            .collect();
        load.wait_for_more(50);
        let download = begin_download(address);
        let mut tunnel = begin_tunnel(address);
        let mut upload = Client::connect(address);
        let body = Message::post("/upload", vec![b'u'; 200_000]).token(&tokens::valid()).bytes();
        let (first, second) = body.split_at(body.len() / 2);
        upload.send(first);
        origin.wait_until("the upload", |record| {
            record.requests.iter().any(|request| request.target == "/upload" && !request.body.is_empty())
        });
        let mut thinking = Client::connect(address);
        assert_echoes(&mut thinking, "/thinking");

        let mut new = folder.successor(&old, &origin);
        load.wait_for_more(50);
        assert_eq!(folder.pid(), old.pid());
        old.signal("QUIT");
        new.wait_until_listening();
        old.wait_for_message("a successor accepts connections");
        assert_eq!((new.address(), new.admin_address()), (old.address(), old.admin_address()));
        assert_eq!(folder.pid(), new.pid());
        eventually("the admin listener of the successor", || {
            (new.version()["pid"] == new.pid()).then_some(())
        });
        load.wait_for_more(200);

        assert_tunnel(&mut tunnel, "after");
        upload.send(second);
        assert_eq!(upload.response().text(), "/upload");
        gate.open();
        end_download(download);
        assert_echoes(&mut thinking, "/thought");
        drop((tunnel, upload));
        let start = Instant::now();
        assert_eq!(old.wait_for_exit().code(), Some(0));
        println!("{:?} from the last request to the end of the old process", start.elapsed());
        load.wait_for_more(50);
        drop(stop);
        let asked: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (asked, new)
    });
    let mut at_origin: HashMap<String, usize> = HashMap::new();
    for request in origin.requests() {
        *at_origin.entry(request.target).or_default() += 1;
        assert!(request.body.len() == if request.method == "POST" { 200_000 } else { 0 });
    }
    for target in
        asked.iter().map(String::as_str).chain(["/download", "/tunnel", "/upload", "/thinking", "/thought"])
    {
        assert_eq!(at_origin.remove(target), Some(1), "{target}");
    }
    assert!(at_origin.is_empty(), "no client sent {at_origin:?}");
    assert_eq!(folder.pid(), new.pid());
    assert!(!folder.path("sock").exists());
}

#[test]
fn an_idle_connection_is_served_after_a_handover() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut old = folder.start(&folder.config(&origin, ""));
    let mut thinking = old.connect();
    assert_eq!(thinking.ask(&get("/before")).status, 200);
    let mut new = folder.successor(&old, &origin);
    old.signal("QUIT");
    new.wait_until_listening();
    // This sleep is the subject of the test: a client that pauses.
    std::thread::sleep(Duration::from_millis(500));
    let response = thinking.ask(&get("/after"));
    assert_eq!((response.status, response.values("connection")), (200, vec!["close"]));
    assert_eq!(old.wait_for_exit().code(), Some(0));
    assert_eq!(origin.targets(), ["/before", "/after"]);
}

#[test]
fn several_upgrades_in_a_row_work() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut running = folder.start(&folder.config(&origin, ""));
    for _ in 0..3 {
        let mut next = folder.successor(&running, &origin);
        running.signal("QUIT");
        next.wait_until_listening();
        assert_eq!(running.wait_for_exit().code(), Some(0));
        assert_eq!(folder.pid(), next.pid());
        next.assert_serves(&origin);
        running = next;
    }
}

#[test]
fn a_successor_may_have_additional_listeners() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut old = folder.start(&folder.config(&origin, ""));
    let config = folder
        .config_like(&old, &origin, "")
        .replace("listeners: [ ", "listeners: [ { address: \"127.0.0.2:0\" }, ");
    folder.write("next.yaml", &config);
    let mut new = folder.setup("next.yaml", &["run", "--upgrade"]).launch();
    new.wait_for_message(WAITING);
    old.signal("QUIT");
    new.wait_until_listening();
    assert_eq!(old.wait_for_exit().code(), Some(0));
    new.assert_serves(&origin);
    assert_eq!(Client::connect(old.address()).ask(&get("/")).status, 200);
}
