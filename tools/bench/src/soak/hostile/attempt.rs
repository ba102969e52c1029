//! One connection of an attacker.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use crate::load::{Http1, Kept, Target, status};

pub const PATIENCE: Duration = Duration::from_secs(5);

/// The outcome of a client that got the answer to another request.
pub const POISONED: &str = "poisoned";

/// The outcome of a client that got something else than an answer with a length.
pub const UNREADABLE: &str = "unreadable";

pub struct Attempt {
    /// The name in the table of outcomes.
    pub name: &'static str,
    pub from: Ipv4Addr,
    pub to: SocketAddr,
    pub opening: Vec<u8>,
    pub then: Then,
}

pub enum Then {
    /// The answer is awaited. If it has status 200, it must have this body.
    Answer(Option<String>),
    /// The answer is awaited, over the connection that the attacker keeps.
    AnswerKept,
    /// One byte a second is sent, until the gateway answers or closes.
    Drip,
    Sip,
    End(Duration),
}

impl Attempt {
    pub async fn run(self, kept: &mut Kept) -> String {
        self.go_on(kept).await.unwrap_or_else(|error| outcome(&error))
    }

    async fn go_on(self, kept: &mut Kept) -> io::Result<String> {
        let is_narrow = matches!(self.then, Then::Sip);
        let target = Target { is_narrow, ..Target::plain(self.to, self.from) };
        let mut buffer = [0; 512];
        match self.then {
            Then::AnswerKept => {
                let answer = timeout(PATIENCE, kept.ask(&target, &self.opening)).await??;
                return Ok(answer.status.to_string());
            }
            Then::Answer(body) => {
                let mut client = Http1::open(&target).await?;
                let answer = timeout(PATIENCE, client.ask(&self.opening)).await??;
                let is_other = |body: String| answer.body != body.as_bytes();
                let is_poisoned = answer.status == 200 && body.is_some_and(is_other);
                return Ok(if is_poisoned { POISONED.to_owned() } else { answer.status.to_string() });
            }
            Then::Drip => {
                let mut stream = target.connect().await?;
                stream.write_all(&self.opening).await?;
                loop {
                    match timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
                        Err(_) => stream.write_all(b"x").await?,
                        Ok(read) => {
                            let status = status(&buffer[..read?]);
                            return Ok(status.map_or("closed".to_owned(), |status| status.to_string()));
                        }
                    }
                }
            }
            Then::Sip => {
                let mut stream = target.connect().await?;
                stream.write_all(&self.opening).await?;
                while {
                    sleep(PATIENCE).await;
                    stream.read(&mut buffer).await? > 0
                } {}
            }
            Then::End(patience) => {
                let mut stream = target.connect().await?;
                let (mut reader, mut writer) = stream.split();
                // The gateway may end the connection at any byte.
                let send = async { drop(writer.write_all(&self.opening).await) };
                let receive = async {
                    while reader.read(&mut buffer).await? > 0 {}
                    io::Result::Ok(())
                };
                timeout(patience, async { tokio::join!(send, receive).1 }).await??;
            }
        }
        Ok("closed".to_owned())
    }
}

/// What became of a connection without an answer.
pub fn outcome(error: &io::Error) -> String {
    let outcome = match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed",
        io::ErrorKind::TimedOut => "ignored",
        io::ErrorKind::InvalidData => UNREADABLE,
        // The attacker had no port or descriptor left.
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => "not tried",
        _ if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => "not tried",
        _ => "reset",
    };
    outcome.to_owned()
}
