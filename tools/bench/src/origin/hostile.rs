//! Answers of an origin that is broken or hostile.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The delay of an answer that follows a complete answer.
const LATE: Duration = Duration::from_millis(20);

/// Answers that a client must not get as complete ones with status 200.
pub const MALFORMED: [&str; 3] = ["two-lengths", "unknown-coding", "short-answer"];

/// All answers. The good one may arrive over a pooled connection that holds a second answer.
pub const NAMES: [&str; 7] = [
    "two-lengths",
    "unknown-coding",
    "short-answer",
    "second-answer",
    "late-answer",
    "interim-storm",
    "good-answer",
];

/// Answers as `name` says, or well if it is another name. Returns whether the connection stays open.
pub async fn answer(stream: &mut TcpStream, name: &str, target: &str) -> io::Result<bool> {
    let (good, second) = (super::answer(target), super::answer("poison"));
    let ok = "HTTP/1.1 200 OK\r\n";
    let length = target.len();
    let bytes = match name {
        "two-lengths" => format!("{ok}Content-Length: {length}\r\nContent-Length: 2\r\n\r\n{target}"),
        "unknown-coding" => {
            format!("{ok}Transfer-Encoding: xchunked\r\n\r\n{length:x}\r\n{target}\r\n0\r\n\r\n")
        }
        "short-answer" => format!("{ok}Content-Length: {}\r\n\r\n{target}", length + 100),
        "second-answer" => good + &second,
        "interim-storm" => {
            "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n".repeat(2000) + &good
        }
        _ => good,
    };
    stream.write_all(bytes.as_bytes()).await?;
    if name == "late-answer" {
        // The connection is pooled by now.
        sleep(LATE).await;
        // Behind the next request nothing could tell it from the answer.
        if timeout(Duration::ZERO, stream.peek(&mut [0])).await.is_err() {
            stream.write_all(second.as_bytes()).await?;
        }
    }
    Ok(!MALFORMED.contains(&name))
}
