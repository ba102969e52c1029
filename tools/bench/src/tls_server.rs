//! Peers of handshakes: rustls alone, and TCP alone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::{ServerConfig, ServerConnection};

use crate::rig::Result;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";

/// Serves one connection after the other until the process is killed.
pub fn serve(kind: &str, address: SocketAddr, chain: &Path, key: &Path) -> Result<()> {
    let config = match kind {
        "tcp" => None,
        "rustls-ring" => Some(config(ring::default_provider(), ring::Ticketer::new()?, chain, key)?),
        _ => Some(config(aws_lc_rs::default_provider(), aws_lc_rs::Ticketer::new()?, chain, key)?),
    };
    for stream in TcpListener::bind(address)?.incoming() {
        // A client that disconnects ends its own connection only.
        let _ = stream.map(|stream| answer(stream, config.as_ref()));
    }
    Ok(())
}

fn config(
    provider: CryptoProvider,
    ticketer: Arc<dyn ProducesTickets>,
    chain: &Path,
    key: &Path,
) -> Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_file(chain)?], PrivateKeyDer::from_pem_file(key)?)?;
    config.ticketer = ticketer;
    Ok(Arc::new(config))
}

fn answer(mut stream: TcpStream, config: Option<&Arc<ServerConfig>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let Some(config) = config else { return exchange(&mut stream) };
    exchange(&mut rustls::Stream::new(&mut ServerConnection::new(config.clone())?, &mut stream))
}

fn exchange(stream: &mut (impl Read + Write)) -> Result<()> {
    if stream.read(&mut [0; 512])? > 0 {
        stream.write_all(ANSWER)?;
    }
    Ok(())
}
