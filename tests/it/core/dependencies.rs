//! Dependencies: licences, versions and sources must follow `.cargo/deny.toml`. Known vulnerabilities
//! need a database from the network: `cargo deny check advisories`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::de::DeserializeOwned;
use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn toml<T: DeserializeOwned>(file: &str) -> T {
    toml::from_str(&fs::read_to_string(Path::new(ROOT).join(file)).unwrap()).unwrap()
}

fn policy() -> Value {
    toml(".cargo/deny.toml")
}

fn texts<'v>(list: &'v Value, member: impl Fn(&'v Value) -> &'v Value) -> Vec<&'v str> {
    let texts: Vec<_> = list.as_array().unwrap().iter().map(|item| member(item).as_str().unwrap()).collect();
    assert!(!texts.is_empty());
    texts
}

/// A dependency of the gateway, its build or its tests on this platform.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

fn packages() -> BTreeSet<Package> {
    let tree =
        ["tree", "--workspace", "--locked", "--edges=normal,build,dev", "--prefix=none", "--format={l}\t{p}"];
    let output = Command::new(env!("CARGO")).args(tree).current_dir(ROOT).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let package = |line: &str| {
        let (licence, package) = line.split_once('\t').unwrap();
        let (name, version) = package.split_once(" v").unwrap();
        let version = version.split(' ').next().unwrap();
        Package { name: name.into(), version: version.into(), licence: licence.into() }
    };
    let tree = String::from_utf8(output.stdout).unwrap();
    // The trees of two packages are separated by an empty line.
    let packages: BTreeSet<_> = tree.lines().filter(|line| !line.is_empty()).map(package).collect();
    assert!(packages.len() > 100, "{}", packages.len());
    packages
}

#[test]
fn every_licence_is_allowed() {
    let policy = policy();
    let allowed: Vec<Licensee> = texts(&policy["licenses"]["allow"], |name| name)
        .into_iter()
        .map(|name| Licensee::parse(name).unwrap())
        .collect();
    for Package { name, licence, .. } in packages() {
        assert!(!licence.is_empty(), "{name} names no licence");
        let expression = Expression::parse_mode(&licence, ParseMode::LAX).unwrap();
        let is_allowed = expression.evaluate(|wanted| allowed.iter().any(|name| name.satisfies(wanted)));
        assert!(is_allowed, "{name}: {licence}");
    }
}

#[test]
fn each_package_has_one_version_unless_listed() {
    let policy = policy();
    let known = texts(&policy["bans"]["skip"], |skip| &skip["crate"]);
    let banned = texts(&policy["bans"]["deny"], |ban| &ban["crate"]);
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Package { name, version, .. } in packages() {
        assert!(!banned.contains(&&*name), "{name} is banned");
        let is_known = known
            .iter()
            .filter_map(|known| known.strip_prefix(&*name)?.strip_prefix('@'))
            .any(|known| version.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')));
        if !is_known {
            versions.entry(name).or_default().push(version);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert_eq!(versions, BTreeMap::new(), "say why in bans.skip of .cargo/deny.toml, or keep one");
}

#[test]
fn every_package_comes_from_the_registry_with_a_checksum_or_from_this_repository() {
    const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
    let lock: Value = toml("Cargo.lock");
    let packages = lock["package"].as_array().unwrap();
    let (own, foreign): (Vec<_>, Vec<_>) =
        packages.iter().partition(|package| package.get("source").is_none());
    let names: Vec<_> = own.iter().map(|package| &package["name"]).collect();
    assert_eq!(names, ["approov-gateway", "bench", "libz-ng-sys"]);
    assert!(foreign.len() > 100, "{}", foreign.len());
    for package in foreign {
        assert_eq!(package["source"], REGISTRY, "{package}");
        assert_eq!(package["checksum"].as_str().map(str::len), Some(64), "{package}");
    }
}

#[test]
fn our_own_code_forbids_unsafe() {
    for manifest in ["Cargo.toml", "tools/bench/Cargo.toml", ".cargo/libz-ng-sys/Cargo.toml"] {
        let manifest: Value = toml(manifest);
        assert_eq!(manifest["lints"]["rust"]["unsafe_code"], "forbid");
    }
}
