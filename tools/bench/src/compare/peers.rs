//! The peers: how each is configured and started, and what it checks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::modes::{Setup, Shape, Tls};
use super::programs::{Program, modules};
use super::templates::Values;
use crate::rig::Result;
use crate::rig::certificate::Certificate;
use crate::rig::cores::Cores;
use crate::rig::folder::{Folder, Port};
use crate::rig::gateway;
use crate::rig::process::Process;
use crate::rig::token::{SECRET, secret_base64};

/// A proxy that is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Gateway(Build),
    /// A Pingora proxy without checks and without a log.
    Bare,
    Haproxy,
    /// HAProxy without its access log.
    HaproxyNoLog,
    NginxNjs,
    Nginx,
    Envoy,
    Workerd,
}

/// A build of the gateway, and how it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// The name of the build, and the variants behind colons.
    pub name: String,
    pub path: PathBuf,
    /// `direct` or `pingora`; the default of the build if `None`.
    pub exchange: Option<&'static str>,
    /// Whether the allocator asks for huge pages, as it does by default.
    pub has_huge_pages: bool,
}

impl Build {
    pub fn new(name: &str, path: PathBuf) -> Self {
        Self { name: name.into(), path, exchange: None, has_huge_pages: true }
    }

    /// Whether the build has the key `server.http1_exchange`.
    pub fn has_exchanges(&self) -> bool {
        let schema = Command::new(&self.path).arg("schema").output();
        schema.is_ok_and(|schema| String::from_utf8_lossy(&schema.stdout).contains("\"http1_exchange\""))
    }

    /// The same build with `direct`, `pingora` or `small-pages`.
    pub fn variant(mut self, variant: &str) -> Result<Self> {
        match variant {
            "direct" => self.exchange = Some("direct"),
            "pingora" => self.exchange = Some("pingora"),
            "small-pages" => self.has_huge_pages = false,
            _ => return Err(format!("{variant:?} is not direct, pingora or small-pages").into()),
        }
        if self.exchange.is_some() && !self.has_exchanges() {
            return Err(format!("{} has no key server.http1_exchange", self.path.display()).into());
        }
        self.name = format!("{}:{variant}", self.name);
        Ok(self)
    }
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
    /// All peers except builds of the gateway.
    pub const OTHERS: [Self; 7] = [
        Self::Bare,
        Self::Haproxy,
        Self::HaproxyNoLog,
        Self::NginxNjs,
        Self::Nginx,
        Self::Envoy,
        Self::Workerd,
    ];

    pub fn name(&self) -> &str {
        match self {
            Self::Gateway(build) => &build.name,
            Self::Bare => "bare",
            Self::Haproxy => "haproxy",
            Self::HaproxyNoLog => "haproxy-nolog",
            Self::NginxNjs => "nginx-njs",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Workerd => "workerd",
        }
    }

    /// The differences that a reader of the tables has to know.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Gateway(_) => "defaults: access log and metrics on",
            Self::Bare => "Pingora alone: no check, no log",
            Self::Haproxy => "all checks by converters; access log, one line for each request",
            Self::HaproxyNoLog => "all checks by converters; no log",
            Self::NginxNjs => "all checks in njs; access log buffered",
            Self::Nginx => "no check; access log buffered",
            Self::Envoy => "jwt_authn, which cannot check the binding; access log buffered",
            Self::Workerd => "the worker's checks on workerd; no log",
        }
    }

    pub fn checks(&self) -> Checks {
        match self {
            Self::Envoy => Checks::NoBinding,
            Self::Bare | Self::Nginx => Checks::Nothing,
            _ => Checks::All,
        }
    }

    /// The reason why the peer cannot run, such as a missing program.
    pub fn is_missing(&self) -> Option<String> {
        let programs: &[Program] = match self {
            Self::Gateway(_) | Self::Bare => &[],
            Self::Haproxy | Self::HaproxyNoLog => &[Program::Haproxy],
            Self::NginxNjs => &[Program::Nginx, Program::Njs],
            Self::Nginx => &[Program::Nginx],
            Self::Envoy => &[Program::Envoy],
            Self::Workerd => &[Program::Workerd],
        };
        programs.iter().find_map(|program| Some(program.path().err()?.to_string()))
    }

    pub fn is_profile_guided(&self) -> bool {
        matches!(self, Self::Gateway(build) if build.name.starts_with("gateway-pgo"))
    }

    /// Whether the peer can do what the mode asks for, and whether the figures differ from the usual ones.
    pub fn has(&self, shape: &Shape) -> bool {
        let setup = shape.setup;
        let has_one_thread = matches!(self, Self::Bare | Self::Workerd);
        let is_usual = setup.tls.is_none() && setup.addresses == 1;
        let has_all_templates =
            matches!(self, Self::Gateway(_) | Self::Haproxy | Self::HaproxyNoLog | Self::NginxNjs);
        (setup.threads == 1 || !has_one_thread)
            && (self.checks() != Checks::Nothing || (setup.binding && shape.status() == 200))
            && (is_usual || has_all_templates)
            && (!setup.verifies_messages || matches!(self, Self::Gateway(_)))
    }

    fn command(&self, values: &Values, folder: &Folder) -> Result<Command> {
        let render = |name: &str, template: &str| values.render(name, template, folder);
        let file =
            |suffix: &str| format!("{}-{}.{suffix}", self.name(), values.of("port").unwrap_or_default());
        let mut command;
        match self {
            Self::Gateway(build) => {
                let template = include_str!("peers/gateway.yaml");
                let exchange =
                    build.exchange.map_or(String::new(), |name| format!(", http1_exchange: {name}"));
                let template = template.replace("@exchange@", &exchange);
                command = gateway::command(&build.path, &render(&file("yaml"), &template)?);
                if !build.has_huge_pages {
                    command.env("MIMALLOC_ALLOW_THP", "0");
                }
            }
            Self::Bare => {
                command = Command::new(std::env::current_exe()?);
                command.arg("bare").arg(values.of("origin")?);
            }
            Self::Haproxy | Self::HaproxyNoLog => {
                let haproxy = include_str!("peers/haproxy.cfg");
                let without_log = haproxy.replace("    log global\n", "");
                let template = if *self == Self::Haproxy { haproxy } else { &without_log };
                command = Command::new(Program::Haproxy.path()?);
                command.arg("-db").arg("-f").arg(render(&file("cfg"), template)?);
            }
            Self::NginxNjs | Self::Nginx => {
                render("nginx-njs.js", include_str!("peers/nginx-njs.js"))?;
                let template = match self {
                    Self::NginxNjs => include_str!("peers/nginx-njs.conf"),
                    _ => include_str!("peers/nginx.conf"),
                };
                command = Command::new(Program::Nginx.path()?);
                command.args(["-e", "stderr", "-c"]).arg(render(&file("conf"), template)?);
            }
            Self::Envoy => {
                command = Command::new(Program::Envoy.path()?);
                command.args(["--disable-hot-restart", "-l", "error", "--concurrency"]);
                command.arg(values.of("threads")?).arg("-c");
                command.arg(render("envoy.yaml", include_str!("peers/envoy.yaml"))?);
            }
            Self::Workerd => {
                render("worker.js", include_str!("peers/worker.js"))?;
                command = Command::new(Program::Workerd.path()?);
                command.arg("serve").arg(render("workerd.capnp", include_str!("peers/workerd.capnp"))?);
            }
        }
        Ok(command)
    }
}

/// A peer that serves.
pub struct Running {
    pub peer: Peer,
    pub address: SocketAddr,
    pub process: Process,
    _port: Port,
}

impl Running {
    /// Starts `peer` on its cores, and waits until it accepts connections.
    pub fn start(
        peer: &Peer,
        setup: Setup,
        origins: &[SocketAddr],
        certificate: &Certificate,
        folder: &Folder,
        cores: &Cores,
    ) -> Result<Self> {
        let port = Port::reserve()?;
        let values = values(setup, origins, certificate, folder, &port)?;
        let command = peer.command(&values, folder)?;
        let mut process = cores.for_peer(setup.threads, || Process::start(peer.name(), &command))??;
        let address = match peer {
            Peer::Bare => process.await_line("listening on http://")?.parse()?,
            _ => port.address(),
        };
        process.await_listening(address)?;
        Ok(Self { peer: peer.clone(), address, process, _port: port })
    }
}

fn values(
    setup: Setup,
    origins: &[SocketAddr],
    certificate: &Certificate,
    folder: &Folder,
    port: &Port,
) -> Result<Values> {
    let address = |number: usize| origins.get(number).or(origins.first()).ok_or("the origin has no address");
    let [first, second, third] = [address(0)?, address(1)?, address(2)?];
    let Tls { version, group, .. } = setup.tls.unwrap_or(Tls::ANY);
    let mut haproxy_tls = String::new();
    let mut nginx_tls =
        format!("ssl_protocols {};", version.map_or("TLSv1.2 TLSv1.3".into(), |of| format!("TLSv{of}")));
    if let Some(version) = version {
        haproxy_tls += &format!(" ssl-min-ver TLSv{version} ssl-max-ver TLSv{version}");
    }
    if let Some(group) = group {
        haproxy_tls += &format!(" curves {group}");
        nginx_tls += &format!(" ssl_ecdh_curve {group};");
    }
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
        ("secret_base64", secret_base64()),
        ("secret_base64url", URL_SAFE_NO_PAD.encode(SECRET)),
        ("folder", folder.path().display().to_string()),
        ("chain", certificate.chain.display().to_string()),
        ("key", certificate.key.display().to_string()),
        ("both", certificate.both.display().to_string()),
        ("modules", modules().unwrap_or_default().display().to_string()),
        ("haproxy_tls", haproxy_tls),
        ("nginx_tls", nginx_tls),
    ]);
    Ok(values
        .with_choice("plain", "tls", setup.tls.is_some())
        .with_choice("one", "three", setup.addresses > 1)
        .with_choice("unsigned", "signed", setup.verifies_messages))
}
