//! Bans and forgiveness across nodes, and what an observer of the store reads.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::GREEDY;
use super::site::{ADMIN_TOKEN, FAILURES, PATIENCE, Site};
use crate::load::{Request, status};
use crate::rig::gateway::converse;
use crate::rig::token::{Kind, token};
use crate::rig::{Result, poll};

/// The address that gets banned.
const ADDRESS: &str = "203.0.113.7";

/// Another device than those of the load.
const DEVICE: u64 = GREEDY + 1;

/// Bans the address at the first node, and forgives it at the last one. Returns how long it took until
/// all nodes refused the address, and until all nodes served it again.
pub fn ban_and_forgive(site: &Site) -> Result<[Duration; 2]> {
    let nodes: Vec<SocketAddr> = site.nodes.iter().map(|node| node.address).collect();
    for _ in 0..FAILURES {
        ask(nodes[0], &request(Kind::Invalid));
    }
    let banned = await_all(&nodes, |status| status != 200)?;
    let admin = site.nodes[nodes.len() - 1].admin;
    let forgive = format!(
        "DELETE /offenders/{ADDRESS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\
         Connection: close\r\n\r\n"
    );
    match ask(admin, forgive.as_bytes()) {
        200 => Ok([banned, await_all(&nodes, |status| status == 200)?]),
        status => Err(format!("DELETE /offenders answered {status}").into()),
    }
}

fn request(kind: Kind) -> Vec<u8> {
    let request = Request::get("/fleet/ban").with("X-Forwarded-For", ADDRESS).with("Connection", "close");
    request.with("Approov-Token", token(kind, DEVICE)).to_bytes()
}

/// Asks all nodes until each answers as wanted.
fn await_all(nodes: &[SocketAddr], is_wanted: impl Fn(u16) -> bool) -> Result<Duration> {
    let (start, bytes) = (Instant::now(), request(Kind::Valid));
    for node in nodes {
        // At most 20 requests a second, the rate of a device: its limit refuses none of them.
        let answers = || Ok(is_wanted(ask(*node, &bytes)).then_some(()));
        poll(Duration::from_millis(50), PATIENCE, answers)?
            .ok_or_else(|| format!("{node} did not learn of the ban or of its end"))?;
    }
    Ok(start.elapsed())
}

/// The status of the answer; 0 without an answer.
fn ask(to: SocketAddr, request: &[u8]) -> u16 {
    converse(to, request).ok().and_then(|answer| status(&answer)).unwrap_or_default()
}

/// Everything that the store is told, as `MONITOR` shows it.
pub struct Observer(JoinHandle<Vec<u8>>);

impl Observer {
    pub fn start(store: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(store)?;
        stream.write_all(b"MONITOR\r\n")?;
        Ok(Self(thread::spawn(move || {
            let mut seen = Vec::new();
            // The end of the store ends this with an error, or not.
            let _ = stream.read_to_end(&mut seen);
            seen
        })))
    }

    /// After the end of the store: the number of bytes, and what of an address, a device or a token they
    /// show in clear.
    pub fn finish(self) -> Result<(usize, Vec<&'static str>)> {
        let seen = self.0.join().map_err(|_| "the observer panicked")?;
        let tokens = [0, GREEDY, DEVICE].map(|device| token(Kind::Valid, device));
        let mut secrets = vec![("an address", ADDRESS.to_owned()), ("an address", "203.0.113".to_owned())];
        for (device, token) in [0, GREEDY, DEVICE].into_iter().zip(&tokens) {
            secrets.push(("a device", STANDARD.encode(u128::from(device).to_be_bytes())));
            secrets.extend(token.split('.').skip(1).map(|part| ("a token", part.to_owned())));
        }
        let shown = secrets.iter().filter(|(_, text)| memchr::memmem::find(&seen, text.as_bytes()).is_some());
        Ok((seen.len(), shown.map(|(what, _)| *what).collect()))
    }
}
