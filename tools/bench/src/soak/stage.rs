//! The gateway of a scenario, with its origins and the reader of its log.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::origin::Origin;
use crate::rig::figures::show;
use crate::rig::{Cores, Folder, Gateway, Process, Result, Verdict, gateway, poll};

/// The grace period of the gateway, and how much later it may have ended.
const GRACE: Duration = Duration::from_secs(3);
const MARGIN: Duration = Duration::from_secs(2);

/// The time for connections to be made or to end.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Stage {
    pub gateway: Gateway,
    pub origin: Origin,
    log_stalls: Arc<AtomicBool>,
    _hostile_origin: Origin,
    _folder: Folder,
}

impl Stage {
    /// Starts the gateway with the defaults of a public listener, except for:
    /// - `allow: []`, since this machine is exempt by default and all addresses here are its own;
    /// - `h2c`, so that clients can speak HTTP/2 without the cost of TLS;
    /// - one thread, because the gateway has one core;
    /// - a short grace period, and a route to a hostile origin;
    /// - what `change` changes.
    pub fn set(binary: &Path, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let cores = Cores::assign()?;
        let start_origin = || Origin::start(Ipv4Addr::LOCALHOST);
        let (origin, hostile_origin, folder) = (start_origin()?, start_origin()?, Folder::new()?);
        let mut config = gateway::config(origin.address);
        config["server"]["grace_period"] = format!("{}s", GRACE.as_secs()).into();
        config["listeners"][0]["h2c"] = true.into();
        config["origins"]["hostile"] = json!({ "domain": format!("http://{}", hostile_origin.address) });
        config["routes"] = json!([
            { "path": "/hostile/", "policy": "protect", "origin": "hostile" },
            { "path": "/", "policy": "protect", "origin": "api" },
        ]);
        config["limits"] = json!({ "allow": [] });
        change(&mut config);
        let file = folder.write("gateway.yaml", config.to_string())?;
        let command = gateway::command(binary, &file);
        let start = || Process::start_with("the gateway", &command, Stdio::piped());
        let mut process = cores.for_peer(1, start)??;
        let log_stalls = Arc::new(AtomicBool::new(false));
        if let Some(mut log) = process.take_output() {
            let log_stalls = log_stalls.clone();
            thread::spawn(move || {
                let mut lines = vec![0; 64 << 10];
                loop {
                    if log_stalls.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(10));
                    } else if !log.read(&mut lines).is_ok_and(|count| count > 0) {
                        return;
                    }
                }
            });
        }
        let gateway = Gateway::serving(process)?;
        Ok(Self { gateway, origin, log_stalls, _hostile_origin: hostile_origin, _folder: folder })
    }

    /// Makes the reader of the access log stop or continue. The reader keeps the pipe open.
    pub fn stall_log(&self, stalls: bool) {
        self.log_stalls.store(stalls, Ordering::Relaxed);
    }

    /// Expects what every scenario promises.
    pub fn expect_peace(&self, verdict: &mut Verdict) {
        let wrongly = self.origin.log.wrongly_arrived.load(Ordering::Relaxed);
        verdict.expect(wrongly == 0, format!("{wrongly} refused requests arrived at the origin"));
        let panics = self.gateway.process.count_lines("panicked");
        verdict.expect(panics == 0, format!("{panics} requests panicked"));
    }

    /// Expects that `TERM` ends the gateway while the reader of its log does not read.
    pub fn expect_end(mut self, verdict: &mut Verdict) -> Result<()> {
        self.stall_log(true);
        let start = Instant::now();
        self.gateway.process.signal(Signal::TERM)?;
        let has_ended = self.gateway.process.await_exit(GRACE + MARGIN)?.is_some();
        let (took, most) = (show(start.elapsed()), show(GRACE + MARGIN));
        verdict.expect(has_ended, format!("with a stalled log, ended {took} after TERM, at most {most}"));
        Ok(())
    }

    /// Waits until the number of open connections is as wanted.
    pub fn await_connections(&self, is_wanted: impl Fn(u64) -> bool) -> Result<()> {
        let look = || Ok(is_wanted(self.gateway.metric("approov_gateway_connections")?).then_some(()));
        let looked = poll(Duration::from_millis(100), PATIENCE, look)?;
        looked.ok_or_else(|| format!("connections were not made or ended within {PATIENCE:?}").into())
    }
}
