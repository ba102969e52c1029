//! Several nodes as one.
//!
//! | what | where |
//! |---|---|
//! | limits that are divided by the number of nodes | `divided` |
//! | rates that nodes agree on through a store | `rates` |
//! | bans and their lifting | `bans` |
//! | what is equal without a store | `equal` |
//! | every failure of the store | `failures` |
//! | a store that comes back | `recovery` |
//! | an answer that is lost | `lost_answers` |
//! | a store in the wrong hands | `hostile` |
//! | signatures that were accepted | `replays` |
//! | TLS, sentinels, a cluster | `topologies` |
//! | a cluster whose slots move | `slots` |
//! | the arithmetic of the script | `script` |
//! | a Redis process for these tests | `redis` |

mod bans;
mod divided;
mod equal;
mod failures;
mod hostile;
mod lost_answers;
mod rates;
mod recovery;
mod redis;
mod replays;
mod script;
mod slots;
mod topologies;

use crate::harness::{Folder, Gateway, Message, Origin, Setup, config_before, eventually, tokens};
use redis::Redis;

/// Nodes with the same configuration in front of one origin.
struct Fleet {
    origin: Origin,
    folder: Folder,
}

impl Fleet {
    fn new() -> Self {
        let fleet = Self { origin: Origin::new(), folder: Folder::new() };
        fleet.folder.write("fleet-key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
        fleet
    }

    /// A node that agrees every 100 ms. `store` are the keys of `fleet.store`, `rest` those of `fleet` and of the
    /// whole file.
    fn node(&self, store: &str, rest: &str) -> Gateway {
        Setup::bare().config(&self.config(store, rest)).start()
    }

    /// A node that refuses signatures that were accepted before.
    fn signing_node(&self, store: &str, rest: &str) -> Gateway {
        let signing = "approov:\n  message_signing: { replay: { mode: enforce, methods: [GET] } }\n";
        let config = self.config(store, rest).replace("approov:\n", signing);
        Setup::bare().config(&config).start()
    }

    fn config(&self, store: &str, rest: &str) -> String {
        let key = self.folder.path("fleet-key");
        let store = format!("sync: 100ms, name: test, key_file: {}, {store}", key.display());
        config_before(&self.origin, &format!("fleet: {{ store: {{ {store} }} }}\n{rest}"))
    }
}

/// `url` of a store on this port of this machine.
fn at(port: u16) -> String {
    format!("url: \"redis://127.0.0.1:{port}\"")
}

/// `url` and password of a user who has the rights that the documentation names, and `more`. The first of the servers is
/// named.
fn as_user_with_few_rights(fleet: &Fleet, servers: &[&Redis], more: &[&str]) -> String {
    let page = std::fs::read_to_string("docs/how-to/several-nodes.md").unwrap();
    assert!(more.iter().all(|right| page.contains(&format!("`{right}`"))), "{more:?}");
    let (_, rights) = page.split_once("ACL SETUSER gateway on >PASSWORD ").unwrap();
    let rights: Vec<_> = rights.split('`').next().unwrap().split_whitespace().collect();
    for server in servers {
        server.ask(&[&["ACL", "SETUSER", "gateway", "on", ">right"], &rights[..], more].concat());
    }
    let (port, password) = (servers[0].port, fleet.folder.write("user-password", "right\n"));
    format!("url: \"redis://gateway@127.0.0.1:{port}\", password_file: {}", password.display())
}

/// One limit, for the loopback addresses of the tests too.
fn limit(limit: &str) -> String {
    format!("limits: {{ allow: [], rate: [ {{ {limit} }} ] }}\n")
}

/// The status of the answer to a request of this device.
fn ask(gateway: &Gateway, device: &str) -> u16 {
    let token = tokens::of_device(device);
    gateway.ask(&Message::get("/").token(&token)).status
}

/// How many of so many requests are admitted. The others get 429.
fn admitted(gateway: &Gateway, requests: usize) -> usize {
    let statuses: Vec<_> = (0..requests).map(|_| ask(gateway, "one")).collect();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 200).count()
}

fn count(gateway: &Gateway, name: &str) -> f64 {
    gateway.metrics().sum(&format!("approov_gateway_fleet_{name}"), &[])
}

/// Waits until this counter has grown by `more`.
fn wait_for_more(gateway: &Gateway, name: &str, more: f64) {
    let before = count(gateway, name);
    eventually(name, || (count(gateway, name) >= before + more).then_some(()));
}

/// Waits for an exchange that has begun after this call.
fn wait_for_sync(gateway: &Gateway) {
    wait_for_more(gateway, "sync_seconds_count", 2.0);
}

fn wait_until_connected(gateway: &Gateway, is_connected: bool) {
    let expected = f64::from(u8::from(is_connected));
    gateway.wait_for_count("approov_gateway_fleet_connected", &[], expected);
}
