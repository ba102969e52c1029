//! One connection of an attacker.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::tally::Outcome;
use crate::load::{Http1, connect, connect_narrow};

/// The time that an attacker waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Attempt {
    /// The name in the table of outcomes.
    pub name: &'static str,
    pub from: Ipv4Addr,
    pub to: SocketAddr,
    pub opening: Vec<u8>,
    pub then: Then,
}

/// What follows the opening.
pub enum Then {
    /// The answer is awaited. If it has status 200, it must have this body.
    Answer(Option<String>),
    /// One byte a second is sent, until the gateway answers or closes.
    Drip,
    /// The answer is hardly read.
    Sip,
    /// The end is awaited for so long.
    End(Duration),
}

impl Attempt {
    pub async fn run(self) -> Outcome {
        let outcome = match &self.then {
            Then::Sip => connect_narrow(self.from, self.to).await,
            _ => connect(self.from, self.to).await,
        };
        let done = match outcome {
            Ok(stream) => self.go_on(stream).await,
            Err(error) => Err(error),
        };
        done.unwrap_or_else(|error| Outcome::of(&error))
    }

    async fn go_on(self, mut stream: TcpStream) -> io::Result<Outcome> {
        let mut buffer = [0; 512];
        match self.then {
            Then::Answer(body) => {
                let mut client = Http1::over(Box::new(stream)).with_body();
                let outcome = ask(&mut client, &self.opening).await;
                let is_other = |body: String| client.answer().body() != body.as_bytes();
                let is_poisoned = outcome == Outcome::Status(200) && body.is_some_and(is_other);
                Ok(if is_poisoned { Outcome::Poisoned } else { outcome })
            }
            Then::Drip => {
                stream.write_all(&self.opening).await?;
                loop {
                    match timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
                        Ok(read) => return Ok(status(&buffer[..read?])),
                        Err(_) => stream.write_all(b"x").await?,
                    }
                }
            }
            Then::Sip => {
                stream.write_all(&self.opening).await?;
                while {
                    sleep(PATIENCE).await;
                    stream.read(&mut buffer).await? > 0
                } {}
                Ok(Outcome::Closed)
            }
            Then::End(patience) => {
                let (mut reader, mut writer) = stream.split();
                // The gateway may end the connection at any byte.
                let send = async { drop(writer.write_all(&self.opening).await) };
                let receive = async {
                    while reader.read(&mut buffer).await? > 0 {}
                    Ok(Outcome::Closed)
                };
                let both = async { tokio::join!(send, receive).1 };
                timeout(patience, both).await.unwrap_or(Ok(Outcome::Ignored))
            }
        }
    }
}

/// Sends a request and waits for the answer.
pub async fn ask(client: &mut Http1, request: &[u8]) -> Outcome {
    match timeout(PATIENCE, client.ask(request)).await {
        Ok(Ok(answer)) => Outcome::Status(answer.status()),
        Ok(Err(error)) => Outcome::of(&error),
        Err(_) => Outcome::Ignored,
    }
}

/// The outcome of a connection that ended with these bytes.
fn status(answer: &[u8]) -> Outcome {
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.map_or(Outcome::Closed, Outcome::Status)
}
