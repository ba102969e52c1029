//! Clients that ask without a pause, each request with a path of its own.

use std::net::SocketAddr;

use crate::load::{Http1, Request, Script, Seen, Target};
use crate::origin::Log;
use crate::rig::Result;
use crate::rig::token::{Kind, token};

pub const CLIENTS: usize = 8;

/// Clients that keep their connections. The others open one for each request.
const KEEPERS: usize = 6;

pub struct Clients {
    target: Target,
    token: String,
}

impl Clients {
    pub fn new(address: SocketAddr) -> Self {
        Self { target: Target::plain(address), token: token(Kind::Valid, 0) }
    }
}

pub struct Client {
    number: usize,
    kept: Option<Http1>,
    asked: usize,
}

impl Script for Clients {
    type Worker = Client;

    async fn worker(&self, number: usize) -> Result<Client> {
        Ok(Client { number, kept: None, asked: 0 })
    }

    async fn ask(&self, worker: &mut Client, _: u64) -> std::result::Result<(), String> {
        let path = format!("/r/{}/{}", worker.number, worker.asked);
        worker.asked += 1;
        let mut request = Request::get(&path).with("Approov-Token", &self.token);
        if worker.number >= KEEPERS {
            request = request.with("Connection", "close");
        }
        let failed = |error: std::io::Error| format!("{path}: {error}");
        let mut client = match worker.kept.take() {
            Some(client) => client,
            None => Http1::open(&self.target, None).await.map_err(failed)?.with_body(),
        };
        let answer = client.ask(&request.to_bytes()).await.map_err(failed)?;
        if answer.status() != 200 || answer.body() != path.as_bytes() {
            return Err(format!("{path}: answered {}", answer.status()));
        }
        let closes = answer.closes();
        worker.kept = (!closes).then_some(client);
        Ok(())
    }
}

/// The requests that did not arrive at the origin exactly once.
pub fn not_exactly_once(seen: &Seen, log: &Log) -> Vec<String> {
    let mut failures = Vec::new();
    let mut arrived = 0;
    for client in 0..CLIENTS {
        for (request, times) in log.arrived(client).into_iter().enumerate() {
            arrived += 1;
            if times != 1 {
                failures.push(format!("/r/{client}/{request} arrived {times} times"));
            }
        }
    }
    if arrived < seen.asked {
        failures.push(format!("{arrived} of {} requests arrived", seen.asked));
    }
    failures
}
