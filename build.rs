//! Records what `--version` tells: the commit, the target, the kind of build, the TLS library.
//!
//! The script reads files only and starts no program, so that a build needs neither git nor a network.
//! `BUILD_COMMIT` names the commit where there is no git folder, as in a source archive.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    set("BUILD_COMMIT", &commit().unwrap_or_else(|| "unknown".into()));
    set("BUILD_TARGET", &variable("TARGET"));
    set("BUILD_KIND", kind());
    set("BUILD_TLS", &tls_library());
}

fn set(name: &str, value: &str) {
    println!("cargo::rustc-env={name}={value}");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// `profile-guided` if the compiler was given a profile of a training run, else `plain`.
fn kind() -> &'static str {
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    if flags.contains("profile-use") { "profile-guided" } else { "plain" }
}

/// The commit, if one is known. A development build does not look for it: each commit would compile
/// the whole crate again.
fn commit() -> Option<String> {
    let given = variable("BUILD_COMMIT");
    if !given.is_empty() {
        return Some(given);
    }
    if variable("PROFILE") != "release" {
        return Some("development build".into());
    }
    let git = git_folder()?;
    let head = git.join("HEAD");
    println!("cargo::rerun-if-changed={}", head.display());
    let text = fs::read_to_string(head).ok()?;
    match text.trim().strip_prefix("ref: ") {
        None => Some(text.trim().into()),
        Some(name) => branch(&git, name),
    }
}

/// `.git`, or the folder that a worktree's `.git` file names.
fn git_folder() -> Option<PathBuf> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = fs::read_to_string(git).ok()?;
    Some(root.join(text.trim().strip_prefix("gitdir: ")?))
}

/// The commit of a branch: in a file of its own, or in the list of packed branches.
fn branch(git: &Path, name: &str) -> Option<String> {
    let common = fs::read_to_string(git.join("commondir"))
        .map_or_else(|_| git.to_owned(), |common| git.join(common.trim()));
    let file = common.join(name);
    println!("cargo::rerun-if-changed={}", file.display());
    if let Ok(commit) = fs::read_to_string(file) {
        return Some(commit.trim().into());
    }
    let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ')).map(Into::into)
}

/// The TLS library and its cryptography, with the versions that `Cargo.lock` fixes.
fn tls_library() -> String {
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    let version = |name: &str| {
        let package = format!("name = \"{name}\"\nversion = \"");
        let version = lock.split_once(&package).and_then(|(_, rest)| rest.split('"').next());
        version.unwrap_or("of unknown version").to_owned()
    };
    format!("rustls {}, aws-lc-rs {}", version("rustls"), version("aws-lc-rs"))
}
