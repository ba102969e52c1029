//! Who may know whom: the parts that decide are pure.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    folders.iter().flat_map(|folder| sources(folder)).chain(files).collect()
}

#[test]
fn pure_rooms_use_no_network_environment_log_or_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let forbidden =
        ["pingora", "tokio", "std::env", "std::net", "std::fs", "log::", "SystemTime", "Instant", "println"];
    let parts = [
        // Who a client is, is said in addresses; nothing else of the network is known there.
        ("trusted_proxies", ["crate::closed_set", "super"].as_slice(), ["std::net"].as_slice()),
        ("approov", &["crate::approov", "crate::http", "crate::closed_set", "super"], &[]),
        ("http", &["crate::http", "super"], &[]),
        ("policy", &["crate::approov", "crate::closed_set", "super"], &[]),
        ("limits", &["crate::limits", "crate::approov", "crate::closed_set", "super"], &[]),
        ("origins", &["crate::closed_set", "crate::tls", "super"], &["std::net"]),
    ];
    for (part, known, allowed) in parts {
        let files = sources(&root.join(part));
        assert!(files.len() >= 2, "{files:?}");
        for file in files {
            for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
                let code = line.split("//").next().unwrap();
                let place = format!("{}:{}: {line}", file.display(), number + 1);
                let mut forbidden = forbidden.iter().filter(|word| !allowed.contains(word));
                assert!(!forbidden.any(|word| code.contains(word)), "{place}");
                let foreign = code.contains("crate::") && !known.iter().any(|known| code.contains(known));
                assert!(!foreign, "{place}");
            }
        }
    }
}
