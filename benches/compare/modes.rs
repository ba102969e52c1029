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
    Memory,
}

/// How the peers are configured. Modes with the same setup share the running peers; what another
/// way to listen needs, such as TLS, is a field here and a value for the peers' templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub threads: usize,
    /// Whether a token must be bound to the Authorization header.
    pub binding: bool,
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

    pub fn shape(self) -> Shape {
        let usual = Shape {
            title: "an accepted request, answer of 270 bytes, 64 connections",
            setup: Setup { threads: 1, binding: true },
            measure: Measure::Closed,
            token: Kind::Valid,
            path: "/v1/posts/1?full=true",
            body: 0,
            connections: 64,
        };
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
                setup: Setup { threads: 1, binding: false },
                ..usual
            },
            Self::Threads2 => Shape {
                title: "accepted, two threads on two cores",
                setup: Setup { threads: 2, binding: true },
                ..usual
            },
            Self::Memory => Shape { title: "memory", measure: Measure::Memory, connections: 10_000, ..usual },
        }
    }
}
