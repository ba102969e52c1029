//! The record of an origin: requests, connections, handshakes.

use std::sync::{Condvar, Mutex};

use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};

use super::connection::Closer;
use crate::harness::wire::{split_head, values};

/// A request as it arrived at the origin.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Number of the connection, counted from 0.
    pub connection: usize,
    /// The bytes of the head.
    pub head: Vec<u8>,
    pub method: String,
    pub target: String,
    /// The header fields, in order.
    pub fields: Vec<(String, String)>,
    /// The part of the body that the script has read, without chunk sizes.
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Request {
    pub fn from_head(connection: usize, head: Vec<u8>) -> Self {
        let (line, fields) = split_head(&head);
        let (method, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let target = rest.strip_suffix(" HTTP/1.1").unwrap_or(rest);
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { connection, head, method, target, fields, ..Self::default() }
    }

    /// The values of a field, in the order of arrival.
    pub fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }
}

/// Everything that has happened at an origin so far.
#[derive(Default)]
pub struct Record {
    pub requests: Vec<Request>,
    pub connections: usize,
    /// Connections that the gateway or the script has closed.
    pub ended: usize,
    /// Bytes received on all connections, after decryption.
    pub bytes: u64,
    /// TLS handshakes that succeeded.
    pub handshakes: Vec<Handshake>,
}

/// The result of a TLS handshake.
#[derive(Clone, Debug)]
pub struct Handshake {
    pub kind: HandshakeKind,
    pub version: ProtocolVersion,
    /// `None` for a resumed session of TLS 1.2.
    pub group: Option<NamedGroup>,
    pub server_name: Option<String>,
    /// Whether the gateway has sent a certificate, in this handshake or in the resumed session.
    pub has_client_certificate: bool,
}

#[derive(Default)]
pub struct Shared {
    pub record: Mutex<Record>,
    pub changed: Condvar,
    /// One for each connection; `None` once it is closed.
    pub closers: Mutex<Vec<Option<Closer>>>,
}

impl Shared {
    pub fn update<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let result = change(&mut self.record.lock().unwrap());
        self.changed.notify_all();
        result
    }
}
