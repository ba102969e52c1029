//! The figures that the gateway has to reach, and whether it does.

use super::modes::Mode;
use super::peers::Peer;
use super::table::{CPU, EACH_CONNECTION, EACH_REQUEST, Figure, P99, Table};

/// What a figure is compared with.
enum To {
    /// The same rounds of another peer.
    Peer(Peer),
    /// The same peer in another mode.
    Mode(Mode),
    Nothing,
}

struct Target {
    mode: Mode,
    figure: Figure,
    to: To,
    /// The highest value of a plain and of a profile-guided build.
    most: [f64; 2],
}

const fn target(mode: Mode, figure: Figure, to: To, plain: f64, guided: f64) -> Target {
    Target { mode, figure, to, most: [plain, guided] }
}

const TARGETS: [Target; 11] = [
    target(Mode::Accepted, CPU, To::Peer(Peer::Haproxy), 0.85, 0.75),
    target(Mode::Connections1000, CPU, To::Peer(Peer::Haproxy), 0.85, 0.75),
    target(Mode::InFlight3000, CPU, To::Peer(Peer::Haproxy), 0.85, 0.80),
    target(Mode::Post16k, CPU, To::Peer(Peer::Haproxy), 0.95, 0.90),
    target(Mode::TlsH2Streams, CPU, To::Peer(Peer::Haproxy), 1.20, 1.00),
    target(Mode::Refused, CPU, To::Peer(Peer::Haproxy), 0.70, 0.60),
    target(Mode::Connections1000, CPU, To::Peer(Peer::Nginx), 1.30, 1.10),
    target(Mode::Latency80, P99, To::Peer(Peer::Haproxy), 1.00, 1.00),
    target(Mode::Threads2, CPU, To::Mode(Mode::Accepted), 1.10, 1.10),
    target(Mode::InFlight1000, EACH_REQUEST, To::Nothing, 8.0, 8.0),
    target(Mode::SlowReaders, EACH_CONNECTION, To::Nothing, 64.0, 64.0),
];

/// The modes of all targets.
pub fn modes() -> Vec<Mode> {
    TARGETS.iter().map(|target| target.mode).collect()
}

impl Target {
    fn name(&self) -> String {
        let (mode, figure) = (self.mode.name(), self.figure.name);
        match &self.to {
            To::Peer(peer) => format!("{mode}: {figure}, to {}", peer.name()),
            To::Mode(other) => format!("{mode}: {figure}, to {}", other.name()),
            To::Nothing => format!("{mode}: KiB, {figure}"),
        }
    }

    /// The value of the peer with this name; `None` if it was not measured.
    fn value(&self, tables: &[Table], name: &str) -> Option<f64> {
        let table = |mode| tables.iter().find(|table| table.mode == mode);
        let row = table(self.mode)?.row(name)?;
        let value = match &self.to {
            To::Peer(peer) => row.ratio(table(self.mode)?.row(peer.name())?, self.figure),
            To::Mode(mode) => row.value(self.figure) / table(*mode)?.row(name)?.value(self.figure),
            To::Nothing => row.value(self.figure),
        };
        value.is_finite().then_some(value)
    }
}

/// Prints each target with the values of the gateway's builds. Lower is better.
pub fn print(tables: &[Table], peers: &[Peer]) {
    let builds: Vec<&Peer> = peers.iter().filter(|peer| matches!(peer, Peer::Gateway(_))).collect();
    let names: String = builds.iter().map(|peer| format!(" {:>22}", peer.name())).collect();
    println!("\n{:44} {:>6} {:>6}{names}", "targets: at most", "plain", "guided");
    for target in &TARGETS {
        let cell = |peer: &&Peer| match target.value(tables, peer.name()) {
            None => format!(" {:>22}", "–"),
            Some(value) => {
                let is_reached = value <= target.most[usize::from(peer.is_profile_guided())];
                format!(" {value:>14.2} {:>7}", if is_reached { "ok" } else { "MISSED" })
            }
        };
        let cells: String = builds.iter().map(cell).collect();
        println!("{:44} {:>6.2} {:>6.2}{cells}", target.name(), target.most[0], target.most[1]);
    }
}
