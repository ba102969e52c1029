//! What a successor goes on with: accepted signatures, key sets, and which devices are refused.

use super::reload::reload;
use crate::gateway::key_sets::{KeyServer, SigningKey};
use crate::harness::{Folder, Gateway, Message, Origin, gateway_command, run, tokens};

impl Folder {
    /// Replaces the process by one with the same configuration, which listens on its addresses.
    fn replace(&self, old: &mut Gateway, config: &str) -> Gateway {
        let config = config.replacen("127.0.0.1:0", &old.address().to_string(), 1);
        let config = config.replacen("127.0.0.1:0", &old.admin_address().to_string(), 1);
        self.write("next.yaml", config);
        let mut new = self.setup("next.yaml", &["run", "--upgrade"]).launch();
        new.wait_for_message("waiting for the sockets of the running process");
        old.signal("QUIT");
        new.wait_until_listening();
        assert_eq!(old.wait_for_exit().code(), Some(0));
        new
    }

    /// A signed POST without a body, from the command `sign`.
    fn signed_post(&self, target: &str) -> Message {
        let secret = self.write("secret", tokens::SECRET_BASE64);
        let url = format!("http://api.test{target}");
        let mut command = gateway_command(&["sign", "--label", "install", "--method", "POST", "--url", &url]);
        let exit = run(command.arg("--secret-base64-file").arg(secret));
        let fields = exit.stdout.lines().map(|line| line.split_once(": ").unwrap());
        let message = Message::post(target, "").host("api.test");
        fields.fold(message, |message, (name, value)| message.field(name, value))
    }
}

#[test]
fn a_signature_that_the_old_process_accepted_is_a_replay_for_the_new_one() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let signing = "approov:\n  message_signing: { mode: required, replay: { mode: enforce } }\n";
    let config = folder.config(&origin, "").replace("approov:\n", signing);
    let mut old = folder.start(&config);
    let (first, second) = (folder.signed_post("/first"), folder.signed_post("/second"));
    assert_eq!(old.ask(&first).status, 200);
    assert_eq!(old.ask(&first).status, 401);
    let new = folder.replace(&mut old, &config);
    assert_eq!(new.ask(&first).status, 401);
    assert_eq!(new.ask(&second).status, 200);
    assert_eq!(new.ask(&second).status, 401);
    new.wait_for_requests(&[("reason", "replayed_signature")], 2.0);
    // A reload keeps the store as well.
    new.signal("HUP");
    new.wait_for_message("configuration reloaded, generation 2");
    assert_eq!(new.ask(&first).status, 401);
    assert_eq!(origin.targets(), ["/first", "/second"]);
}

#[test]
fn a_key_set_goes_on_when_its_server_is_gone() {
    let key = SigningKey::new("a");
    let (folder, origin) = (Folder::new(), Origin::new());
    let mut server = KeyServer::with_keys(&[&key]);
    let keys = format!("keys: [ {{ jwks_uri: \"{}\" }} ]", server.url());
    let config = folder.config(&origin, "");
    let (before, after) = config.split_once("keys: [").unwrap();
    let config = format!("{before}{keys}\n{}", after.split_once('\n').unwrap().1);
    let mut old = folder.start(&config);
    assert_eq!(old.ask(&key.request()).status, 200);
    server.kill();
    let new = folder.replace(&mut old, &config);
    assert_eq!(new.ask(&key.request()).status, 200);
    let fetched_at = new.metrics().sum("approov_gateway_key_set_last_success_timestamp_seconds", &[]);
    assert!(fetched_at > 0.0, "the age of the set is known");
}

#[test]
fn the_same_devices_are_refused_after_a_reload_and_an_upgrade() {
    const DEVICES: usize = 600;
    let (folder, origin) = (Folder::new(), Origin::new());
    let config = folder.config(&origin, "routes: [ { path: /, enforce: 5% } ]\n");
    let refused = |gateway: &Gateway| {
        let mut client = gateway.connect();
        let mut is_refused = |device: usize| {
            let token = tokens::expired_of_device(&format!("device {device}"));
            client.ask(&Message::get("/a").token(&token)).status == 401
        };
        (0..DEVICES).filter(|device| is_refused(*device)).collect::<Vec<usize>>()
    };
    let mut old = folder.start(&config);
    let first = refused(&old);
    // 3 σ of 600 choices at 5 %.
    assert!(first.len().abs_diff(30) <= 16, "{}", first.len());
    reload(&old, 2);
    assert_eq!(refused(&old), first);
    let new = folder.replace(&mut old, &config);
    assert_eq!(refused(&new), first);
    assert_eq!(origin.requests().len(), 3 * (DEVICES - first.len()));
}
