//! The peers: how each is configured and started, and what it checks.
//!
//! Their configurations are templates in the folder `peers`. All write an access log as they would in
//! service, to a file that costs nothing.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::Result;
use super::cores::Cores;
use super::modes::Setup;
use super::process::{Folder, Port, Process};
use super::programs::{Program, Programs};
use super::requests::SECRET;
use super::templates::{Values, render};

/// Something to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The gateway, in a build of its own name.
    Gateway {
        name: String,
        path: PathBuf,
    },
    /// A Pingora proxy that does nothing but proxy.
    Bare,
    Haproxy,
    /// The same without its access log.
    HaproxyNoLog,
    NginxNjs,
    Nginx,
    Envoy,
    Workerd,
}

/// What a peer verifies of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Signature, expiry and binding.
    All,
    /// Signature and expiry.
    NoBinding,
    Nothing,
}

impl Peer {
    /// All but the builds of the gateway.
    pub const OTHERS: [Self; 7] = [
        Self::Bare,
        Self::Haproxy,
        Self::HaproxyNoLog,
        Self::NginxNjs,
        Self::Nginx,
        Self::Envoy,
        Self::Workerd,
    ];

    /// The build that this bench comes with.
    pub fn gateway() -> Self {
        Self::Gateway { name: "gateway".into(), path: env!("CARGO_BIN_EXE_approov-gateway").into() }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Gateway { name, .. } => name,
            Self::Bare => "bare",
            Self::Haproxy => "haproxy",
            Self::HaproxyNoLog => "haproxy-nolog",
            Self::NginxNjs => "nginx-njs",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Workerd => "workerd",
        }
    }

    /// What a reader of the tables must know of it.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Gateway { .. } => "as by default: access log and metrics on",
            Self::Bare => "Pingora that only proxies: no check, no log",
            Self::Haproxy => "all checks by converters; access log a line a request",
            Self::HaproxyNoLog => "all checks by converters; no log",
            Self::NginxNjs => "all checks in njs; access log buffered",
            Self::Nginx => "passes on, no check; access log buffered",
            Self::Envoy => "jwt_authn: cannot check the binding; access log buffered",
            Self::Workerd => "the worker's checks on workerd; no log",
        }
    }

    pub fn checks(&self) -> Checks {
        match self {
            Self::Gateway { .. } | Self::Haproxy | Self::HaproxyNoLog | Self::NginxNjs | Self::Workerd => {
                Checks::All
            }
            Self::Envoy => Checks::NoBinding,
            Self::Bare | Self::Nginx => Checks::Nothing,
        }
    }

    /// What it is made of, beside this build.
    pub fn programs(&self) -> &'static [Program] {
        match self {
            Self::Gateway { .. } | Self::Bare => &[],
            Self::Haproxy | Self::HaproxyNoLog => &[Program::Haproxy],
            Self::NginxNjs => &[Program::Nginx, Program::Njs],
            Self::Nginx => &[Program::Nginx],
            Self::Envoy => &[Program::Envoy],
            Self::Workerd => &[Program::Workerd],
        }
    }

    /// Whether it can be set up so, and whether it would say more than under the usual setup.
    fn is_in(&self, setup: Setup) -> bool {
        let has_one_thread = matches!(self, Self::Bare | Self::Workerd);
        let is_usual = !setup.tls && setup.addresses == 1;
        (setup.threads == 1 || !has_one_thread)
            && (setup.binding || self.checks() != Checks::Nothing)
            && (is_usual || self.has_templates_for_all())
    }

    /// Whether its template has TLS and several addresses.
    fn has_templates_for_all(&self) -> bool {
        match self {
            Self::Gateway { .. } | Self::Haproxy | Self::HaproxyNoLog | Self::NginxNjs => true,
            Self::Bare | Self::Nginx | Self::Envoy | Self::Workerd => false,
        }
    }

    fn command(&self, programs: &Programs, values: &Values, folder: &Folder) -> Result<Command> {
        let mut command = match self {
            Self::Gateway { path, .. } => {
                let place = render("gateway.yaml", include_str!("peers/gateway.yaml"), values, folder)?;
                let mut command = Command::new(path);
                command.arg("run").arg("-c").arg(place);
                for name in gateway_variables() {
                    command.env_remove(name);
                }
                command
            }
            Self::Bare => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("--role-bare").arg(values.of("origin")?).stdout(Stdio::piped());
                return Ok(command);
            }
            Self::Haproxy | Self::HaproxyNoLog => {
                let haproxy = include_str!("peers/haproxy.cfg");
                let without_log = haproxy.replace("    log global\n", "");
                let template = if *self == Self::Haproxy { haproxy } else { &without_log };
                let place = render(&format!("{}.cfg", self.name()), template, values, folder)?;
                let mut command = Command::new(programs.path(Program::Haproxy)?);
                command.arg("-db").arg("-f").arg(place);
                command
            }
            Self::NginxNjs | Self::Nginx => {
                let template = if *self == Self::NginxNjs {
                    render("nginx-njs.js", include_str!("peers/nginx-njs.js"), values, folder)?;
                    include_str!("peers/nginx-njs.conf")
                } else {
                    include_str!("peers/nginx.conf")
                };
                let place = render(&format!("{}.conf", self.name()), template, values, folder)?;
                let mut command = Command::new(programs.path(Program::Nginx)?);
                command.arg("-c").arg(place);
                command
            }
            Self::Envoy => {
                let place = render("envoy.yaml", include_str!("peers/envoy.yaml"), values, folder)?;
                let mut command = Command::new(programs.path(Program::Envoy)?);
                command.args(["--disable-hot-restart", "-l", "error", "--concurrency"]);
                command.arg(values.of("threads")?).arg("-c").arg(place);
                command
            }
            Self::Workerd => {
                render("worker.js", include_str!("peers/worker.js"), values, folder)?;
                let place = render("workerd.capnp", include_str!("peers/workerd.capnp"), values, folder)?;
                let mut command = Command::new(programs.path(Program::Workerd)?);
                command.arg("serve").arg(place);
                command
            }
        };
        command.stdout(Stdio::null());
        Ok(command)
    }
}

/// The variables that would override the gateway's file.
fn gateway_variables() -> impl Iterator<Item = String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with("APPROOV_") || name.starts_with("GATEWAY_") || name == "API_DOMAIN")
}

/// A peer that serves.
pub struct Running {
    pub peer: Peer,
    pub address: SocketAddr,
    pub process: Process,
    _port: Port,
}

impl Running {
    /// Starts `peer` on its cores and waits until it accepts connections.
    pub fn start(
        peer: &Peer,
        setup: Setup,
        programs: &Programs,
        origin: &[SocketAddr],
        folder: &Folder,
        cores: &Cores,
    ) -> Result<Self> {
        let port = Port::hold()?;
        let address = |number: usize| origin.get(number).or(origin.first()).ok_or("no address of the origin");
        let [first, second, third] = [address(0)?, address(1)?, address(2)?];
        let values = Values::new([
            ("port", port.address().port().to_string()),
            ("origin", first.to_string()),
            ("origin_host", first.ip().to_string()),
            ("origin_port", first.port().to_string()),
            ("second", second.to_string()),
            ("third", third.to_string()),
            ("threads", setup.threads.to_string()),
            ("binding", u8::from(setup.binding).to_string()),
            ("strategy", if setup.binding { "token-binding" } else { "token" }.into()),
            ("secret", SECRET.into()),
            ("secret_base64", STANDARD.encode(SECRET)),
            ("secret_base64url", URL_SAFE_NO_PAD.encode(SECRET)),
            ("folder", folder.path().display().to_string()),
            ("modules", programs.modules().unwrap_or_default()),
        ]);
        let values =
            values.with_choice("plain", "tls", setup.tls).with_choice("one", "three", setup.addresses > 1);
        let command = peer.command(programs, &values, folder)?;
        let mut process =
            cores.for_peer(setup.threads, || Process::start(peer.name(), command, folder))??;
        let address = match process.output() {
            // It takes a port of its own and says which.
            Some(output) => {
                let mut line = String::new();
                BufReader::new(output).read_line(&mut line)?;
                line.trim().parse()?
            }
            None => port.address(),
        };
        process.await_listening(address)?;
        Ok(Self { peer: peer.clone(), address, process, _port: port })
    }
}

/// The peers of one setup.
pub struct Fleet {
    pub setup: Setup,
    pub running: Vec<Running>,
}

impl Fleet {
    /// Those of `peers` that a setup concerns.
    pub fn of(peers: &[Peer], setup: Setup) -> impl Iterator<Item = &Peer> {
        peers.iter().filter(move |peer| peer.is_in(setup))
    }
}
