//! A download, an upload and a WebSocket that are in progress when an upgrade begins.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;
use crate::load::Request;
use crate::origin::{HALF, Log};
use crate::rig::Result;
use crate::rig::token::{Kind, token};

pub struct Slow {
    download: TcpStream,
    upload: TcpStream,
    tunnel: TcpStream,
}

impl Slow {
    /// Does the first half of each.
    pub fn begin(address: SocketAddr, number: usize) -> Result<Self> {
        let ask = |request: Request| -> Result<TcpStream> {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let bytes = request.with("Approov-Token", token(Kind::Valid, 0)).to_bytes();
            let body = bytes.len().min(HALF);
            stream.write_all(&bytes[..body])?;
            Ok(stream)
        };
        let mut download = ask(Request::get(format!("/download/{number}")))?;
        expect_status(&mut download, 200)?;
        expect_half(&mut download, b'a')?;
        let upload = ask(Request::post("/upload", 2 * HALF))?;
        let mut tunnel = ask(Request::get("/tunnel")
            .with("Connection", "Upgrade")
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Version", "13")
            .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="))?;
        expect_status(&mut tunnel, 101)?;
        echo(&mut tunnel, b"before")?;
        Ok(Self { download, upload, tunnel })
    }

    /// Does the second half of each.
    pub fn end(mut self, log: &Log, number: usize) -> Result<()> {
        echo(&mut self.tunnel, b"after")?;
        let whole =
            Request::post("/upload", 2 * HALF).with("Approov-Token", token(Kind::Valid, 0)).to_bytes();
        self.upload.write_all(&whole[HALF..])?;
        expect_status(&mut self.upload, 200)?;
        log.open(number);
        expect_half(&mut self.download, b'b')
    }
}

fn expect_status(stream: &mut TcpStream, status: u16) -> Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let is_it = head.starts_with(format!("HTTP/1.1 {status} ").as_bytes());
    if is_it { Ok(()) } else { Err(format!("not {status}: {}", String::from_utf8_lossy(&head)).into()) }
}

fn expect_half(stream: &mut TcpStream, byte: u8) -> Result<()> {
    let mut half = vec![0; HALF];
    stream.read_exact(&mut half)?;
    if half.iter().all(|other| *other == byte) { Ok(()) } else { Err("half a download differs".into()) }
}

fn echo(stream: &mut TcpStream, text: &[u8]) -> Result<()> {
    stream.write_all(text)?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back)?;
    if back == text { Ok(()) } else { Err("the tunnel sent back other bytes".into()) }
}
