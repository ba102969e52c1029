//! Watched files. A change is loaded once the files have stopped changing; the sleeps of these tests
//! are their subject.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::reload::{next_token, with_next_secret};
use crate::harness::{Folder, Gateway, Message, Origin, eventually, tokens};

fn watched(config: &str) -> String {
    config.replace("threads: 2", "threads: 2, watch: true")
}

fn wait_for_generation(gateway: &Gateway, generation: u64) {
    eventually("the next configuration", || {
        (gateway.version()["config_generation"] == generation).then_some(())
    });
}

#[test]
fn a_file_may_be_overwritten_renamed_or_swapped_by_a_link() {
    let (folder, origin) = (Folder::new(), Origin::new());
    // The layout of a Kubernetes volume: the path contains a link, which is replaced.
    for (name, secret) in [("first", tokens::SECRET_BASE64), ("second", "not base64!")] {
        fs::create_dir(folder.path(name)).unwrap();
        folder.write(&format!("{name}/secret"), secret);
    }
    symlink("first", folder.path("data")).unwrap();
    symlink("data/secret", folder.path("secret")).unwrap();
    let config = watched(&folder.config(&origin, "")).replace(
        &format!("secret_base64: \"{}\"", tokens::SECRET_BASE64),
        &format!("secret_base64_file: {}", folder.path("secret").display()),
    );
    let gateway = folder.start(&config);
    assert_eq!(gateway.ask(&Message::get("/").token(&tokens::valid())).status, 200);
    // The file is overwritten.
    folder.write("gateway.yaml", format!("{config}rejection: {{ status: 403 }}\n"));
    wait_for_generation(&gateway, 2);
    assert_eq!(gateway.ask(&Message::get("/")).status, 403);
    gateway.wait_for_message("files have changed: reloading the configuration");
    // Another file is renamed over it.
    folder.write("new.yaml", format!("{config}rejection: {{ status: 404 }}\n"));
    fs::rename(folder.path("new.yaml"), folder.path("gateway.yaml")).unwrap();
    wait_for_generation(&gateway, 3);
    assert_eq!(gateway.ask(&Message::get("/")).status, 404);
    // The link is replaced, and the new file is refused.
    let swap = |target: &str| {
        symlink(target, folder.path("data.new")).unwrap();
        fs::rename(folder.path("data.new"), folder.path("data")).unwrap();
    };
    swap("second");
    let refused = eventually("the refusal", || match &gateway.version()["config_refused"] {
        Value::Null => None,
        refused => Some(refused.to_string()),
    });
    assert!(refused.contains("secret_base64_file"), "{refused}");
    assert_eq!(gateway.ask(&Message::get("/").token(&tokens::valid())).status, 200);
    // The refused file is watched too.
    folder.write("second/secret", with_next_secret(tokens::SECRET_BASE64));
    wait_for_generation(&gateway, 4);
    assert_eq!(gateway.ask(&Message::get("/").token(&next_token())).status, 200);
}

#[test]
fn a_file_that_is_still_being_written_is_not_loaded() {
    // A file that does not change for a second is complete. If this machine holds the writer up for so long, the writing
    // starts again.
    let is_writing = || {
        let (folder, origin) = (Folder::new(), Origin::new());
        let config = watched(&folder.config(&origin, ""));
        let gateway = folder.start(&config);
        let (start, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
        let mut write = |text: String| {
            folder.write("gateway.yaml", config.clone() + &text);
            longest = longest.max(last.elapsed());
            last = Instant::now();
        };
        for round in 0.. {
            write(format!("rejection: {{ half: {round}\n"));
            if start.elapsed() > Duration::from_millis(3200) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        write("rejection: { status: 403 }\n".into());
        (longest < Duration::from_millis(900)).then_some((folder, origin, gateway))
    };
    let (_folder, _origin, gateway) = eventually("a steady writer", is_writing);
    wait_for_generation(&gateway, 2);
    assert_eq!(gateway.metrics().sum("approov_gateway_config_reloads_total", &[("result", "failure")]), 0.0);
}

#[test]
fn files_are_watched_only_if_configured() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let config = folder.config(&origin, "");
    let gateway = folder.start(&config);
    folder.write("gateway.yaml", format!("{config}rejection: {{ status: 403 }}\n"));
    std::thread::sleep(Duration::from_millis(3200));
    assert_eq!(gateway.version()["config_generation"], 1);
    // A reload can enable and disable watching.
    folder.write("gateway.yaml", watched(&config));
    super::reload::reload(&gateway, 2);
    folder.write("gateway.yaml", &config);
    wait_for_generation(&gateway, 3);
}
