//! Connections that are slow, or silent.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::attack::Attack;
use super::tally::Outcome;
use crate::load::{connect, connect_narrow};

/// The way in which a connection is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// One byte of a header a second.
    Head,
    /// One byte of a body a second, with a valid token.
    Body,
    /// A large answer that is hardly read, with a valid token.
    Reader,
    Silent,
    /// Silent, at the admin listener.
    SilentAdmin,
}

/// The time over which the connections begin, so that they do not all send in the same instant.
const RAMP: Duration = Duration::from_secs(5);

/// Keeps `count` connections open. A connection that ends is replaced; a few more than `count` fill the
/// gaps.
pub fn hold(attack: Rc<Attack>, manner: Manner, count: u32) {
    let all = count + count / 50;
    for number in 0..all {
        let attack = attack.clone();
        spawn_local(async move {
            sleep(RAMP * number / all).await;
            loop {
                let start = Instant::now();
                let outcome = match open(&attack, manner).await {
                    Ok(stream) => last(stream, manner, &attack).await,
                    Err(error) => Outcome::of(&error),
                };
                attack.count(manner.name(), outcome);
                // At most one connection a second.
                sleep(Duration::from_secs(1).saturating_sub(start.elapsed())).await;
            }
        });
    }
}

impl Manner {
    fn name(self) -> &'static str {
        match self {
            Self::Head => "slow heads",
            Self::Body => "slow bodies",
            Self::Reader => "slow readers",
            Self::Silent => "silence",
            Self::SilentAdmin => "silent admin",
        }
    }

    fn opening(self, attack: &Attack) -> String {
        let valid = &attack.valid;
        let request = |line: &str| format!("{line} HTTP/1.1\r\nHost: a\r\nApproov-Token: {valid}\r\n");
        match self {
            Self::Head => request("GET /refused/slow-head") + "X-Slow: ",
            Self::Body => request("POST /slow-body") + "Content-Length: 100000\r\n\r\n",
            Self::Reader => request("GET /v1/large/8m") + "\r\n",
            Self::Silent | Self::SilentAdmin => String::new(),
        }
    }
}

async fn open(attack: &Attack, manner: Manner) -> io::Result<TcpStream> {
    match manner {
        Manner::Reader => connect_narrow(attack.address(), attack.gateway).await,
        Manner::SilentAdmin => connect(attack.address(), attack.admin).await,
        _ => attack.connect().await,
    }
}

/// Stays until the gateway ends the connection.
async fn last(mut stream: TcpStream, manner: Manner, attack: &Attack) -> Outcome {
    if let Err(error) = stream.write_all(manner.opening(attack).as_bytes()).await {
        return Outcome::of(&error);
    }
    let mut buffer = [0; 512];
    if manner == Manner::Reader {
        loop {
            sleep(Duration::from_secs(5)).await;
            match stream.read(&mut buffer).await {
                Ok(0) => return Outcome::Closed,
                Ok(_) => {}
                Err(error) => return Outcome::of(&error),
            }
        }
    }
    loop {
        match timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
            Ok(Ok(0)) => return Outcome::Closed,
            Ok(Ok(count)) => return status(&buffer[..count]),
            Ok(Err(error)) => return Outcome::of(&error),
            Err(_) if matches!(manner, Manner::Silent | Manner::SilentAdmin) => {}
            Err(_) => {
                if let Err(error) = stream.write_all(b"x").await {
                    return Outcome::of(&error);
                }
            }
        }
    }
}

fn status(answer: &[u8]) -> Outcome {
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.map_or(Outcome::Closed, Outcome::Status)
}
