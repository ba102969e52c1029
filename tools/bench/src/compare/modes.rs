//! The modes: what a run measures, and how the peers are configured for it.

use rustix::process::Signal;
use serde::Serialize;

use crate::load::Request;
use crate::rig::certificate::{KeyKind, Tls};
use crate::rig::token::{AUTHORIZATION, Kind, token};

/// A table of the report: what is sent, and to which setup.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// The name on the command line and in the results.
    pub name: &'static str,
    pub title: &'static str,
    pub setup: Setup,
    pub measure: Measure,
    pub token: Kind,
    pub path: &'static str,
    /// The length of the request body; a request with a body is a POST.
    pub body: usize,
    pub connections: usize,
    /// With HTTP/2: requests at a time on one connection.
    pub streams: Option<usize>,
    /// Whether memory is reported for each request in flight.
    pub is_in_flight: bool,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Setup {
    pub threads: usize,
    /// Whether a token must be bound to the Authorization header.
    pub binding: bool,
    pub tls: Option<Tls>,
    pub verifies_messages: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    Closed,
    /// In open loop, at this share of the highest rate of the reference.
    Open(f64),
    /// Memory of connections that have each had one answer.
    Idle,
    /// Memory of connections that have each sent a request and read nothing.
    SlowReaders,
    /// Memory over many requests.
    Growth,
    /// Requests lost when one address of the origin gets this signal. `KILL`: exchanges break, and new
    /// connections are refused. `STOP`: connections are accepted, and no answer comes.
    Failover(Signal),
    /// CPU time of connections with one request each.
    Handshakes,
}

pub const HYBRID: &str = "X25519MLKEM768";

/// All modes, in the order of a run.
pub const MODES: &[Mode] = &[
    ACCEPTED,
    Mode { token: Kind::Invalid, ..mode("refused", "a refused request: wrong signature") },
    Mode { path: "/v1/large/16", ..mode("response-16k", "an answer of 16 KiB") },
    Mode { path: "/v1/large/1024", ..mode("response-1m", "an answer of 1 MiB") },
    Mode { body: 16 << 10, ..mode("post-16k", "a POST of 16 KiB") },
    Mode { connections: 1, ..mode("connections-1", "accepted, one connection") },
    Mode { connections: 1000, ..mode("connections-1000", "accepted, 1 000 connections") },
    Mode { measure: Measure::Open(0.8), ..mode("latency-80", "80 % of the reference's highest rate") },
    with(Setup { binding: false, ..USUAL }, mode("no-binding", "the token verified without its binding")),
    with(Setup { verifies_messages: true, ..USUAL }, mode("signed", "accepted, with a message signature")),
    with(Setup { threads: 2, ..USUAL }, mode("threads-2", "accepted, two threads on two cores")),
    tls(mode("tls", "accepted, TLS 1.3 and HTTP/1.1, 64 connections")),
    http2(64, 1, mode("tls-h2", "accepted, TLS 1.3 and HTTP/2, 64 connections")),
    http2(8, 8, mode("tls-h2-streams", "accepted, TLS 1.3 and HTTP/2, 8 connections of 8 streams")),
    in_flight(1000, mode("in-flight-1000", "origin of 100 ms, 1 000 connections")),
    in_flight(3000, mode("in-flight-3000", "origin of 100 ms, 3 000 connections")),
    in_flight(5000, mode("in-flight-5000", "origin of 100 ms, 5 000 connections")),
    in_flight(10_000, mode("in-flight-10000", "origin of 100 ms, 10 000 connections")),
    in_flight(125, http2(125, 8, mode("in-flight-h2-1000", "the same, 125 connections of 8 streams"))),
    in_flight(625, http2(625, 8, mode("in-flight-h2-5000", "the same, 625 connections of 8 streams"))),
    in_flight(1250, http2(1250, 8, mode("in-flight-h2-10000", "the same, 1 250 connections of 8 streams"))),
    hold(Measure::Idle, 10_000, mode("memory", "memory of 10 000 idle connections")),
    hold(Measure::Idle, 5000, tls(mode("tls-memory", "memory of 5 000 idle connections with TLS 1.3"))),
    Mode {
        path: "/v1/large/8192",
        ..hold(Measure::SlowReaders, 200, mode("slow-readers", "200 clients that read nothing of 8 MiB"))
    },
    Mode { measure: Measure::Growth, ..mode("growth", "memory after 100 thousand and 10 million requests") },
    failover(Signal::KILL, mode("failover", "one of three addresses is killed under load")),
    failover(Signal::STOP, mode("failover-silent", "one of three addresses stops answering under load")),
    handshake("1.3", KeyKind::Ecdsa, HYBRID, mode("handshake-hybrid", "TLS 1.3, ECDSA P-256, hybrid group")),
    handshake("1.3", KeyKind::Ecdsa, "X25519", mode("handshake-x25519", "TLS 1.3, ECDSA P-256, X25519")),
    handshake("1.3", KeyKind::Rsa, "X25519", mode("handshake-rsa", "TLS 1.3, RSA 2048, X25519")),
    handshake("1.2", KeyKind::Ecdsa, "X25519", mode("handshake-tls12", "TLS 1.2, ECDSA P-256, X25519")),
];

/// The mode whose rate the open loops refer to.
pub const ACCEPTED: Mode = mode("accepted", "an accepted request, answer of 270 bytes, 64 connections");

pub const USUAL: Setup = Setup { threads: 1, binding: true, tls: None, verifies_messages: false };

const ANY_TLS: Tls = Tls { version: None, key: KeyKind::Ecdsa, group: None };

const fn mode(name: &'static str, title: &'static str) -> Mode {
    Mode {
        name,
        title,
        setup: USUAL,
        measure: Measure::Closed,
        token: Kind::Valid,
        path: "/v1/posts/1?full=true",
        body: 0,
        connections: 64,
        streams: None,
        is_in_flight: false,
    }
}

const fn with(setup: Setup, mode: Mode) -> Mode {
    Mode { setup, ..mode }
}

const fn tls(mode: Mode) -> Mode {
    with(Setup { tls: Some(ANY_TLS), ..USUAL }, mode)
}

const fn http2(connections: usize, streams: usize, mode: Mode) -> Mode {
    Mode { connections, streams: Some(streams), ..tls(mode) }
}

const fn in_flight(connections: usize, mode: Mode) -> Mode {
    Mode { path: "/v1/slow", connections, is_in_flight: true, ..mode }
}

const fn hold(measure: Measure, connections: usize, mode: Mode) -> Mode {
    Mode { measure, connections, ..mode }
}

const fn failover(signal: Signal, mode: Mode) -> Mode {
    Mode { measure: Measure::Failover(signal), ..mode }
}

const fn handshake(version: &'static str, key: KeyKind, group: &'static str, mode: Mode) -> Mode {
    let tls = Tls { version: Some(version), key, group: Some(group) };
    Mode { measure: Measure::Handshakes, ..with(Setup { tls: Some(tls), ..USUAL }, mode) }
}

impl Mode {
    pub fn workers(&self) -> usize {
        self.connections * self.streams.unwrap_or(1)
    }

    pub fn request(&self) -> Request {
        let request = match self.body {
            0 => Request::get(self.path),
            length => Request::post(self.path, length).with("Content-Type", "application/octet-stream"),
        };
        request
            .with("User-Agent", "app/1.0")
            .with("Accept", "application/json")
            .with("Accept-Encoding", "gzip")
            .with("Authorization", AUTHORIZATION)
            .with("Approov-Token", token(self.token, 0))
    }

    pub fn status(&self) -> u16 {
        if self.token == Kind::Valid { 200 } else { 401 }
    }
}
