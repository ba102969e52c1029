//! The peers: how each is configured and started, and what it checks.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minijinja::{Environment, context};

use super::build::Build;
use super::measure::Bench;
use super::modes::{HYBRID, Measure, Mode, Setup};
use super::programs::{
    ENVOY, HAPROXY, NGINX, NJS, OPENSSL, PROGRAMS, Program, WORKERD, modules, openssl_has_hybrid,
};
use crate::rig::Result;
use crate::rig::folder::Port;
use crate::rig::process::Process;
use crate::rig::token::SECRET;

/// A proxy or server that is measured.
#[derive(Clone, Debug)]
pub struct Peer {
    pub name: String,
    kind: &'static Kind,
    /// Of a gateway.
    pub build: Option<Build>,
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

/// The modes that a peer takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Everything,
    /// Clear text and one address of the origin.
    Clear,
    /// The same, with one thread.
    OneThread,
    /// Handshakes and nothing else.
    Handshakes,
}

#[derive(Debug)]
struct Kind {
    name: &'static str,
    /// The differences that a reader of the tables has to know.
    about: &'static str,
    checks: Checks,
    scope: Scope,
    programs: &'static [&'static Program],
    /// A template of words.
    command: &'static str,
    /// Suffixes or names of files with their templates, the configuration first.
    files: &'static [(&'static str, &'static str)],
}

const fn kind(name: &'static str, about: &'static str, checks: Checks, scope: Scope) -> Kind {
    Kind { name, about, checks, scope, programs: &[], command: "", files: &[] }
}

static GATEWAY: Kind = kind("gateway", "defaults: access log and metrics on", Checks::All, Scope::Everything);

/// All peers except builds of the gateway, in the order of the tables.
static KINDS: [Kind; 10] = [
    Kind {
        command: "{{ bench }} bare {{ address }} {{ origin }}",
        ..kind("bare", "Pingora alone: no check, no log", Checks::Nothing, Scope::OneThread)
    },
    Kind {
        programs: &[&HAPROXY],
        command: "{{ programs.haproxy }} -db -f {{ file }}",
        files: &[("cfg", include_str!("peers/haproxy.cfg"))],
        ..kind("haproxy", "all checks by converters; access log", Checks::All, Scope::Everything)
    },
    Kind {
        programs: &[&NGINX, &NJS],
        command: "{{ programs.nginx }} -e stderr -c {{ file }}",
        files: &[
            ("conf", include_str!("peers/nginx-njs.conf")),
            ("nginx-njs.js", include_str!("peers/nginx-njs.js")),
        ],
        ..kind("nginx-njs", "all checks in njs; access log buffered", Checks::All, Scope::Everything)
    },
    Kind {
        programs: &[&NGINX],
        command: "{{ programs.nginx }} -e stderr -c {{ file }}",
        files: &[("conf", include_str!("peers/nginx.conf"))],
        ..kind("nginx", "no check; access log buffered", Checks::Nothing, Scope::Clear)
    },
    Kind {
        programs: &[&ENVOY],
        command: "{{ programs.envoy }} --disable-hot-restart -l error --concurrency {{ threads }} -c {{ file }}",
        files: &[("yaml", include_str!("peers/envoy.yaml"))],
        ..kind(
            "envoy",
            "jwt_authn, which cannot check the binding; access log buffered",
            Checks::NoBinding,
            Scope::Clear,
        )
    },
    Kind {
        programs: &[&WORKERD],
        command: "{{ programs.workerd }} serve {{ file }}",
        files: &[
            ("capnp", include_str!("peers/workerd.capnp")),
            ("worker.js", include_str!("peers/worker.js")),
        ],
        ..kind("workerd", "the worker's checks on workerd; no log", Checks::All, Scope::OneThread)
    },
    Kind {
        programs: &[&OPENSSL],
        command: "{{ programs.openssl }} s_server -quiet -rev -groups {{ group }} -accept {{ address }} \
                  -cert {{ chain }} -key {{ key }}",
        ..kind("openssl", "openssl s_server", Checks::Nothing, Scope::Handshakes)
    },
    Kind { about: "rustls with AWS-LC alone", ..server("rustls") },
    Kind { about: "rustls with ring alone", ..server("rustls-ring") },
    Kind { about: "TCP without TLS", ..server("tcp") },
];

/// A server of this program.
const fn server(name: &'static str) -> Kind {
    Kind {
        command: "{{ bench }} tls-server {{ name }} {{ address }} {{ chain }} {{ key }}",
        ..kind(name, "", Checks::Nothing, Scope::Handshakes)
    }
}

/// The peer that ratios refer to.
pub const REFERENCE: &str = "haproxy";

impl Peer {
    /// All peers except builds of the gateway.
    pub fn others() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|kind| Self { name: kind.name.into(), kind, build: None })
    }

    pub fn gateway(build: Build) -> Self {
        Self { name: build.name.clone(), kind: &GATEWAY, build: Some(build) }
    }

    pub fn about(&self) -> &'static str {
        self.kind.about
    }

    pub fn checks(&self) -> Checks {
        self.kind.checks
    }

    pub fn is_for_handshakes(&self) -> bool {
        self.kind.scope == Scope::Handshakes
    }

    /// The reason why the peer cannot run, such as a missing program.
    pub fn is_missing(&self) -> Option<String> {
        self.kind.programs.iter().find_map(|program| Some(program.path().err()?.to_string()))
    }

    /// Whether the peer can do what the mode asks for, and whether the figures differ from the usual ones.
    pub fn has(&self, mode: &Mode) -> bool {
        let setup = mode.setup;
        let is_clear = setup.tls.is_none() && setup.addresses == 1;
        let is_in_scope = match self.kind.scope {
            Scope::Everything => true,
            Scope::Clear => is_clear,
            Scope::OneThread => is_clear && setup.threads == 1,
            Scope::Handshakes => mode.measure == Measure::Handshakes,
        };
        let is_hybrid = setup.tls.is_some_and(|tls| tls.group == Some(HYBRID));
        let has_hybrid = match self.kind.programs {
            [] => self.name != "rustls-ring",
            _ => openssl_has_hybrid(),
        };
        is_in_scope
            && (self.checks() != Checks::Nothing || (setup.binding && mode.status() == 200))
            && (!is_hybrid || has_hybrid)
            && (!setup.verifies_messages || self.build.is_some())
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
    pub fn start(peer: &Peer, setup: Setup, origins: &[SocketAddr], bench: &Bench) -> Result<Self> {
        let port = Port::reserve()?;
        let command = match &peer.build {
            Some(build) => build.command(setup, origins, port.address(), bench)?,
            None => command(peer, setup, origins, port.address(), bench)?,
        };
        let mut process = bench.cores.for_peer(setup.threads, || Process::start(&peer.name, &command))??;
        process.await_listening(port.address())?;
        Ok(Self { peer: peer.clone(), address: port.address(), process, _port: port })
    }
}

/// Writes the files of a peer and returns its command.
fn command(
    peer: &Peer,
    setup: Setup,
    origins: &[SocketAddr],
    address: SocketAddr,
    bench: &Bench,
) -> Result<Command> {
    let (folder, kind) = (bench.folder.path(), peer.kind);
    let certificate = bench.certificate(setup);
    let first = origins.first().ok_or("the origin has no address")?;
    let path = |(name, _): &(&str, &str)| {
        let is_suffix = !name.contains('.');
        folder.join(if is_suffix {
            format!("{}-{}.{name}", peer.name, address.port())
        } else {
            (*name).into()
        })
    };
    let programs = PROGRAMS.map(|program| (program.name, program.path().unwrap_or_default()));
    let values = context! {
        name => kind.name,
        folder,
        address,
        port => address.port(),
        origins,
        origin => first,
        origin_host => first.ip(),
        origin_port => first.port(),
        threads => setup.threads,
        binding => u8::from(setup.binding),
        has_tls => setup.tls.is_some(),
        version => setup.tls.and_then(|tls| tls.version),
        group => setup.tls.and_then(|tls| tls.group),
        chain => certificate.chain,
        key => certificate.key,
        both => certificate.both,
        secret => SECRET,
        secret_base64url => URL_SAFE_NO_PAD.encode(SECRET),
        modules => modules(),
        file => kind.files.first().map(path),
        bench => std::env::current_exe()?,
        programs => BTreeMap::from(programs),
    };
    let mut templates = Environment::new();
    templates.set_trim_blocks(true);
    templates.set_lstrip_blocks(true);
    templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    for file in kind.files {
        fs::write(path(file), templates.render_str(file.1, &values)?)?;
    }
    let line = templates.render_str(kind.command, &values)?;
    let mut words = line.split_whitespace().map(PathBuf::from);
    let mut command = Command::new(words.next().ok_or("a command without words")?);
    command.args(words);
    Ok(command)
}
