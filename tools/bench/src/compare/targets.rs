//! Figures that the gateway has to reach, and whether it does.

use super::peers::Peer;
use super::table::{CPU, EACH_CONNECTION, EACH_REQUEST, Figure, P99, Table};
use crate::rig::{Result, Verdict};

/// Figures that are measured together.
pub struct Preset {
    pub peers: &'static [&'static str],
    targets: &'static [Target],
}

enum To {
    /// The same rounds of another peer.
    Peer(&'static str),
    Mode(&'static str),
    Nothing,
}

struct Target {
    mode: &'static str,
    figure: Figure,
    to: To,
    /// The highest value of a plain and of a profile-guided build.
    most: [f64; 2],
    /// The peer that has to reach it; all builds of the gateway if `None`.
    only: Option<&'static str>,
}

const fn target(mode: &'static str, figure: Figure, to: To, most: [f64; 2]) -> Target {
    Target { mode, figure, to, most, only: None }
}

/// A cost of the peer `only` above another one.
const fn cost(mode: &'static str, only: &'static str, other: &'static str, most: f64) -> Target {
    Target { only: Some(only), ..target(mode, CPU, To::Peer(other), [most; 2]) }
}

/// `--targets`. `--peers` adds others, such as `gateway-pgo:direct`.
pub static TARGETS: Preset = Preset {
    peers: &["gateway:direct", "gateway:pingora", "haproxy", "nginx"],
    targets: &[
        target("accepted", CPU, To::Peer("haproxy"), [0.85, 0.75]),
        target("connections-1000", CPU, To::Peer("haproxy"), [0.85, 0.75]),
        target("in-flight-3000", CPU, To::Peer("haproxy"), [0.85, 0.80]),
        target("post-16k", CPU, To::Peer("haproxy"), [0.95, 0.90]),
        target("tls-h2-streams", CPU, To::Peer("haproxy"), [1.20, 1.00]),
        target("refused", CPU, To::Peer("haproxy"), [0.70, 0.60]),
        target("connections-1000", CPU, To::Peer("nginx"), [1.30, 1.10]),
        target("latency-80", P99, To::Peer("haproxy"), [1.00, 1.00]),
        target("threads-2", CPU, To::Mode("accepted"), [1.10, 1.10]),
        target("in-flight-1000", EACH_REQUEST, To::Nothing, [8.0, 8.0]),
        target("slow-readers", EACH_CONNECTION, To::Nothing, [64.0, 64.0]),
    ],
};

/// `--cost`: access log and request id against neither, tracing of 1 % against none. Metrics and the trace
/// context cannot be switched off: `cargo bench --bench instructions` counts them.
pub static COST: Preset = Preset {
    peers: &["gateway:quiet", "gateway", "gateway:traced"],
    targets: &[
        cost("accepted", "gateway", "gateway:quiet", 1.05),
        cost("accepted", "gateway:traced", "gateway", 1.02),
        cost("refused", "gateway", "gateway:quiet", 1.05),
        cost("refused", "gateway:traced", "gateway", 1.02),
    ],
};

impl Target {
    fn name(&self) -> String {
        let (mode, figure) = (self.mode, self.figure.name);
        match self.to {
            To::Peer(other) | To::Mode(other) => format!("{mode}: {figure}, to {other}"),
            To::Nothing => format!("{mode}: KiB, {figure}"),
        }
    }

    fn is_for(&self, peer: &Peer) -> bool {
        self.only.map_or(peer.is_gateway(), |only| peer.name == only)
    }

    /// The value of the peer with this name; `None` if it was not measured.
    fn value(&self, tables: &[Table], name: &str) -> Option<f64> {
        let table = |mode| tables.iter().find(|table| table.mode.name == mode);
        let row = table(self.mode)?.row(name)?;
        Some(match self.to {
            To::Peer(peer) => row.ratio(table(self.mode)?.row(peer)?, self.figure),
            To::Mode(mode) => row.value(self.figure) / table(mode)?.row(name)?.value(self.figure),
            To::Nothing => row.value(self.figure),
        })
    }
}

impl Preset {
    pub fn modes(&self) -> impl Iterator<Item = &'static str> {
        self.targets.iter().map(|target| target.mode)
    }

    /// Prints and judges each figure of the gateway's builds. Lower is better.
    pub fn judge(&self, tables: &[Table], peers: &[Peer]) -> Result<()> {
        let mut verdict = Verdict::default();
        println!("\n       {:44} {:20} {:>8} {:>8}", "lower is better", "", "value", "at most");
        for target in self.targets {
            for peer in peers.iter().filter(|peer| target.is_for(peer)) {
                let most = target.most[usize::from(peer.name.starts_with("gateway-pgo"))];
                let value = target.value(tables, &peer.name).unwrap_or(f64::NAN);
                let line = format!("{:44} {:20} {value:>8.3} {most:>8.2}", target.name(), peer.name);
                if peer.name.ends_with(":pingora") {
                    // Pingora's exchange is shown for comparison.
                    println!("       {line}");
                } else {
                    verdict.expect(value <= most, line);
                }
            }
        }
        verdict.judge()
    }
}
