//! One connection at the origin.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use super::record::{Handshake, Request, Shared};
use super::{Exchange, Script, Then};
use crate::harness::wire::{Framing, Wire, framing};

/// Serves a connection on a thread of its own.
pub fn serve(
    stream: Box<dyn ReadWrite>,
    closer: Closer,
    tls: Option<Arc<ServerConfig>>,
    shared: &Arc<Shared>,
    script: &Arc<Script>,
) {
    let number = shared.update(|record| {
        record.connections += 1;
        record.connections - 1
    });
    shared.closers.lock().unwrap().push(Some(closer.try_clone()));
    let (shared, script) = (Arc::clone(shared), Arc::clone(script));
    thread::spawn(move || {
        let _ = converse(number, stream, &closer, tls, &shared, &*script);
        // These are the last copies of the socket: a reset is sent when they are dropped.
        shared.closers.lock().unwrap()[number] = None;
        drop(closer);
        shared.update(|record| record.ended += 1);
    });
}

/// Closes a connection while its thread is using it.
pub enum Closer {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Closer {
    fn try_clone(&self) -> Self {
        match self {
            Closer::Tcp(stream) => Closer::Tcp(stream.try_clone().unwrap()),
            Closer::Unix(stream) => Closer::Unix(stream.try_clone().unwrap()),
        }
    }

    pub fn close(&self) {
        // It may be closed already.
        let _ = match self {
            Closer::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Closer::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    /// Makes the socket send a TCP reset when its last copy is dropped.
    fn reset(&self) -> io::Result<()> {
        match self {
            Closer::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            Closer::Unix(_) => unreachable!("unix sockets have no reset"),
        }
    }
}

fn handshake(
    config: Arc<ServerConfig>,
    mut stream: Box<dyn ReadWrite>,
    shared: &Shared,
) -> io::Result<Box<dyn ReadWrite>> {
    let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    let handshake = Handshake {
        kind: session.handshake_kind().unwrap(),
        version: session.protocol_version().unwrap(),
        group: session.negotiated_key_exchange_group().map(|group| group.name()),
        server_name: session.server_name().map(str::to_owned),
        has_client_certificate: session.peer_certificates().is_some(),
    };
    shared.update(|record| record.handshakes.push(handshake));
    Ok(Box::new(StreamOwned::new(session, stream)))
}

fn converse(
    number: usize,
    stream: Box<dyn ReadWrite>,
    closer: &Closer,
    tls: Option<Arc<ServerConfig>>,
    shared: &Arc<Shared>,
    script: &Script,
) -> io::Result<()> {
    let stream = match tls {
        None => stream,
        Some(config) => handshake(config, stream, shared)?,
    };
    let mut wire = Wire::new(Counted { stream, shared: Arc::clone(shared) });
    while let Some(head) = wire.head()? {
        let request = Request::from_head(number, head);
        let index = shared.update(|record| {
            record.requests.push(request.clone());
            record.requests.len() - 1
        });
        let left = match framing(&request.fields, Framing::Length(0)) {
            Framing::Chunked => None,
            Framing::Length(length) => Some(length),
            Framing::Close => unreachable!("a request does not end with its connection"),
        };
        let mut exchange = Exchange { request, wire: &mut wire, index, left, body_ended: false };
        match script(&mut exchange)? {
            Then::KeepAlive => {}
            Then::Close => {
                closer.close();
                return Ok(());
            }
            Then::Reset => return closer.reset(),
        }
    }
    Ok(())
}

pub trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

/// Counts the bytes that arrive.
pub struct Counted {
    stream: Box<dyn ReadWrite>,
    pub shared: Arc<Shared>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.shared.update(|record| record.bytes += count as u64);
        Ok(count)
    }
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
