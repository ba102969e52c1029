//! An origin whose name gets another address while the gateway runs.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::config;
use crate::harness::{Client, Folder, Origin, SetOnDrop, Setup, get, has_program, is_root};

/// The gateway has its own `/etc/hosts`, in a mount namespace.
#[test]
fn a_changed_address_of_a_name_gets_the_requests_and_none_is_lost() {
    if !is_root() || !["unshare", "mount"].into_iter().all(has_program) {
        return;
    }
    let [first, second] = Origin::twins();
    let folder = Folder::new();
    let hosts = folder.write("hosts", "127.0.0.1 api.test\n");
    let script = format!("mount --bind {} /etc/hosts && exec \"$0\" \"$@\"", hosts.display());
    let origin = format!("domain: \"http://api.test:{}\", resolve_interval: 1s", first.port());
    let gateway = Setup::bare()
        .config(&config(&origin, ""))
        .under(&["unshare", "--mount", "sh", "-c", &script])
        .start();
    assert_eq!(gateway.ask(&get("/before")).status, 200);
    assert_eq!((first.targets(), second.targets().len()), (vec!["/before".to_owned()], 0));

    let (address, is_over) = (gateway.address(), AtomicBool::new(false));
    thread::scope(|scope| {
        let over = SetOnDrop(&is_over);
        let clients = [0, 1].map(|_| {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                while !is_over.load(Ordering::Relaxed) {
                    let answer = client.ask(&get("/during"));
                    assert_eq!(answer.status, 200);
                    // The number of requests on a connection is limited.
                    if answer.values("connection") == ["close"] {
                        client = Client::connect(address);
                    }
                }
            })
        });
        // In place: a file that is written anew is empty for a moment.
        let mut hosts = OpenOptions::new().write(true).open(folder.path("hosts")).unwrap();
        hosts.write_all(b"127.0.0.2 api.test\n").unwrap();
        second.wait_until("requests at the new address", |record| record.requests.len() > 100);
        drop(over);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });

    let at_first = first.requests().len();
    for _ in 0..20 {
        assert_eq!(gateway.ask(&get("/after")).status, 200);
    }
    assert_eq!((first.requests().len(), second.count("/after")), (at_first, 20));
    assert_eq!(gateway.metrics().sum("approov_gateway_upstream_errors_total", &[]), 0.0);
}
