//! What is measured: the modes, and what each asks of a peer.

use approov_gateway::cli::token::Kind;
use clap::ValueEnum;

/// One table of the report, in the order of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Mode {
    Accepted,
    Refused,
    #[value(name = "response-16k")]
    Response16k,
    #[value(name = "response-1m")]
    Response1m,
    #[value(name = "post-16k")]
    Post16k,
    #[value(name = "connections-1")]
    Connections1,
    #[value(name = "connections-1000")]
    Connections1000,
    #[value(name = "latency-50")]
    Latency50,
    #[value(name = "latency-80")]
    Latency80,
    NoBinding,
    #[value(name = "threads-2")]
    Threads2,
    Tls,
    #[value(name = "tls-h2")]
    TlsH2,
    #[value(name = "tls-h2-streams")]
    TlsH2Streams,
    Memory,
    TlsMemory,
    Failover,
    FailoverSilent,
}

/// How the peers are configured. Modes with the same setup share the running peers; what another
/// way to listen needs is a field here and a value for the peers' templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub threads: usize,
    /// Whether a token must be bound to the Authorization header.
    pub binding: bool,
    /// Whether they listen with TLS, for HTTP/1.1 and HTTP/2.
    pub tls: bool,
    /// How many addresses the origin has.
    pub addresses: usize,
}

/// How a mode measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// Every connection sends its next request when the answer is in.
    Closed,
    /// Requests come at this share of the reference's highest rate, whether answers are in or not.
    Open(f64),
    /// Idle connections are held.
    Memory,
    /// One of the origin's addresses goes, under load.
    Failover(Fault),
}

/// What happens to an address of the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its process is killed: what is under way breaks, new connections are refused.
    Killed,
    /// Its process is stopped: connections are accepted, and nothing is said.
    Stopped,
}

/// What a mode is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub title: &'static str,
    pub setup: Setup,
    pub measure: Measure,
    pub token: Kind,
    pub path: &'static str,
    /// Length of the request's body; with one it is a POST.
    pub body: usize,
    pub connections: usize,
    /// With HTTP/2, and how many requests at a time on one connection.
    pub streams: Option<usize>,
}

impl Mode {
    /// The name on the command line and in the results.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it needs to know how much the reference can take.
    pub fn needs_saturation(self) -> bool {
        matches!(self.shape().measure, Measure::Open(_))
    }

    /// Whether nothing but oha can send what it sends.
    pub fn needs_oha(self) -> bool {
        let shape = self.shape();
        shape.setup.tls || matches!(shape.measure, Measure::Failover(_))
    }

    pub fn shape(self) -> Shape {
        let usual = Shape {
            title: "an accepted request, answer of 270 bytes, 64 connections",
            setup: Setup { threads: 1, binding: true, tls: false, addresses: 1 },
            measure: Measure::Closed,
            token: Kind::Valid,
            path: "/v1/posts/1?full=true",
            body: 0,
            connections: 64,
            streams: None,
        };
        let tls = Setup { tls: true, ..usual.setup };
        let failover = Setup { addresses: 3, ..usual.setup };
        match self {
            Self::Accepted => usual,
            Self::Refused => {
                Shape { title: "a refused request: wrong signature", token: Kind::Invalid, ..usual }
            }
            Self::Response16k => Shape { title: "an answer of 16 KiB", path: "/v1/large/16k", ..usual },
            Self::Response1m => Shape { title: "an answer of 1 MiB", path: "/v1/large/1m", ..usual },
            Self::Post16k => Shape { title: "a POST of 16 KiB", body: 16 << 10, ..usual },
            Self::Connections1 => Shape { title: "accepted, one connection", connections: 1, ..usual },
            Self::Connections1000 => {
                Shape { title: "accepted, 1 000 connections", connections: 1000, ..usual }
            }
            Self::Latency50 => Shape {
                title: "open loop at half the reference's highest rate",
                measure: Measure::Open(0.5),
                ..usual
            },
            Self::Latency80 => Shape {
                title: "open loop at 80 % of the reference's highest rate",
                measure: Measure::Open(0.8),
                ..usual
            },
            Self::NoBinding => Shape {
                title: "accepted, the token alone verified, no binding",
                setup: Setup { binding: false, ..usual.setup },
                ..usual
            },
            Self::Threads2 => Shape {
                title: "accepted, two threads on two cores",
                setup: Setup { threads: 2, ..usual.setup },
                ..usual
            },
            Self::Tls => {
                Shape { title: "accepted, TLS 1.3 and HTTP/1.1, 64 connections", setup: tls, ..usual }
            }
            Self::TlsH2 => Shape {
                title: "accepted, TLS 1.3 and HTTP/2, 64 connections",
                setup: tls,
                streams: Some(1),
                ..usual
            },
            Self::TlsH2Streams => Shape {
                title: "accepted, TLS 1.3 and HTTP/2, 8 connections with 8 streams each",
                setup: tls,
                connections: 8,
                streams: Some(8),
                ..usual
            },
            Self::Memory => Shape { title: "memory", measure: Measure::Memory, connections: 10_000, ..usual },
            Self::TlsMemory => Shape {
                title: "memory, TLS 1.3",
                setup: tls,
                measure: Measure::Memory,
                connections: 5000,
                ..usual
            },
            Self::Failover => Shape {
                title: "one of three addresses is killed under load, and refuses connections",
                setup: failover,
                measure: Measure::Failover(Fault::Killed),
                ..usual
            },
            Self::FailoverSilent => Shape {
                title: "one of three addresses falls silent under load, and accepts connections",
                setup: failover,
                measure: Measure::Failover(Fault::Stopped),
                ..usual
            },
        }
    }
}
