//! Where the gateways run: each in a network namespace of its own, or all on loopback if this machine
//! does not allow that.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::site::NODES;
use crate::rig::{Process, Result};

/// The bridge that joins the namespaces, and the beginning of their names.
const NAME: &str = "agfleet";

/// The nodes, and the hub with the balancer, the store and the origin.
pub struct Network {
    has_namespaces: bool,
}

impl Network {
    /// Makes the namespaces, with addresses for benchmarks (RFC 2544).
    pub fn build() -> Self {
        let network = Self { has_namespaces: true };
        network.clear();
        let (hub, bridge) = (network.hub(), NAME);
        let mut steps = vec![
            format!("link add {bridge} type bridge"),
            format!("addr add {hub}/24 dev {bridge}"),
            format!("link set {bridge} up"),
        ];
        for node in 0..NODES {
            let (name, address) = (namespace(node), network.node(node));
            steps.extend([
                format!("netns add {name}"),
                format!("link add {name} type veth peer name eth0 netns {name}"),
                format!("link set {name} master {bridge} up"),
                format!("-n {name} addr add {address}/24 dev eth0"),
                format!("-n {name} link set eth0 up"),
                format!("-n {name} link set lo up"),
            ]);
        }
        if steps.iter().all(|step| ip(step)) {
            return network;
        }
        eprintln!(
            "no network namespaces here (root is needed): all on loopback, a node is cut off by SIGSTOP"
        );
        network.clear();
        Self { has_namespaces: false }
    }

    pub fn hub(&self) -> Ipv4Addr {
        self.address(1)
    }

    pub fn node(&self, node: usize) -> Ipv4Addr {
        self.address(11 + node as u8)
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        if self.has_namespaces { Ipv4Addr::new(198, 18, 77, last) } else { Ipv4Addr::new(127, 77, 0, last) }
    }

    /// The same command, run where this node is.
    pub fn place(&self, node: usize, inner: &Command) -> Command {
        let mut command = Command::new(if self.has_namespaces { "ip" } else { "env" });
        if self.has_namespaces {
            command.args(["netns", "exec", &namespace(node)]);
        }
        command.arg(inner.get_program()).args(inner.get_args());
        command
    }

    /// Cuts a node off, or joins it again.
    pub fn cut(&self, node: usize, process: &Process, is_cut: bool) -> Result<()> {
        if !self.has_namespaces {
            return process.signal(if is_cut { Signal::STOP } else { Signal::CONT });
        }
        let state = if is_cut { "down" } else { "up" };
        if ip(&format!("link set {} {state}", namespace(node))) { Ok(()) } else { Err("no link".into()) }
    }

    fn clear(&self) {
        for node in 0..NODES {
            ip(&format!("netns del {}", namespace(node)));
        }
        ip(&format!("link del {NAME}"));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.has_namespaces {
            self.clear();
        }
    }
}

fn namespace(node: usize) -> String {
    format!("{NAME}-{node}")
}

/// Runs `ip` with these arguments; returns whether it worked.
fn ip(arguments: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(arguments.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
