//! A download, an upload and a WebSocket that are half done when an upgrade begins.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::load::{connect, token};
use super::origin::{HALF, Origin};

pub struct Slow {
    download: TcpStream,
    upload: TcpStream,
    tunnel: TcpStream,
}

impl Slow {
    /// Does the first half of each.
    pub fn begin(address: SocketAddr, number: usize) -> Self {
        let ask = |method: &str, target: &str, fields: &str| {
            let mut stream = connect(address).expect("a connection");
            let token = token();
            let head =
                format!("{method} {target} HTTP/1.1\r\nHost: a\r\nApproov-Token: {token}\r\n{fields}\r\n");
            stream.write_all(head.as_bytes()).expect("sent");
            stream
        };
        let mut download = ask("GET", &format!("/download/{number}"), "");
        assert!(head(&mut download).starts_with("HTTP/1.1 200"));
        body(&mut download, b'a');
        let mut upload = ask("POST", "/upload", &format!("Content-Length: {}\r\n", 2 * HALF));
        upload.write_all(&vec![b'u'; HALF]).expect("sent");
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let mut tunnel = ask("GET", "/tunnel", upgrade);
        assert!(head(&mut tunnel).starts_with("HTTP/1.1 101"));
        echo(&mut tunnel, b"before");
        Self { download, upload, tunnel }
    }

    /// Does the second half of each.
    pub fn end(mut self, origin: &Origin, number: usize) {
        echo(&mut self.tunnel, b"behind");
        self.upload.write_all(&vec![b'u'; HALF]).expect("sent");
        let answer = head(&mut self.upload);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        origin.open(number);
        body(&mut self.download, b'b');
    }
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn body(stream: &mut TcpStream, byte: u8) {
    let mut half = vec![0; HALF];
    stream.read_exact(&mut half).expect("half of a body");
    assert!(half.iter().all(|other| *other == byte));
}

fn echo(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).expect("sent");
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).expect("an echo");
    assert_eq!(back, text);
}
