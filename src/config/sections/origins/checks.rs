//! Origins compared with listeners and verified headers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::HeaderName;

use super::super::listeners::collide;
use super::NamedOrigin;
use crate::config::document::{Located, Report, quoted};
use crate::origins::Target;

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

/// Reports a header that the gateway both verifies and adds.
pub fn check_secret_headers(origins: &[NamedOrigin], verified: &[HeaderName], report: &Report) {
    for Located { value: origin, at } in origins.iter().filter_map(|named| named.origin.as_ref().ok()) {
        let Some(secret) = &origin.secret_header else { continue };
        let next = secret.next.iter().map(|(name, _)| name);
        if let Some(name) = next.chain([&secret.name]).find(|name| verified.contains(name)) {
            let message = format!("{} also carries what is verified", quoted(name.as_str()));
            report.problem(at, message, "choose another name for secret_header");
        }
    }
}
