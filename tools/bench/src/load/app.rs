//! A script of honest apps. Each request has a path of its own, and the answer has to be that path.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Http1, Http2, Request, Script, Target};
use crate::rig::Result;
use crate::rig::token::{Kind, token};

/// A request without an answer within this time is lost.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Kept connections. A request waits if all are busy, as in an app.
const KEPT: usize = 64;

/// Clients that speak HTTP/2, each over one connection.
const HTTP2: u64 = 8;

/// The length of a request body.
const BODY: usize = 2048;

/// The connection of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A connection that is kept for further requests.
    Kept,
    /// A connection that carries this request only.
    New,
    /// A connection with several requests at a time.
    Http2,
}

pub struct Apps {
    /// The gateway. Several can be asked in turn while the load runs.
    pub gateway: Box<dyn Fn() -> SocketAddr>,
    /// The path of the request with this number.
    pub path: fn(u64) -> String,
    /// The connections of the requests, in turn.
    pub wires: &'static [Wire],
    /// The number of paths: after the last one follows the first one.
    pub period: u64,
    /// The network of the clients' addresses.
    network: Ipv4Addr,
    /// The tokens of the requests, in turn.
    pub tokens: Vec<String>,
    room: Semaphore,
    /// The connection that was used longest ago comes next: none is idle for long.
    idle: RefCell<VecDeque<Http1>>,
    http2: Vec<Http2>,
}

impl Apps {
    /// Clients with addresses of this /24 network; with `0.0.0.0` the kernel chooses their addresses.
    pub fn new(
        gateway: SocketAddr,
        network: Ipv4Addr,
        path: fn(u64) -> String,
        wires: &'static [Wire],
    ) -> Self {
        let mut apps = Self {
            gateway: Box::new(move || gateway),
            path,
            wires,
            period: u64::MAX,
            network,
            tokens: (0..200).map(|device| token(Kind::Valid, device)).collect(),
            room: Semaphore::new(KEPT),
            idle: RefCell::default(),
            http2: Vec::new(),
        };
        let client = |number| Http2::new(Target::plain(gateway), Some(apps.address(number)));
        apps.http2 = (0..HTTP2).map(client).collect();
        apps
    }

    fn address(&self, number: u64) -> Ipv4Addr {
        if self.network.is_unspecified() {
            return self.network;
        }
        Ipv4Addr::from_bits(self.network.to_bits() + (number % 250) as u32 + 1)
    }

    async fn answer(&self, number: u64) -> io::Result<()> {
        let path = (self.path)(number % self.period);
        let wires = self.wires.len() as u64;
        // With several kinds of connections, a tenth of the requests of each kind has a body.
        let has_body = wires > 1 && (number / wires).is_multiple_of(10);
        let request = if has_body { Request::post(&path, BODY) } else { Request::get(&path) };
        let token = &self.tokens[number as usize % self.tokens.len()];
        let request = request.with("User-Agent", "app/1.0").with("Approov-Token", token);
        match self.wires[(number % wires) as usize] {
            Wire::Kept => {
                let _room = self.room.acquire().await.map_err(io::Error::other)?;
                let mut client = match self.kept() {
                    Some(client) => client,
                    None => self.connect(number).await?,
                };
                let answer = client.ask(&request.to_bytes()).await?;
                let closes = answer.closes();
                expect(answer.status(), answer.body(), &path)?;
                if !closes {
                    self.idle.borrow_mut().push_back(client);
                }
                Ok(())
            }
            Wire::New => {
                let mut client = self.connect(number).await?;
                let answer = client.ask(&request.with("Connection", "close").to_bytes()).await?;
                expect(answer.status(), answer.body(), &path)
            }
            Wire::Http2 => {
                let client = &self.http2[(number / wires % HTTP2) as usize];
                let (status, body) = client.ask(&client.head(&request)?, &request.body).await?;
                expect(status, &body, &path)
            }
        }
    }

    /// A kept connection that the gateway has not closed meanwhile.
    fn kept(&self) -> Option<Http1> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop_front()).find_map(|mut client| (!client.is_closed()).then_some(client))
    }

    async fn connect(&self, number: u64) -> io::Result<Http1> {
        let target = Target::plain((self.gateway)());
        Ok(Http1::open(&target, Some(self.address(number))).await?.with_body())
    }
}

impl Script for Apps {
    type Worker = ();

    async fn worker(&self, _: usize) -> Result<()> {
        Ok(())
    }

    async fn ask(&self, (): &mut (), number: u64) -> std::result::Result<(), String> {
        let answered = timeout(PATIENCE, self.answer(number)).await;
        let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        answered.map_err(|error| error.to_string())
    }
}

fn expect(status: u16, body: &[u8], path: &str) -> io::Result<()> {
    if status == 200 && body == path.as_bytes() {
        return Ok(());
    }
    let begin = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
    Err(io::Error::other(format!("answered {status} {begin:?}")))
}
