//! Connections that take their time.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::super::origin::LARGE;
use super::super::sockets;
use super::attack::{Attack, new_address};
use super::tally::Outcome;

/// What a slow connection is slow with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Head,
    Body,
    Reader,
    Silent,
}

/// They come one after another in this time, so that they do not all send in the same instant.
const RAMP: Duration = Duration::from_secs(5);

/// Keeps so many of them open; one that is cut off comes again, and a few more are there for the
/// moments in between.
pub fn hold(attack: Rc<Attack>, manner: Manner, count: u32) {
    let all = count + count / 50;
    for number in 0..all {
        let attack = attack.clone();
        spawn_local(async move {
            sleep(RAMP * number / all).await;
            loop {
                let start = Instant::now();
                let outcome = match connect(&attack, manner).await {
                    Ok(stream) => last(stream, manner, &attack).await,
                    Err(error) => Outcome::of(&error),
                };
                attack.count(manner.name(), outcome);
                // Whoever is cut off at once does not come again at once.
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
        }
    }

    fn opening(self, attack: &Attack) -> String {
        let good = &attack.good;
        let request = |line: &str| format!("{line} HTTP/1.1\r\nHost: a\r\nApproov-Token: {good}\r\n");
        match self {
            Self::Head => request("GET /refused/slow-head") + "X-Slow: ",
            Self::Body => request("POST /slow-body") + "Content-Length: 100000\r\n\r\n",
            Self::Reader => request(&format!("GET {LARGE}")) + "\r\n",
            Self::Silent => String::new(),
        }
    }
}

async fn connect(attack: &Attack, manner: Manner) -> io::Result<TcpStream> {
    match manner {
        Manner::Reader => sockets::connect_narrow(new_address(), attack.gateway).await,
        _ => attack.connect().await,
    }
}

/// Goes on until the gateway has had enough.
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
            Err(_) if manner == Manner::Silent => {}
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
