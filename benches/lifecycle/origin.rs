//! The origin: answers with the target, and counts how often each request arrives.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::DEADLINE;

/// Bytes of half a download and half an upload.
pub const HALF: usize = 300_000;

pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// By client: how often each of its requests has arrived.
    arrived: Mutex<HashMap<usize, Arc<Mutex<Vec<u8>>>>>,
    /// The downloads of which the second half may be sent are those before this one.
    open: Mutex<usize>,
    opened: Condvar,
}

impl Origin {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        thread::spawn({
            let shared = shared.clone();
            move || {
                for stream in listener.incoming().flatten() {
                    let shared = shared.clone();
                    thread::spawn(move || shared.converse(stream));
                }
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often each request of this client has arrived.
    pub fn arrived(&self, client: usize) -> Vec<u8> {
        self.shared.client(client).lock().expect("no panic").clone()
    }

    /// Lets the download of this number, and those before, go on.
    pub fn open(&self, number: usize) {
        *self.shared.open.lock().expect("no panic") = number + 1;
        self.shared.opened.notify_all();
    }
}

impl Shared {
    fn client(&self, number: usize) -> Arc<Mutex<Vec<u8>>> {
        self.arrived.lock().expect("no panic").entry(number).or_default().clone()
    }

    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut request, mut buffer) = (Vec::new(), [0; 8192]);
        let mut client = None;
        loop {
            request.clear();
            let end = loop {
                if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
                    break end + 4;
                }
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => request.extend_from_slice(&buffer[..count]),
                }
            };
            let head = String::from_utf8_lossy(&request[..end]).into_owned();
            let target = head.split(' ').nth(1).unwrap_or_default();
            let parts: Vec<&str> = target.split('/').collect();
            match parts[1..] {
                ["r", number, count] => {
                    let (number, count): (usize, usize) =
                        (number.parse().map_err(io::Error::other)?, count.parse().map_err(io::Error::other)?);
                    if client.as_ref().is_none_or(|(known, _)| *known != number) {
                        client = Some((number, self.client(number)));
                    }
                    if let Some((_, arrived)) = &client {
                        let mut arrived = arrived.lock().expect("no panic");
                        if arrived.len() <= count {
                            arrived.resize(count + 1, 0);
                        }
                        arrived[count] += 1;
                    }
                    answer(&mut stream, target)?;
                }
                ["download", number] => {
                    self.download(&mut stream, number.parse().map_err(io::Error::other)?)?
                }
                ["upload"] => {
                    let mut rest = 2 * HALF - (request.len() - end);
                    while rest > 0 {
                        match stream.read(&mut buffer)? {
                            0 => return Ok(()),
                            count => rest -= count,
                        }
                    }
                    answer(&mut stream, target)?;
                }
                ["tunnel"] => return tunnel(&mut stream, &mut buffer),
                _ => return Ok(()),
            }
        }
    }

    fn download(&self, stream: &mut TcpStream, number: usize) -> io::Result<()> {
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * HALF).as_bytes())?;
        stream.write_all(&vec![b'a'; HALF])?;
        let open = self.open.lock().expect("no panic");
        let waited = self.opened.wait_timeout_while(open, DEADLINE, |open| *open <= number);
        drop(waited.expect("no panic"));
        stream.write_all(&vec![b'b'; HALF])
    }
}

fn answer(stream: &mut TcpStream, body: &str) -> io::Result<()> {
    let length = body.len();
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())
}

/// Sends back what comes.
fn tunnel(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )?;
    loop {
        match stream.read(buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}
