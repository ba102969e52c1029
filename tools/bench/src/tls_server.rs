//! Peers of handshakes: rustls alone, and TCP alone.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use crate::rig::Result;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";

/// Serves one connection after the other until the process is killed.
pub fn serve(kind: &str, address: SocketAddr, chain: &Path, key: &Path) -> Result<()> {
    let config = match kind {
        "tcp" => None,
        "rustls-ring" => {
            let mut config = config(ring::default_provider(), chain, key)?;
            config.ticketer = ring::Ticketer::new()?;
            Some(Arc::new(config))
        }
        _ => {
            let mut config = config(aws_lc_rs::default_provider(), chain, key)?;
            config.ticketer = aws_lc_rs::Ticketer::new()?;
            Some(Arc::new(config))
        }
    };
    for stream in TcpListener::bind(address)?.incoming() {
        // A client that disconnects ends its own connection only.
        let _ = stream.map(|stream| match &config {
            None => answer(&mut &stream),
            Some(config) => answer_with_tls(config, stream),
        });
    }
    Ok(())
}

fn config(provider: CryptoProvider, chain: &Path, key: &Path) -> Result<ServerConfig> {
    let chain = CertificateDer::from_pem_slice(&fs::read(chain)?)?;
    Ok(ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![chain], PrivateKeyDer::from_pem_slice(&fs::read(key)?)?)?)
}

fn answer_with_tls(config: &Arc<ServerConfig>, mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = ServerConnection::new(config.clone())?;
    answer(&mut rustls::Stream::new(&mut connection, &mut stream))
}

fn answer(stream: &mut (impl Read + Write)) -> Result<()> {
    if stream.read(&mut [0; 512])? > 0 {
        stream.write_all(ANSWER)?;
    }
    Ok(())
}
