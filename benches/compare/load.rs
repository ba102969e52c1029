//! The load: what it sends where, and what came of it.
//!
//! oha sends in closed loop, as it is what others quote. Open loop is our own: oha paces with a
//! timer of a millisecond and so sends in bursts, which would be all that its latencies show; it
//! speaks plain HTTP/1.1 only. Idle connections are ours too.

mod engine;
mod idle;
pub mod oha;
mod once;
mod response;

use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;

use super::Result;
use super::programs::{Program, Programs};
use super::requests::Request;
use super::tls::Certificate;

pub use idle::hold;
pub use once::{Stream, ask};

/// Where the requests go, and how.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub address: SocketAddr,
    /// What it shows, where it listens with TLS.
    pub tls: Option<&'a Certificate>,
    pub connections: usize,
    /// With HTTP/2, and how many requests at a time on one connection.
    pub streams: Option<usize>,
}

/// What sends in closed loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Generator {
    #[default]
    Oha,
    /// The engine of the open loop: cheaper, so that the peer rather than the load is the limit. What
    /// it cannot send, such as TLS, oha does.
    Own,
}

/// When the next request is due.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// When the last answer is in.
    Closed,
    /// At this rate a second, evenly, and latency counts from when a request was due.
    Open(f64),
}

/// What the load saw.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub requests: u64,
    pub elapsed: Duration,
    pub latencies: Percentiles,
    /// Whether all that was due in open loop was answered soon after the end.
    pub keeps_up: bool,
}

/// Latencies in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

/// Sends for `seconds` and fails where an answer is not the expected one.
pub fn run(
    generator: Generator,
    programs: &Programs,
    target: Target<'_>,
    request: &Request,
    pace: Pace,
    seconds: f64,
) -> Result<Seen> {
    match (generator, pace) {
        (Generator::Oha, Pace::Closed) => oha::run(programs.path(Program::Oha)?, target, request, seconds),
        _ if target.tls.is_some() => oha::run(programs.path(Program::Oha)?, target, request, seconds),
        _ => engine::run(target, request, pace, Duration::from_secs_f64(seconds)),
    }
}
