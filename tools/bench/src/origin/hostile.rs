//! Answers of an origin that is broken or hostile.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The delay of an answer that follows a complete answer.
const LATE: Duration = Duration::from_millis(20);

/// Interim answers before the final one.
const STORM: usize = 2000;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two lengths that contradict each other.
    TwoLengths,
    /// A transfer coding that does not exist.
    UnknownCoding,
    /// A second answer directly behind the first.
    SecondAnswer,
    /// A second answer 20 ms after the first, when the connection is pooled and no request has followed.
    LateAnswer,
    /// Two thousand interim answers before the final one.
    InterimStorm,
    /// Fewer bytes than `Content-Length` says, and then the end of the connection.
    ShortAnswer,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::TwoLengths,
        Self::UnknownCoding,
        Self::SecondAnswer,
        Self::LateAnswer,
        Self::InterimStorm,
        Self::ShortAnswer,
    ];

    /// The name in the path.
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoLengths => "two-lengths",
            Self::UnknownCoding => "unknown-coding",
            Self::SecondAnswer => "second-answer",
            Self::LateAnswer => "late-answer",
            Self::InterimStorm => "interim-storm",
            Self::ShortAnswer => "short-answer",
        }
    }

    /// Whether a client must not get a complete answer with status 200.
    pub fn is_malformed(self) -> bool {
        matches!(self, Self::TwoLengths | Self::UnknownCoding | Self::ShortAnswer)
    }
}

/// Answers as `kind` says; returns whether the connection stays open.
pub async fn answer(stream: &mut TcpStream, kind: &str, target: &str) -> io::Result<bool> {
    let good = String::from_utf8_lossy(&super::answer(target)).into_owned();
    let length = target.len();
    match Kind::ALL.into_iter().find(|known| known.name() == kind) {
        Some(Kind::TwoLengths) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Length: 2\r\n\r\n");
            stream.write_all((head + target).as_bytes()).await?;
            Ok(false)
        }
        Some(Kind::UnknownCoding) => {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n";
            stream.write_all(format!("{head}{length:x}\r\n{target}\r\n0\r\n\r\n").as_bytes()).await?;
            Ok(false)
        }
        Some(Kind::SecondAnswer) => {
            let second = super::answer("poison");
            stream.write_all(&[good.as_bytes(), &second].concat()).await?;
            Ok(true)
        }
        Some(Kind::LateAnswer) => {
            stream.write_all(good.as_bytes()).await?;
            sleep(LATE).await;
            // Behind the next request nothing could tell it from the answer.
            if timeout(Duration::ZERO, stream.peek(&mut [0])).await.is_err() {
                stream.write_all(&super::answer("poison")).await?;
            }
            Ok(true)
        }
        Some(Kind::InterimStorm) => {
            let interim = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
            stream.write_all((interim.repeat(STORM) + &good).as_bytes()).await?;
            Ok(true)
        }
        Some(Kind::ShortAnswer) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", length + 100);
            stream.write_all((head + target).as_bytes()).await?;
            Ok(false)
        }
        None => {
            stream.write_all(good.as_bytes()).await?;
            Ok(true)
        }
    }
}
