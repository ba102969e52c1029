//! One connection of an attacker.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::load::{Http1, connect, connect_narrow};

/// The time that an attacker waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// Makes the attempt and returns its outcome.
    pub async fn run(self) -> String {
        let stream = match &self.then {
            Then::Sip => connect_narrow(self.from, self.to).await,
            _ => connect(self.from, self.to).await,
        };
        let done = match stream {
            Ok(stream) => self.go_on(stream).await,
            Err(error) => Err(error),
        };
        done.unwrap_or_else(|error| outcome(&error))
    }

    async fn go_on(self, mut stream: TcpStream) -> io::Result<String> {
        let mut buffer = [0; 512];
        match self.then {
            Then::Answer(body) => {
                let mut client = Http1::over(Box::new(stream)).with_body();
                let answer = timeout(PATIENCE, client.ask(&self.opening)).await??;
                let is_other = |body: String| answer.body() != body.as_bytes();
                let is_poisoned = answer.status() == 200 && body.is_some_and(is_other);
                return Ok(if is_poisoned { POISONED.to_owned() } else { answer.status().to_string() });
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
            }
            Then::End(patience) => {
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

/// Sends a request and waits for the answer. Returns its status, or the outcome without one.
pub async fn ask(client: &mut Http1, request: &[u8]) -> Result<u16, String> {
    let answer = match timeout(PATIENCE, client.ask(request)).await {
        Ok(answer) => answer.map(|answer| answer.status()),
        Err(elapsed) => Err(elapsed.into()),
    };
    answer.map_err(|error| outcome(&error))
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

/// The outcome of a connection that ended with these bytes.
fn status(answer: &[u8]) -> String {
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    status.unwrap_or("closed").to_owned()
}
