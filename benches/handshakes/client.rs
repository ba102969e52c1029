//! The client of all contenders: rustls, in this process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme};

use super::server::NAME;
use super::{Case, Failed};

const PATIENCE: Duration = Duration::from_secs(5);

pub struct Client(Arc<ClientConfig>);

impl Client {
    pub fn new(case: Case, resumes: bool) -> Result<Self, Failed> {
        let mut provider = aws_lc_rs::default_provider();
        // The curve of a certificate counts as a group in TLS 1.2, so the client has to know it.
        let wanted = [case.group, "secp256r1"];
        provider.kx_groups.retain(|group| wanted.contains(&&*format!("{:?}", group.name())));
        let versions = if case.version == "1.3" { [&TLS13] } else { [&TLS12] };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous))
            .with_no_client_auth();
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Self(Arc::new(config)))
    }

    /// One connection, with the kind of handshake that is expected.
    pub fn connect(&self, address: SocketAddr, resumes: bool) -> Result<(), Failed> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut connection = ClientConnection::new(self.0.clone(), ServerName::try_from(NAME)?)?;
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        tls.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        // With the answer come the tickets.
        let mut answer = [0; 64];
        if tls.read(&mut answer)? == 0 {
            return Err("no answer".into());
        }
        let wanted = if resumes { HandshakeKind::Resumed } else { HandshakeKind::Full };
        match connection.handshake_kind() {
            Some(kind) if kind == wanted => Ok(()),
            other => Err(format!("{other:?} in place of {wanted:?}").into()),
        }
    }
}

/// The server's cost is measured, not the client's care.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
