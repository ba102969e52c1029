//! Commands that packages use: version, completions and manual pages.

use crate::harness::{Folder, gateway_command};
use std::fs;
use std::path::Path;

fn run(arguments: &[&str]) -> String {
    let exit = crate::harness::run(&mut gateway_command(arguments));
    assert!(exit.status.success(), "{arguments:?}: {exit:?}");
    exit.stdout
}

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let help = run(&["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(Into::into).collect()
}

#[test]
fn version_tells_commit_target_kind_of_build_and_tls_library() {
    let version = run(&["--version"]);
    let lines: Vec<&str> = version.lines().collect();
    assert_eq!(lines[0], concat!("approov-gateway ", env!("CARGO_PKG_VERSION")));
    for (line, name) in lines[1..].iter().zip(["commit: ", "target: ", "build:  ", "tls:    "]) {
        assert!(line.strip_prefix(name).is_some_and(|value| !value.trim().is_empty()), "{version}");
    }
    assert!(lines[4].contains("rustls 0.") && lines[4].contains("aws-lc-rs 1."), "{version}");
    assert_eq!(run(&["-V"]).lines().count(), 1);
}

#[test]
fn completions_know_every_command() {
    let commands = commands();
    assert!(commands.len() >= 10, "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
    }
}

#[test]
fn every_command_and_the_configuration_have_a_manual_page() {
    let folder = Folder::new();
    run(&["man", folder.path("man").to_str().unwrap()]);
    let read = |name: &str| {
        fs::read_to_string(folder.path("man").join(name)).unwrap_or_else(|_| panic!("no {name}"))
    };
    for command in commands() {
        let page = read(&format!("approov-gateway-{command}.1"));
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(read("approov-gateway.1").contains(".SH SYNOPSIS"));
    let configuration = read("approov-gateway.5");
    let sample = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/gateway.yaml")).unwrap();
    let keys = sample.lines().filter(|line| !line.contains('#') && line.contains(':'));
    for key in keys.map(|line| line.split(':').next().unwrap().trim().trim_start_matches("- ")) {
        assert!(configuration.contains(&key.replace('-', "\\-")), "{key}");
    }
}
