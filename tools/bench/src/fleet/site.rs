//! Three gateways behind HAProxy, with one Redis and one origin.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::network::Network;
use crate::origin::Origin;
use crate::rig::token::secret_base64;
use crate::rig::{Folder, Gateway, Port, Process, Result, gateway, poll};

pub const NODES: usize = 3;

/// The limit of each device, and its burst.
pub const RATE: u32 = 20;
pub const BURST: u32 = 20;

/// The time between two syncs.
pub const SYNC: Duration = Duration::from_millis(500);

/// The failed verifications that lead to a ban.
pub const FAILURES: usize = 20;

/// The token of the admin listeners.
pub const ADMIN_TOKEN: &str = "the-token-of-a-benchmark";

/// The time that any step may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Site {
    pub nodes: Vec<Gateway>,
    balancer: Option<Process>,
    store: Option<Process>,
    pub origin: Origin,
    binary: PathBuf,
    folder: Folder,
    network: Network,
    /// Ports of the balancer, the store, the gateways and their admin listeners.
    ports: [Port; 4],
}

impl Site {
    /// Starts everything, and waits until the balancer sends requests to all nodes.
    pub fn start(binary: PathBuf) -> Result<Self> {
        let (folder, network) = (Folder::new()?, Network::build());
        let hub = network.hub();
        let ports = [Port::reserve(hub)?, Port::reserve(hub)?, Port::reserve(hub)?, Port::reserve(hub)?];
        let origin = Origin::start(hub)?;
        let mut site =
            Self { nodes: Vec::new(), balancer: None, store: None, origin, binary, folder, network, ports };
        for (name, secret) in [("admin-token", ADMIN_TOKEN.to_owned()), ("fleet-key", secret_base64())] {
            let file = site.folder.write(name, secret)?;
            fs::set_permissions(file, Permissions::from_mode(0o600))?;
        }
        site.start_store()?;
        for node in 0..NODES {
            site.folder.write(&format!("{node}.yaml"), site.config(node, true))?;
            let started = site.start_node(node)?;
            site.nodes.push(started);
        }
        site.start_balancer()?;
        site.await_agreement(true)?;
        Ok(site)
    }

    pub fn balancer(&self) -> SocketAddr {
        self.ports[0].address()
    }

    pub fn store(&self) -> SocketAddr {
        self.ports[1].address()
    }

    /// The configuration of a node, with or without the store.
    fn config(&self, node: usize, has_store: bool) -> String {
        let (address, file) = (self.network.node(node), |name: &str| self.folder.path().join(name));
        let [_, _, public, admin] = self.ports.each_ref().map(|port| port.address().port());
        let mut config = gateway::config(self.origin.address);
        config["server"]["upgrade_sock"] = json!(file(&format!("{node}.sock")));
        config["listeners"][0] = json!({
            "address": format!("{address}:{public}"),
            "trusted_proxies": { "ranges": ["127.0.0.0/8", "198.18.77.0/24"] },
        });
        config["admin"] =
            json!({ "address": format!("{address}:{admin}"), "token_file": file("admin-token") });
        config["limits"] = json!({
            "allow": [],
            "rate": [{ "by": "device", "rate": format!("{RATE}/s"), "burst": BURST }],
            "offenders": { "failures": FAILURES, "ban": "1h" },
        });
        if has_store {
            let (url, sync) = (format!("redis://{}", self.store()), format!("{}ms", SYNC.as_millis()));
            let store = json!({ "url": url, "sync": sync, "key_file": file("fleet-key") });
            config["fleet"] = json!({ "nodes": NODES, "store": store });
        }
        config.to_string()
    }

    /// Starts the gateway of a node, and waits until it serves.
    pub fn start_node(&self, node: usize) -> Result<Gateway> {
        Gateway::serving(self.start_process(node, &[])?)
    }

    fn start_process(&self, node: usize, arguments: &[&str]) -> Result<Process> {
        let file = self.folder.path().join(format!("{node}.yaml"));
        let mut command = gateway::command(&self.binary, &file);
        command.args(arguments);
        Process::start(&format!("node {node}"), &self.network.place(node, &command))
    }

    /// A gateway with the same configuration but without the store, in place of the one of this node.
    pub fn forget_store(&mut self, node: usize) -> Result<()> {
        self.folder.write(&format!("{node}.yaml"), self.config(node, false))?;
        self.replace(node)
    }

    /// Replaces the process of a node by a new one, which takes over the sockets.
    pub fn replace(&mut self, node: usize) -> Result<()> {
        let successor = self.start_process(node, &["--upgrade"])?;
        self.nodes[node].upgrade(successor)?.await_good_end()
    }

    /// Kills the gateway of a node, without a warning.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        self.nodes[node].process.signal(Signal::KILL)?;
        self.nodes[node].process.await_exit(PATIENCE).map(drop)
    }

    /// Cuts a node off from the others, or joins it again.
    pub fn cut(&self, node: usize, is_cut: bool) -> Result<()> {
        self.network.cut(node, &self.nodes[node].process, is_cut)
    }

    pub fn start_store(&mut self) -> Result<()> {
        let mut command = Command::new("redis-server");
        let address = self.store();
        let port = address.port().to_string();
        command.args(["--bind", &address.ip().to_string(), "--port", &port, "--protected-mode", "no"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(self.folder.path());
        let mut store = Process::start("Redis", &command)?;
        store.await_listening(address)?;
        self.store = Some(store);
        Ok(())
    }

    /// From now on the store runs only when nothing else does.
    pub fn store_runs_last(&self) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let mut command = Command::new("chrt");
        command.args(["--idle", "--pid", "0"]).arg(store.id().to_string());
        if command.status()?.success() { Ok(()) } else { Err("chrt failed".into()) }
    }

    /// Sends a signal to the store.
    pub fn signal_store(&self, signal: Signal) -> Result<()> {
        self.store.as_ref().map_or(Ok(()), |store| store.signal(signal))
    }

    fn start_balancer(&mut self) -> Result<()> {
        let [_, _, public, admin] = self.ports.each_ref().map(|port| port.address().port());
        let mut config = include_str!("haproxy.cfg").replace("@bind@", &self.balancer().to_string());
        for node in 0..NODES {
            let address = self.network.node(node);
            config += &format!("    server node-{node} {address}:{public} check port {admin}\n");
        }
        let file = self.folder.write("haproxy.cfg", config)?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file);
        let mut balancer = Process::start("HAProxy", &command)?;
        balancer.await_listening(self.balancer())?;
        self.balancer = Some(balancer);
        Ok(())
    }

    /// Waits until all nodes say that they are connected to the store, or that they are not.
    pub fn await_agreement(&self, is_connected: bool) -> Result<Duration> {
        let start = Instant::now();
        let agrees = |node: &Gateway| {
            Result::Ok((node.metric("approov_gateway_fleet_connected")? > 0) == is_connected)
        };
        let all = || {
            let agree: Vec<bool> = self.nodes.iter().map(agrees).collect::<Result<_>>()?;
            Ok(agree.into_iter().all(|agrees| agrees).then_some(start.elapsed()))
        };
        let took = poll(Duration::from_millis(10), PATIENCE, all)?;
        took.ok_or_else(|| format!("the nodes do not say that connected is {is_connected}").into())
    }
}
