//! The figures that the gateway has to reach, and whether it does.

use super::build::Build;
use super::peers::Peer;
use super::table::{CPU, EACH_CONNECTION, EACH_REQUEST, Figure, P99, Table};

/// What a figure is compared with.
enum To {
    /// The same rounds of another peer.
    Peer(&'static str),
    /// The same peer in another mode.
    Mode(&'static str),
    Nothing,
}

struct Target {
    mode: &'static str,
    figure: Figure,
    to: To,
    /// The highest value of a plain and of a profile-guided build.
    most: [f64; 2],
}

const fn target(mode: &'static str, figure: Figure, to: To, most: [f64; 2]) -> Target {
    Target { mode, figure, to, most }
}

const TARGETS: [Target; 11] = [
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
];

/// The peers of a run for the targets. `--peers` adds others, such as `gateway-pgo:direct`.
pub const PEERS: [&str; 4] = ["gateway:direct", "gateway:pingora", "haproxy", "nginx"];

/// The names of the modes of all targets.
pub fn modes() -> Vec<String> {
    TARGETS.iter().map(|target| target.mode.to_owned()).collect()
}

impl Target {
    fn name(&self) -> String {
        let (mode, figure) = (self.mode, self.figure.name);
        match self.to {
            To::Peer(other) | To::Mode(other) => format!("{mode}: {figure}, to {other}"),
            To::Nothing => format!("{mode}: KiB, {figure}"),
        }
    }

    /// The value of the peer with this name; `None` if it was not measured.
    fn value(&self, tables: &[Table], name: &str) -> Option<f64> {
        let table = |mode| tables.iter().find(|table| table.mode.name == mode);
        let row = table(self.mode)?.row(name)?;
        let value = match self.to {
            To::Peer(peer) => row.ratio(table(self.mode)?.row(peer)?, self.figure),
            To::Mode(mode) => row.value(self.figure) / table(mode)?.row(name)?.value(self.figure),
            To::Nothing => row.value(self.figure),
        };
        value.is_finite().then_some(value)
    }
}

/// Prints each target with the values of the gateway's builds. Lower is better.
pub fn print(tables: &[Table], peers: &[Peer]) {
    let builds: Vec<&Peer> = peers.iter().filter(|peer| peer.build.is_some()).collect();
    let names: String = builds.iter().map(|peer| format!(" {:>22}", peer.name)).collect();
    println!("\n{:44} {:>6} {:>6}{names}", "targets: at most", "plain", "guided");
    for target in &TARGETS {
        let cell = |peer: &&Peer| match target.value(tables, &peer.name) {
            None => format!(" {:>22}", "–"),
            Some(value) => {
                let is_reached = value
                    <= target.most[usize::from(peer.build.as_ref().is_some_and(Build::is_profile_guided))];
                format!(" {value:>14.2} {:>7}", if is_reached { "ok" } else { "MISSED" })
            }
        };
        let cells: String = builds.iter().map(cell).collect();
        println!("{:44} {:>6.2} {:>6.2}{cells}", target.name(), target.most[0], target.most[1]);
    }
}
