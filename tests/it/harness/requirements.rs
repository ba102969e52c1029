//! Requirements of a test besides Rust and a C toolchain.
//!
//! A test with a requirement starts with `if !has_program("nginx") { return; }`. If the requirement
//! is missing, the test says so and passes. If the variable `CI` is set, the test fails instead.

use std::io::Write;
use std::process::{Command, Stdio};

/// Whether a program of this name can be started.
pub fn has_program(name: &str) -> bool {
    let mut probe = Command::new(name);
    probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok() || missing(&format!("the program {name}"))
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root() || missing("root")
}

/// The Python interpreter that has this package: `TEST_PYTHON`, or else `python3`.
pub fn python_with(package: &str) -> Option<String> {
    let interpreter = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut probe = Command::new(&interpreter);
    probe.args(["-c", &format!("import {package}")]).stdin(Stdio::null()).stderr(Stdio::null());
    if probe.status().is_ok_and(|status| status.success()) {
        return Some(interpreter);
    }
    missing(&format!("the Python package {package} for {interpreter}"));
    None
}

/// Fails the test under `CI`. Otherwise says that the test is skipped, and returns `false`.
pub(super) fn missing(what: &str) -> bool {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(std::env::var_os("CI").is_none(), "{test} needs {what}, and CI is set");
    // `eprintln!` would be captured and, since the test passes, not shown.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: it needs {what}");
    false
}
