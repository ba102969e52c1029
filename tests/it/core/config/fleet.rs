//! `fleet`: the store through which nodes agree.

use std::time::Duration;

use approov_gateway::cli::check::summary;
use approov_gateway::fleet::{FleetSettings, OnLoss, Topology};

use super::{SECRET, WITH_DOMAIN, WITH_SECRET, lines, loaded, origin_files, refused};
use crate::harness::Folder;

fn settings(folder: &Folder, fleet: &str) -> FleetSettings {
    folder.write("fleet-key", SECRET);
    folder.write("password", "hunter2\n");
    origin_files(folder);
    let file = folder.write("gateway.yaml", format!("fleet: {{ {fleet} }}\n"));
    let settings = loaded(Some(&file), &[WITH_SECRET, WITH_DOMAIN]);
    assert_eq!(lines(&settings.warnings), "", "{fleet}");
    settings.fleet
}

#[test]
fn every_key_of_the_store_is_read() {
    let folder = Folder::new();
    let keys = "url: \"rediss://gateway@a.example,[::1]:7000/2\", sentinel: main, password_file: password, \
                ca_file: ca.pem, sync: 1s, name: prod, key_file: fleet-key, on_loss: share";
    let fleet = settings(&folder, &format!("nodes: 3, store: {{ {keys} }}"));
    assert_eq!(fleet.divisor().get(), 1, "with a store nothing is divided");
    assert_eq!(fleet.shared_limits().and_then(|shared| shared.when_lost), fleet.nodes);
    let store = fleet.store.expect("a store");
    assert_eq!(store.servers, [("a.example".into(), 26379), ("::1".into(), 7000)]);
    assert_eq!(store.topology, Topology::Sentinel("main".into()));
    assert_eq!((store.user.as_deref(), store.database), (Some("gateway"), 2));
    assert_eq!(store.password.as_ref().map(|password| password.as_str()), Some("hunter2"));
    let authorities = store.tls.as_ref().and_then(|tls| tls.authorities.as_deref()).expect("authorities");
    assert_eq!(authorities.len(), 1);
    assert_eq!((store.sync, &*store.name, store.on_loss), (Duration::from_secs(1), "prod", OnLoss::Share));
    assert_eq!(store.shown(), "rediss://a.example:26379,[::1]:7000 (sentinels of main)");
    assert!(!format!("{store:?}").contains("hunter2"));
}

#[test]
fn a_store_has_defaults() {
    let fleet = settings(&Folder::new(), "store: { url: \"redis://127.0.0.1\", key_file: fleet-key }");
    assert_eq!(fleet.shared_limits().and_then(|shared| shared.when_lost), None);
    let store = fleet.store.expect("a store");
    assert_eq!((store.servers, store.topology), (vec![("127.0.0.1".into(), 6379)], Topology::Single));
    assert_eq!(
        (store.sync, &*store.name, store.on_loss),
        (Duration::from_millis(500), "gateway", OnLoss::Local)
    );
    assert_eq!((store.tls, store.user, store.password, store.nodes.get()), (None, None, None, 100));
}

#[test]
fn the_summary_shows_the_store() {
    let folder = Folder::new();
    folder.write("fleet-key", SECRET);
    let text = "fleet: { store: { url: \"redis://127.0.0.1\", key_file: fleet-key } }\n";
    let settings = loaded(Some(&folder.write("gateway.yaml", text)), &[WITH_SECRET, WITH_DOMAIN]);
    let line = "fleet          agrees as gateway every 500ms through redis://127.0.0.1:6379\n";
    assert!(summary(&settings).contains(line), "{}", summary(&settings));
}

#[test]
fn keys_and_passwords_that_cannot_be_used_are_reported() {
    let folder = Folder::new();
    for (key, password, part) in [
        ("c2hvcnQ=", "hunter2", "5 bytes"),
        ("", "hunter2", "the secret is empty"),
        (SECRET, "\n", "the file is empty"),
    ] {
        folder.write("fleet-key", key);
        folder.write("password", password);
        let store = "url: \"redis://127.0.0.1\", key_file: fleet-key, password_file: password";
        let file = folder.write("gateway.yaml", format!("fleet: {{ store: {{ {store} }} }}\n"));
        let told = refused(Some(&file), &[WITH_SECRET, WITH_DOMAIN]);
        assert!(told.contains(part) && !told.contains("hunter2"), "{told}");
    }
}
