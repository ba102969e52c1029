//! Connections that have sent a request and are kept.

use super::super::Failure;
use super::super::requests::Request;
use super::{Stream, Target, ask};

/// Opens the connections of `target`, each with one request answered, as many as the peer takes.
pub fn hold(target: Target<'_>, request: &Request) -> (Vec<Stream>, Option<Failure>) {
    let bytes = request.to_bytes();
    let mut connections = Vec::with_capacity(target.connections);
    while connections.len() < target.connections {
        match ask(target.address, target.tls, &bytes) {
            Ok((status, _, stream)) if status == request.status => connections.push(stream),
            Ok((status, ..)) => return (connections, Some(format!("got {status}").into())),
            Err(error) => return (connections, Some(error)),
        }
    }
    (connections, None)
}
