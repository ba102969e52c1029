//! A TLS client that accepts every certificate: to inspect the certificate, or where it does not matter.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::tls::provider;

/// Accepts every chain, and records why it cannot be trusted. The handshake still proves that the server has
/// the private key of its certificate.
#[derive(Debug)]
pub(super) struct Doubtful {
    /// `None` if the system has no trusted authorities.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    signatures: WebPkiSupportedAlgorithms,
    doubt: Mutex<Option<String>>,
}

impl Doubtful {
    /// Checks the chain against the trusted authorities of this machine.
    pub fn new() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().unwrap_or_default());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Self { verifier: verifier.ok(), ..Self::indifferent() }
    }

    /// Does not check the chain.
    pub fn indifferent() -> Self {
        let signatures = provider().signature_verification_algorithms;
        Self { verifier: None, signatures, doubt: Mutex::new(None) }
    }

    /// A client for one handshake.
    ///
    /// # Errors
    /// If rustls has no cipher suite for its versions, which its own provider excludes.
    pub fn client(self: Arc<Self>) -> Result<Arc<ClientConfig>, Error> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(self)
            .with_no_client_auth();
        // A resumed handshake has no chain.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// Why the chain cannot be trusted. `None` if it was verified.
    pub fn doubt(&self) -> Option<String> {
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
