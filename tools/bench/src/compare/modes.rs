//! The modes: what a run measures, and how the peers are configured for it.

use clap::ValueEnum;

use crate::load::Request;
use crate::rig::certificate::KeyKind;
use crate::rig::token::{AUTHORIZATION, Kind, token};

macro_rules! modes {
    ($($mode:ident $name:literal $title:literal $change:expr;)*) => {
        /// A table of the report, in the order of a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
        pub enum Mode {
            $(#[value(name = $name)] $mode,)*
        }

        impl Mode {
            /// The name on the command line and in the results.
            pub fn name(self) -> &'static str {
                match self { $(Self::$mode => $name,)* }
            }

            pub fn shape(self) -> Shape {
                let (title, change): (_, fn(&mut Shape)) = match self { $(Self::$mode => ($title, $change),)* };
                let mut shape = Shape { title, ..Shape::USUAL };
                change(&mut shape);
                shape
            }
        }
    };
}

modes! {
    Accepted "accepted" "an accepted request, answer of 270 bytes, 64 connections" |_| ();
    Refused "refused" "a refused request: wrong signature" |shape| shape.token = Kind::Invalid;
    Response16k "response-16k" "an answer of 16 KiB" |shape| shape.path = "/v1/large/16k";
    Response1m "response-1m" "an answer of 1 MiB" |shape| shape.path = "/v1/large/1m";
    Post16k "post-16k" "a POST of 16 KiB" |shape| shape.body = 16 << 10;
    Connections1 "connections-1" "accepted, one connection" |shape| shape.connections = 1;
    Connections1000 "connections-1000" "accepted, 1 000 connections" |shape| shape.connections = 1000;
    Latency50 "latency-50" "open loop at half the highest rate of the reference" |shape| shape.measure = Measure::Open(0.5);
    Latency80 "latency-80" "open loop at 80 % of the highest rate of the reference" |shape| shape.measure = Measure::Open(0.8);
    NoBinding "no-binding" "accepted, the token verified without its binding" |shape| shape.setup.binding = false;
    Signed "signed" "accepted, with a message signature" |shape| shape.setup.verifies_messages = true;
    Threads2 "threads-2" "accepted, two threads on two cores" |shape| shape.setup.threads = 2;
    Tls "tls" "accepted, TLS 1.3 and HTTP/1.1, 64 connections" |shape| shape.setup.tls = Some(Tls::ANY);
    TlsH2 "tls-h2" "accepted, TLS 1.3 and HTTP/2, 64 connections" |shape| shape.http2(64, 1);
    TlsH2Streams "tls-h2-streams" "accepted, TLS 1.3 and HTTP/2, 8 connections of 8 streams" |shape| shape.http2(8, 8);
    InFlight1000 "in-flight-1000" "origin of 100 ms, 1 000 connections" |shape| shape.in_flight(1000);
    InFlight3000 "in-flight-3000" "origin of 100 ms, 3 000 connections" |shape| shape.in_flight(3000);
    InFlight5000 "in-flight-5000" "origin of 100 ms, 5 000 connections" |shape| shape.in_flight(5000);
    InFlight10000 "in-flight-10000" "origin of 100 ms, 10 000 connections" |shape| shape.in_flight(10_000);
    InFlightH21000 "in-flight-h2-1000" "origin of 100 ms, TLS 1.3 and HTTP/2, 125 connections of 8 streams" |shape| shape.in_flight_http2(125);
    InFlightH23000 "in-flight-h2-3000" "origin of 100 ms, TLS 1.3 and HTTP/2, 375 connections of 8 streams" |shape| shape.in_flight_http2(375);
    InFlightH25000 "in-flight-h2-5000" "origin of 100 ms, TLS 1.3 and HTTP/2, 625 connections of 8 streams" |shape| shape.in_flight_http2(625);
    InFlightH210000 "in-flight-h2-10000" "origin of 100 ms, TLS 1.3 and HTTP/2, 1 250 connections of 8 streams" |shape| shape.in_flight_http2(1250);
    Memory "memory" "memory of 10 000 idle connections" |shape| shape.hold(Held::Idle, 10_000);
    TlsMemory "tls-memory" "memory of 5 000 idle connections with TLS 1.3" |shape| {
        shape.setup.tls = Some(Tls::ANY);
        shape.hold(Held::Idle, 5000);
    };
    SlowReaders "slow-readers" "memory of 200 clients that read nothing of an answer of 8 MiB" |shape| {
        shape.path = "/v1/large/8m";
        shape.hold(Held::SlowReaders, 200);
    };
    Growth "growth" "memory after 100 thousand and after 10 million requests" |shape| shape.measure = Measure::Growth;
    Failover "failover" "one of three addresses is killed under load" |shape| {
        shape.setup.addresses = 3;
        shape.measure = Measure::Failover(Fault::Killed);
    };
    FailoverSilent "failover-silent" "one of three addresses stops answering under load" |shape| {
        shape.setup.addresses = 3;
        shape.measure = Measure::Failover(Fault::Stopped);
    };
}

/// What one mode sends, and to which setup.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
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

/// How the peers are configured. Modes with the same setup share running peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub threads: usize,
    /// Whether a token must be bound to the Authorization header.
    pub binding: bool,
    pub tls: Option<Tls>,
    /// The number of addresses of the origin.
    pub addresses: usize,
    /// Whether requests are signed (RFC 9421), and the signatures verified.
    pub verifies_messages: bool,
}

/// The versions, the key and the key exchange of a listener with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `1.2` or `1.3` alone; both if `None`.
    pub version: Option<&'static str>,
    pub key: KeyKind,
    pub group: Option<&'static str>,
}

/// How a mode measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// In closed loop.
    Closed,
    /// In open loop, at this share of the highest rate of the reference.
    Open(f64),
    /// Memory of connections that are held.
    Held(Held),
    /// Memory over many requests. Only on demand, since it takes minutes.
    Growth,
    /// Requests lost when one address of the origin fails.
    Failover(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Every connection has had one answer and is kept.
    Idle,
    /// Every connection has sent a request and reads nothing.
    SlowReaders,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed: exchanges break, and new connections are refused.
    Killed,
    /// The process is stopped: connections are accepted, and no answer comes.
    Stopped,
}

impl Tls {
    pub const ANY: Self = Self { version: None, key: KeyKind::Ecdsa, group: None };
}

impl Setup {
    pub const USUAL: Self =
        Self { threads: 1, binding: true, tls: None, addresses: 1, verifies_messages: false };
}

impl Shape {
    const USUAL: Self = Self {
        title: "",
        setup: Setup::USUAL,
        measure: Measure::Closed,
        token: Kind::Valid,
        path: "/v1/posts/1?full=true",
        body: 0,
        connections: 64,
        streams: None,
        is_in_flight: false,
    };

    fn http2(&mut self, connections: usize, streams: usize) {
        self.setup.tls = Some(Tls::ANY);
        (self.connections, self.streams) = (connections, Some(streams));
    }

    fn in_flight(&mut self, connections: usize) {
        (self.path, self.connections, self.is_in_flight) = ("/v1/slow", connections, true);
    }

    fn in_flight_http2(&mut self, connections: usize) {
        self.in_flight(connections);
        self.http2(connections, 8);
    }

    fn hold(&mut self, held: Held, connections: usize) {
        (self.measure, self.connections) = (Measure::Held(held), connections);
    }

    /// The number of requests at a time.
    pub fn workers(&self) -> usize {
        self.connections * self.streams.unwrap_or(1)
    }

    /// The request that the mode sends.
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

    /// The status of the expected answer.
    pub fn status(&self) -> u16 {
        if self.token == Kind::Valid { 200 } else { 401 }
    }
}
