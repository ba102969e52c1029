//! Connections that have sent a request and are kept.

use std::net::TcpStream;

use super::super::Result;
use super::super::requests::Request;
use super::{Target, ask};

/// Opens the connections of `target`, each with one request answered.
pub fn hold(target: Target, request: &Request) -> Result<Vec<TcpStream>> {
    let bytes = request.to_bytes();
    let one = |_| {
        let (status, _, stream) = ask(target.address, &bytes)?;
        if status == request.status { Ok(stream) } else { Err(format!("got {status}").into()) }
    };
    (0..target.connections).map(one).collect()
}
