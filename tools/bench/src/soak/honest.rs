//! Honest clients: apps that ask at a steady rate.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::load::{Http1, Http2, Load, Pace, Request, Script, Target};
use crate::rig::Result;
use crate::rig::token::{Kind, token};

/// A request without an answer within this time is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests at a time.
const WORKERS: usize = 512;

/// Devices and addresses of the clients: far fewer than the attackers have.
const DEVICES: u64 = 200;
const ADDRESSES: u64 = 50;

/// Kept connections. A request waits if all are busy, as in an app.
const KEPT: usize = 64;

/// Clients that speak HTTP/2, each over one connection.
const HTTP2: usize = 8;

/// The length of a request body.
const BODY: usize = 2048;

pub struct Clients {
    target: Target,
    tokens: Vec<String>,
    room: Semaphore,
    idle: RefCell<Vec<Http1>>,
    http2: [Http2; HTTP2],
}

/// Starts honest clients that send `rate` requests a second.
pub fn start(gateway: SocketAddr, rate: u32) -> Result<Load> {
    Load::start(WORKERS, Pace::Open(rate.into()), 2 * PATIENCE, move || {
        let target = Target::plain(gateway);
        Ok(Clients {
            tokens: (0..DEVICES).map(|device| token(Kind::Valid, device)).collect(),
            room: Semaphore::new(KEPT),
            idle: RefCell::default(),
            http2: std::array::from_fn(|number| Http2::new(target.clone(), Some(address(number as u64)))),
            target,
        })
    })
}

impl Script for Clients {
    type Worker = ();

    async fn worker(&self, _: usize) -> Result<()> {
        Ok(())
    }

    /// Of ten requests seven use kept connections, two new ones, and one HTTP/2. One of ten has a body.
    async fn ask(&self, (): &mut (), number: u64) -> std::result::Result<(), String> {
        let answered = timeout(PATIENCE, self.answer(number)).await;
        let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        answered.map_err(|error| format!("request {number}: {error}"))
    }
}

impl Clients {
    async fn answer(&self, number: u64) -> io::Result<()> {
        let path = format!("/honest/{number}");
        let token = &self.tokens[(number % DEVICES) as usize];
        let request =
            if (number / 10).is_multiple_of(10) { Request::post(&path, BODY) } else { Request::get(&path) };
        let request = request.with("User-Agent", "app/1.0").with("Approov-Token", token);
        match number % 10 {
            0..7 => {
                let _room = self.room.acquire().await.map_err(io::Error::other)?;
                let mut client = match self.kept() {
                    Some(client) => client,
                    None => self.connect(number).await?,
                };
                let answer = client.ask(&request.to_bytes()).await?;
                let closes = answer.closes();
                expect(answer.status(), answer.body(), &path)?;
                if !closes {
                    self.idle.borrow_mut().push(client);
                }
                Ok(())
            }
            7 | 8 => {
                let mut client = self.connect(number).await?;
                let answer = client.ask(&request.with("Connection", "close").to_bytes()).await?;
                expect(answer.status(), answer.body(), &path)
            }
            _ => {
                let client = &self.http2[(number / 10) as usize % HTTP2];
                let (status, body) = client.ask(&client.head(&request)?, &request.body).await?;
                expect(status, &body, &path)
            }
        }
    }

    /// A kept connection that the gateway has not closed meanwhile.
    fn kept(&self) -> Option<Http1> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop()).find_map(|mut client| (!client.is_closed()).then_some(client))
    }

    async fn connect(&self, number: u64) -> io::Result<Http1> {
        Ok(Http1::open(&self.target, Some(address(number))).await?.with_body())
    }
}

fn address(number: u64) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, 0, (number % ADDRESSES) as u8 + 1)
}

fn expect(status: u16, body: &[u8], path: &str) -> io::Result<()> {
    if status == 200 && body == path.as_bytes() {
        return Ok(());
    }
    Err(io::Error::other(format!("answered {status} {:?}", String::from_utf8_lossy(body))))
}
