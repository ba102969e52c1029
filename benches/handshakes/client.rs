//! The client of all contenders: rustls, in this process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};

use super::server::{Files, NAME};
use super::{Case, Failed};

const PATIENCE: Duration = Duration::from_secs(5);
const LINE: &[u8] = b"GET / HTTP/1.0\r\nHost: api.example.com\r\n\r\n";

fn connect_tcp(address: SocketAddr) -> Result<TcpStream, Failed> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The line, and some of the answer to it.
fn ask(stream: &mut (impl Read + Write)) -> Result<(), Failed> {
    stream.write_all(LINE)?;
    match stream.read(&mut [0; 64])? {
        0 => Err("no answer".into()),
        _ => Ok(()),
    }
}

/// One connection without TLS.
pub fn connect_plain(address: SocketAddr) -> Result<(), Failed> {
    ask(&mut connect_tcp(address)?)
}

pub struct Client(Arc<ClientConfig>);

impl Client {
    pub fn new(case: Case, resumes: bool, files: &Files) -> Result<Self, Failed> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(files.chain(case))?)?;
        let mut provider = aws_lc_rs::default_provider();
        // The curve of a certificate counts as a group in TLS 1.2, so the client has to know it.
        let wanted = [case.group, "secp256r1"];
        provider.kx_groups.retain(|group| wanted.contains(&&*format!("{:?}", group.name())));
        let versions = if case.version == "1.3" { [&TLS13] } else { [&TLS12] };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Self(Arc::new(config)))
    }

    /// One connection, with the kind of handshake that is expected.
    pub fn connect(&self, address: SocketAddr, resumes: bool) -> Result<(), Failed> {
        let mut stream = connect_tcp(address)?;
        let mut connection = ClientConnection::new(self.0.clone(), ServerName::try_from(NAME)?)?;
        // With the answer come the tickets.
        ask(&mut rustls::Stream::new(&mut connection, &mut stream))?;
        let wanted = if resumes { HandshakeKind::Resumed } else { HandshakeKind::Full };
        match connection.handshake_kind() {
            Some(kind) if kind == wanted => Ok(()),
            other => Err(format!("{other:?} in place of {wanted:?}").into()),
        }
    }
}
