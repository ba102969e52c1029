//! A FIFO in place of a file: opening it can block forever, and the gateway must not.

use std::fs;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::reload::{fail_to_reload, next_secret_base64, next_token, reload};
use crate::harness::{Folder, Message, Origin, Setup, eventually, tokens};

fn make_fifo(path: &Path) {
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn a_fifo_in_place_of_a_named_file_is_refused_and_later_reloads_work() {
    let (folder, origin) = (Folder::new(), Origin::new());
    folder.write("secret", tokens::SECRET_BASE64);
    let secret = folder.path("secret");
    let config = folder.config(&origin, "").replace(
        &format!("secret_base64: \"{}\"", tokens::SECRET_BASE64),
        &format!("secret_base64_file: {}", secret.display()),
    );
    for watch in [false, true] {
        folder.write("secret", tokens::SECRET_BASE64);
        let gateway = folder.start(&config.replace("threads: 2", &format!("threads: 2, watch: {watch}")));
        make_fifo(&secret);
        let problems = fail_to_reload(&gateway);
        assert!(problems.iter().any(|problem| problem.contains("not a regular file")), "{problems:?}");
        gateway.assert_serves(&origin);
        fs::remove_file(&secret).unwrap();
        folder.write("secret", next_secret_base64());
        if watch {
            eventually("the watched file to be loaded", || {
                (gateway.version()["config_generation"] == 2).then_some(())
            });
        } else {
            reload(&gateway, 2);
        }
        assert_eq!(gateway.ask(&Message::get("/").token(&next_token())).status, 200);
        fs::remove_file(&secret).unwrap();
    }
}

#[test]
fn a_fifo_in_place_of_the_configuration_file_is_refused_by_every_command() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let config = folder.config(&origin, "");
    let gateway = folder.start(&config);
    let path = folder.path("gateway.yaml");
    make_fifo(&path);
    for command in ["check", "reload", "upgrade", "run"] {
        let exit = Setup::bare().arguments(&[command, "-c", path.to_str().unwrap()]).run_to_exit();
        assert_eq!(exit.status.code(), Some(78), "{command}: {}", exit.stderr);
        assert!(exit.stderr.contains("not a regular file"), "{command}: {}", exit.stderr);
    }
    let problems = fail_to_reload(&gateway);
    assert!(problems[0].contains("not a regular file"), "{problems:?}");
    fs::remove_file(&path).unwrap();
    folder.write("gateway.yaml", &config);
    reload(&gateway, 2);
}

#[test]
fn a_fifo_without_a_reader_as_access_log_is_refused() {
    let (folder, origin) = (Folder::new(), Origin::new());
    let gateway = folder.start(&folder.config(&origin, ""));
    make_fifo(&folder.path("log"));
    let log = format!("log: {{ access_file: {} }}\n", folder.path("log").display());
    folder.write("gateway.yaml", folder.config(&origin, &log));
    let problems = fail_to_reload(&gateway);
    assert!(problems[0].contains("log.access_file"), "{problems:?}");
    folder.write("gateway.yaml", folder.config(&origin, ""));
    reload(&gateway, 2);
    gateway.assert_serves(&origin);
}
