//! The TLS configuration towards origins.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, WebPkiServerVerifier};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme, version};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::origins::OriginTls;
use crate::tls::provider;

/// The TLS configuration of an origin. All connections share its session cache.
pub(super) fn client_config(tls: &OriginTls) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
    let roots = roots(tls)?;
    let builder = if roots.is_empty() {
        builder.with_root_certificates(roots)
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TellsSelfSigned(verifier)))
    };
    let mut config = match &tls.identity {
        Some(identity) => builder.with_client_cert_resolver(identity.for_clients()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The configured authorities; without them those of the system (`SSL_CERT_FILE` and `SSL_CERT_DIR` name
/// others).
fn roots(tls: &OriginTls) -> Result<RootCertStore, rustls::Error> {
    let mut store = RootCertStore::empty();
    if let Some(roots) = &tls.roots {
        for root in roots {
            store.add(root.clone())?;
        }
        return Ok(store);
    }
    match rustls_native_certs::load_native_certs() {
        Ok(found) => drop(store.add_parsable_certificates(found)),
        Err(error) => log::error!("the system's certificates of authorities cannot be read: {error}"),
    }
    if store.is_empty() {
        log::error!(
            "the system has no certificates of authorities, so that no origin's certificate can be \
             verified; install ca-certificates, or set tls.ca_file for the origin"
        );
    }
    Ok(store)
}

/// The certificate is signed by its own key, and not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate is self-signed")
    }
}

impl std::error::Error for SelfSigned {}

/// Verifies as rustls does, and tells a self-signed certificate from one of an unknown authority.
#[derive(Debug)]
struct TellsSelfSigned(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for TellsSelfSigned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)
                if is_self_signed(end_entity) =>
            {
                CertificateError::Other(OtherError(Arc::new(SelfSigned))).into()
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Whether subject and issuer are the same.
fn is_self_signed(certificate: &[u8]) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, certificate)| certificate.subject().as_raw() == certificate.issuer().as_raw())
}
