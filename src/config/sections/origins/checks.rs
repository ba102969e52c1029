//! Origins compared with listeners and verified headers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use http::HeaderName;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::super::listeners::collide;
use super::NamedOrigin;
use crate::config::document::{Located, Report, quoted};
use crate::config::values::read_file;
use crate::origins::{Origin, Target};

/// Reports an origin that is a listener of the gateway: a request would be forwarded for ever.
pub fn check_loops(origins: &[NamedOrigin], listeners: &[Located<SocketAddr>], report: &Report) {
    for Located { value: origin, at } in origins.iter().filter_map(|named| named.origin.as_ref().ok()) {
        let sockets = origin.addresses.iter().filter_map(|address| match &address.target {
            Target::Socket(socket) => Some(*socket),
            Target::Name { host, port } if &**host == "localhost" => {
                Some((IpAddr::V4(Ipv4Addr::LOCALHOST), *port).into())
            }
            Target::Name { .. } | Target::Unix(_) => None,
        });
        for socket in sockets {
            let is_self = |listener: &&Located<SocketAddr>| {
                let any = listener.value.ip().is_unspecified();
                let is_here = listener.value == socket || (any && socket.ip().is_loopback());
                collide(listener.value, socket) && is_here
            };
            if let Some(listener) = listeners.iter().find(is_self) {
                let message = format!("the origin is the gateway's own listener {}", listener.value);
                report.problem(at, message, "name the protected API, or move one of them to another port");
            }
        }
    }
}

/// Reports a `secret_header` whose name has another meaning already. `taken` are the headers that have one.
pub fn check_secret_headers(origins: &[NamedOrigin], taken: &[HeaderName], report: &Report) {
    for Located { value: origin, at } in origins.iter().filter_map(|named| named.origin.as_ref().ok()) {
        if let Some(name) = names_of_secrets(origin).find(|name| taken.contains(name)) {
            let message = format!("{} has another meaning already", quoted(name.as_str()));
            report.problem(at, message, "choose another name for secret_header");
        }
    }
}

/// The headers that carry the secrets of origins.
pub fn secret_headers(origins: &[NamedOrigin]) -> impl Iterator<Item = &HeaderName> {
    let origins = origins.iter().filter_map(|named| named.origin.as_ref().ok());
    origins.flat_map(|origin| names_of_secrets(&origin.value))
}

fn names_of_secrets(origin: &Origin) -> impl Iterator<Item = &HeaderName> {
    let secrets = origin.secret_header.iter();
    secrets.flat_map(|secret| secret.next.iter().map(|(name, _)| name).chain([&secret.name]))
}

/// More than all authorities of the world take.
const MAX_AUTHORITIES: u64 = 16 * 1024 * 1024;

/// Reports a file of trusted authorities that an origin needs and that cannot be read.
pub fn check_authorities(origins: &[NamedOrigin], file: Option<&Located<PathBuf>>, report: &Report) {
    let needs_file = |origin: &NamedOrigin| {
        let tls = origin.origin.as_ref().ok().and_then(|origin| origin.value.tls.as_ref());
        tls.is_some_and(|tls| tls.roots.is_none())
    };
    let Some(file) = file.filter(|_| origins.iter().any(needs_file)) else { return };
    let Ok(pem) = read_file(file, MAX_AUTHORITIES, report) else { return };
    if !CertificateDer::pem_slice_iter(&pem).any(|certificate| certificate.is_ok()) {
        let message = format!("{} has no certificate", file.value.display());
        report.problem(&file.at, message, "name a file of certificates in PEM, or unset the variable");
    }
}
