//! A script of honest apps. Each request has a path of its own, and the answer has to be that path.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::{Http1, Http2, Kept, Request, Script, Target};
use crate::rig::Result;
use crate::rig::token::{Kind, token};

/// A request without an answer within this time is lost.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Clients that speak HTTP/2, each over one connection.
const HTTP2: u64 = 8;

const BODY: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// The connection that the worker keeps for further requests.
    Kept,
    /// A connection that carries this request only.
    New,
    /// A connection with several requests at a time.
    Http2,
}

pub struct Apps {
    /// The gateway. Several can be asked in turn while the load runs.
    pub gateway: Box<dyn Fn() -> SocketAddr>,
    path: Box<dyn Fn(u64) -> String>,
    /// The connections of the requests, in turn.
    wires: &'static [Wire],
    network: Ipv4Addr,
    /// The tokens of the requests, in turn.
    pub tokens: Vec<String>,
    http2: Vec<Http2>,
}

impl Apps {
    /// Clients with addresses of this /24 network; with `0.0.0.0` the kernel chooses their addresses.
    pub fn new(
        gateway: SocketAddr,
        network: Ipv4Addr,
        path: impl Fn(u64) -> String + 'static,
        wires: &'static [Wire],
    ) -> Self {
        let tokens = (0..200).map(|device| token(Kind::Valid, device)).collect();
        let (gateway, path) = (Box::new(move || gateway), Box::new(path));
        let mut apps = Self { gateway, path, wires, network, tokens, http2: Vec::new() };
        apps.http2 = (0..HTTP2).map(|number| Http2::new(apps.target(number))).collect();
        apps
    }

    fn target(&self, number: u64) -> Target {
        let host = if self.network.is_unspecified() { 0 } else { (number % 250) as u32 + 1 };
        Target::plain((self.gateway)(), Ipv4Addr::from_bits(self.network.to_bits() + host))
    }

    async fn answer(&self, kept: &mut Kept, number: u64) -> io::Result<()> {
        let path = (self.path)(number);
        let wires = self.wires.len() as u64;
        // With several kinds of connections, a tenth of the requests of each kind has a body.
        let has_body = wires > 1 && (number / wires).is_multiple_of(10);
        let request = if has_body { Request::post(&path, BODY) } else { Request::get(&path) };
        let token = &self.tokens[number as usize % self.tokens.len()];
        let request = request.with("User-Agent", "app/1.0").with("Approov-Token", token);
        match self.wires[(number % wires) as usize] {
            Wire::Kept => {
                let answer = kept.ask(&self.target(number), &request.to_bytes()).await?;
                expect(answer.status, &answer.body, &path)
            }
            Wire::New => {
                let mut client = Http1::open(&self.target(number)).await?;
                let answer = client.ask(&request.with("Connection", "close").to_bytes()).await?;
                expect(answer.status, &answer.body, &path)
            }
            Wire::Http2 => {
                let client = &self.http2[(number / wires % HTTP2) as usize];
                let (status, body) = client.ask(&client.head(&request)?, &request.body).await?;
                expect(status, &body, &path)
            }
        }
    }
}

impl Script for Apps {
    type Worker = Kept;

    async fn worker(&self, _: usize) -> Result<Kept> {
        Ok(Kept::new(usize::MAX))
    }

    async fn ask(&self, kept: &mut Kept, number: u64) -> std::result::Result<(), String> {
        let answered = timeout(PATIENCE, self.answer(kept, number)).await;
        answered.unwrap_or_else(|late| Err(late.into())).map_err(|error| error.to_string())
    }
}

fn expect(status: u16, body: &[u8], path: &str) -> io::Result<()> {
    if status == 200 && body == path.as_bytes() {
        return Ok(());
    }
    let begin = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
    Err(io::Error::other(format!("answered {status} {begin:?}")))
}
