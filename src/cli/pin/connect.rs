//! Reads the certificate chain of a server.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::tls::{Certificate, provider};

/// The time limit for connecting, and then for each read and write of the handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// The certificates that a server sent.
pub(super) struct Shown {
    /// The server's own certificate first. Never empty.
    pub certificates: Vec<Certificate>,
    /// Why the chain cannot be trusted. `None` if it was verified.
    pub doubt: Option<String>,
}

/// Splits `host:port` or `[address]:port`. `None` if the text has another form.
pub(super) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|address| address.contains(':'))?,
        None if host.contains(':') || host.contains('/') => return None,
        None => host,
    };
    let port = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
    (!host.is_empty()).then_some((host, port))
}

/// Connects to a server and reads the chain of its handshake.
pub(super) fn chain(host: &str, port: u16) -> Result<Shown, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no host name"))?;
    let verifier = Arc::new(Doubtful::new());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    // A resumed handshake has no chain.
    config.resumption = Resumption::disabled();
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let mut stream = connect(host, port).map_err(|error| format!("cannot connect: {error}"))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| format!("no TLS handshake: {error}"))?;
    }
    let shown = connection.peer_certificates().unwrap_or_default();
    let certificates: Result<Vec<_>, _> = shown.iter().map(|der| Certificate::from_der(der)).collect();
    let certificates = certificates.map_err(|error| format!("a certificate cannot be read: {error}"))?;
    if certificates.is_empty() {
        return Err("the server shows no certificate".into());
    }
    Ok(Shown { certificates, doubt: verifier.doubt() })
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Accepts every chain, and records why it cannot be trusted. The handshake still proves that the server has
/// the private key of its certificate.
#[derive(Debug)]
struct Doubtful {
    /// `None` if the system has no trusted authorities.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    signatures: WebPkiSupportedAlgorithms,
    doubt: Mutex<Option<String>>,
}

impl Doubtful {
    fn new() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().unwrap_or_default());
        Self {
            verifier: WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok(),
            signatures: provider().signature_verification_algorithms,
            doubt: Mutex::new(None),
        }
    }

    fn doubt(&self) -> Option<String> {
        self.doubt.lock().clone()
    }
}

impl ServerCertVerifier for Doubtful {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.doubt.lock() = match &self.verifier {
            Some(verifier) => {
                let verdict = verifier.verify_server_cert(own, intermediates, name, ocsp, now);
                verdict.err().map(|error| error.to_string())
            }
            None => Some("there are no trusted authorities here; install them, or set SSL_CERT_FILE".into()),
        };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signed, &self.signatures)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signed, &self.signatures)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_host_and_port() {
        for (text, expected) in [
            ("api.example.com:443", Some(("api.example.com", 443))),
            ("192.0.2.1:8443", Some(("192.0.2.1", 8443))),
            ("[::1]:443", Some(("::1", 443))),
            ("api.example.com", None),
            ("https://api.example.com:443", None),
            ("::1", None),
            ("[::1]", None),
            ("[api]:443", None),
            (":443", None),
            ("api:", None),
            ("api:+443", None),
            ("api:65536", None),
        ] {
            assert_eq!(host_and_port(text), expected, "{text}");
        }
    }
}
