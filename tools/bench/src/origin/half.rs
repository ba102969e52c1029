//! Exchanges that an upgrade interrupts in the middle: a download and a tunnel.

use std::io;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// Bytes of half a download and of half an upload.
pub const HALF: usize = 300_000;

/// The time that the second half may be waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends the first half, waits until the download is opened, and sends the second half.
pub async fn download(
    stream: &mut TcpStream,
    number: usize,
    open: &mut watch::Receiver<usize>,
) -> io::Result<()> {
    stream.write_all(super::head(2 * HALF).as_bytes()).await?;
    stream.write_all(&vec![b'a'; HALF]).await?;
    let _ = timeout(PATIENCE, open.wait_for(|open| *open > number)).await;
    stream.write_all(&vec![b'b'; HALF]).await
}

/// Accepts a WebSocket handshake and sends back all bytes that follow.
pub async fn tunnel(stream: &mut TcpStream, head: &str) -> io::Result<()> {
    let key = super::field(head, "sec-websocket-key").unwrap_or_default();
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    let mut buffer = [0; 8192];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}
