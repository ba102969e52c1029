//! What all attackers have in common.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use approov_gateway::cli::token::Kind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::super::load::response::Response;
use super::super::origin::REFUSED;
use super::super::ticker::Ticker;
use super::super::{Result, sockets, tokens};
use super::tally::{Outcome, Tally};

/// For how long an attacker waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// At most so many attempts of a kind are under way, or attackers would need more descriptors than
/// there are.
const UNDER_WAY: usize = 1000;

pub struct Attack {
    pub gateway: SocketAddr,
    /// That of a genuine device, copied.
    pub good: String,
    pub wrong: String,
    tally: Arc<Tally>,
}

/// Numbers of addresses that have been used. They go on when attackers are replaced by others, since
/// the gateway goes on as well.
static ADDRESSES: AtomicU32 = AtomicU32::new(0);

impl Attack {
    pub fn new(gateway: SocketAddr, tally: Arc<Tally>) -> Result<Self> {
        let (good, wrong) = (tokens::token(Kind::Valid, 1 << 32)?, tokens::token(Kind::Invalid, 1 << 32)?);
        Ok(Self { gateway, good, wrong, tally })
    }

    pub fn count(&self, kind: &'static str, outcome: Outcome) {
        self.tally.count(kind, outcome);
    }

    /// A connection from an address of its own.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        sockets::connect(new_address(), self.gateway).await
    }

    /// A request that has to be refused.
    pub fn refused(&self, kind: &str, fields: &str) -> Vec<u8> {
        let wrong = &self.wrong;
        format!("GET {REFUSED}{kind} HTTP/1.1\r\nHost: a\r\n{fields}Approov-Token: {wrong}\r\n\r\n").into()
    }
}

/// An address that has not been used, of four million; honest clients have others.
pub fn new_address() -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f40_0001 + ADDRESSES.fetch_add(1, Ordering::Relaxed) % 0x3f_fff0)
}

/// Sends a request and waits for the answer.
pub async fn ask(stream: &mut TcpStream, request: &[u8]) -> Outcome {
    match timeout(PATIENCE, exchange(stream, request)).await {
        Ok(Ok(status)) => Outcome::Status(status),
        Ok(Err(error)) => Outcome::of(&error),
        Err(_) => Outcome::Ignored,
    }
}

async fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<u16> {
    // An answer may come before all is sent, and nobody reads the rest then.
    let sent = stream.write_all(request).await;
    let (mut response, mut buffer) = (Response::default(), [0; 2048]);
    loop {
        let count = match stream.read(&mut buffer).await? {
            0 => return Err(sent.err().unwrap_or(io::ErrorKind::UnexpectedEof.into())),
            count => count,
        };
        if response.feed(&buffer[..count]).map_err(|_| io::ErrorKind::InvalidData)? {
            return response.status().ok_or_else(|| io::ErrorKind::InvalidData.into());
        }
    }
}

/// Does `attempt` so often a second, each on its own.
pub async fn at_rate<F>(rate: u32, mut attempt: impl FnMut(usize) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let Ok(ticker) = Ticker::new(rate) else { return };
    let (mut number, under_way) = (0, Rc::new(Cell::new(0)));
    while let Ok(ticks) = ticker.tick().await {
        for _ in 0..ticks {
            if under_way.get() >= UNDER_WAY {
                continue;
            }
            under_way.set(under_way.get() + 1);
            let (attempt, under_way) = (attempt(number), under_way.clone());
            spawn_local(async move {
                attempt.await;
                under_way.set(under_way.get() - 1);
            });
            number += 1;
        }
    }
}
