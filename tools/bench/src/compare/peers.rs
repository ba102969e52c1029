//! The peers: how each is configured and started, and what it checks.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minijinja::{Environment, context};

use super::checks;
use super::measure::Bench;
use super::modes::{HYBRID, Measure, Mode, Setup};
use super::programs::{ENVOY, HAPROXY, NGINX, NJS, OPENSSL, PROGRAMS, Program, WORKERD, openssl_has_hybrid};
use crate::rig::token::{SECRET, secret_base64};
use crate::rig::{Port, Process, Result, gateway};

#[derive(Clone, Debug)]
pub struct Peer {
    pub name: String,
    kind: &'static Kind,
    /// The program of a build of the gateway; `None` for the others.
    build: Option<PathBuf>,
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
    checks: Checks,
    scope: Scope,
    programs: &'static [&'static Program],
    /// A template of words.
    command: &'static str,
    /// Suffixes or names of files with their templates, the configuration first.
    files: &'static [(&'static str, &'static str)],
}

const fn kind(name: &'static str, checks: Checks, scope: Scope) -> Kind {
    Kind { name, checks, scope, programs: &[], command: "", files: &[] }
}

/// What may follow the name of a build: other settings than the defaults.
const VARIANTS: [&str; 4] = ["direct", "pingora", "quiet", "traced"];

/// With `traced`, nothing listens for the spans: the cost is that of making spans, and of losing them.
static GATEWAY: Kind = Kind {
    command: "{% if variant == 'traced' %}env OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9 \
              OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0.01 {% endif %}\
              {{ gateway }} run -c {{ file }}",
    files: &[("yaml", include_str!("peers/gateway.yaml"))],
    ..kind("gateway", Checks::All, Scope::Everything)
};

const NGINX_COMMAND: &str = "{{ programs.nginx }} -e stderr -c {{ file }}";

/// All peers except builds of the gateway, in the order of the tables.
static KINDS: [Kind; 10] = [
    Kind {
        command: "{{ bench }} bare {{ address }} {{ origin }}",
        ..kind("bare", Checks::Nothing, Scope::OneThread)
    },
    Kind {
        programs: &[&HAPROXY],
        command: "{{ programs.haproxy }} -db -f {{ file }}",
        files: &[("cfg", include_str!("peers/haproxy.cfg"))],
        ..kind("haproxy", Checks::All, Scope::Everything)
    },
    Kind {
        programs: &[&NGINX, &NJS],
        command: NGINX_COMMAND,
        files: &[
            ("conf", include_str!("peers/nginx-njs.conf")),
            ("nginx-njs.js", include_str!("peers/nginx-njs.js")),
        ],
        ..kind("nginx-njs", Checks::All, Scope::Everything)
    },
    Kind {
        programs: &[&NGINX],
        command: NGINX_COMMAND,
        files: &[("conf", include_str!("peers/nginx.conf"))],
        ..kind("nginx", Checks::Nothing, Scope::Clear)
    },
    Kind {
        programs: &[&ENVOY],
        command: "{{ programs.envoy }} --disable-hot-restart -l error --concurrency {{ setup.threads }} -c {{ file }}",
        files: &[("yaml", include_str!("peers/envoy.yaml"))],
        ..kind("envoy", Checks::NoBinding, Scope::Clear)
    },
    Kind {
        programs: &[&WORKERD],
        command: "{{ programs.workerd }} serve {{ file }}",
        files: &[
            ("capnp", include_str!("peers/workerd.capnp")),
            ("worker.js", include_str!("peers/worker.js")),
        ],
        ..kind("workerd", Checks::All, Scope::OneThread)
    },
    Kind {
        programs: &[&OPENSSL],
        command: "{{ programs.openssl }} s_server -quiet -rev -groups {{ setup.tls.group }} -accept {{ address }} \
                  -cert {{ certificate.chain }} -key {{ certificate.key }}",
        ..kind("openssl", Checks::Nothing, Scope::Handshakes)
    },
    server("rustls"),
    server("rustls-ring"),
    server("tcp"),
];

/// A server of this program.
const fn server(name: &'static str) -> Kind {
    Kind {
        command: "{{ bench }} tls-server {{ name }} {{ address }} {{ certificate.chain }} {{ certificate.key }}",
        ..kind(name, Checks::Nothing, Scope::Handshakes)
    }
}

pub fn installed() -> impl Iterator<Item = &'static str> {
    let is_installed = |kind: &&Kind| kind.programs.iter().all(|program| program.path().is_ok());
    KINDS.iter().filter(is_installed).map(|kind| kind.name)
}

/// The peer that ratios refer to.
pub const REFERENCE: &str = "haproxy";

impl Peer {
    /// The peer with this name, or a build with its variant behind a colon.
    pub fn named(name: &str, builds: &[(String, PathBuf)]) -> Result<Self> {
        if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
            kind.programs.iter().try_for_each(|program| program.path().map(drop))?;
            return Ok(Self { name: name.into(), kind, build: None });
        }
        let (build, variant) = name.split_once(':').unwrap_or((name, ""));
        if !variant.is_empty() && !VARIANTS.contains(&variant) {
            return Err(format!("there is no variant {variant:?}; write {}", VARIANTS.join(", ")).into());
        }
        let program = match builds.iter().find(|(of, _)| of == build) {
            Some((_, program)) => program.clone(),
            None if build == "gateway" => gateway::build()?,
            None => return Err(format!("there is no peer {name:?}").into()),
        };
        Ok(Self { name: name.into(), kind: &GATEWAY, build: Some(program) })
    }

    pub fn is_gateway(&self) -> bool {
        self.build.is_some()
    }

    pub fn checks(&self) -> Checks {
        self.kind.checks
    }

    /// Whether the peer can do what the mode asks for, and whether the figures differ from the usual ones.
    pub fn has(&self, mode: &Mode) -> bool {
        let setup = mode.setup;
        let is_clear = setup.tls.is_none() && !matches!(mode.measure, Measure::Failover(_));
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
            && (!setup.verifies_messages || self.is_gateway())
    }
}

pub struct Running {
    pub peer: Peer,
    pub address: SocketAddr,
    pub process: Process,
    /// The memory of the process before the load.
    pub fresh_kib: f64,
}

impl Running {
    /// Starts `peer` on its cores before these addresses of the origin, and checks that it refuses what it must.
    pub fn start(peer: &Peer, setup: Setup, origins: &[SocketAddr], bench: &Bench) -> Result<Self> {
        let port = Port::reserve(Ipv4Addr::LOCALHOST)?;
        let address = port.address();
        let command = command(peer, setup, origins, address, bench)?;
        let mut process = bench.cores.for_peer(setup.threads, || Process::start(&peer.name, &command))??;
        process.await_listening(address)?;
        let mut running = Self { peer: peer.clone(), address, process, fresh_kib: 0.0 };
        if peer.kind.scope != Scope::Handshakes {
            checks::check(&running, setup, bench.certificate(setup))?;
        }
        running.fresh_kib = running.process.memory_kib() as f64;
        Ok(running)
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
    let first = origins.first().ok_or("the origin has no address")?;
    let path = |(name, _): &(&str, &str)| {
        let is_suffix = !name.contains('.');
        let prefix = if is_suffix { format!("{}-{}.", peer.name, address.port()) } else { String::new() };
        folder.join(prefix + name)
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
        setup,
        certificate => bench.certificate(setup),
        secret => SECRET,
        secret_base64 => secret_base64(),
        secret_base64url => URL_SAFE_NO_PAD.encode(SECRET),
        gateway => peer.build,
        variant => peer.name.split_once(':').map(|(_, variant)| variant),
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
