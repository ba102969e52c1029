//! Client certificates: the accepted authorities, and the facts of a verified certificate.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::{Certificate, MalformedCertificate, provider};
use crate::closed_set::closed_set;

closed_set! {
    /// Whether a listener asks for client certificates.
    #[derive(Default)]
    pub enum ClientAuthMode {
        /// The listener asks for no certificate.
        #[default]
        Off => "off",
        /// The client may send a certificate. An invalid one ends the handshake.
        Optional => "optional",
        /// A client without a valid certificate gets no connection.
        Required => "required",
    }
}

/// The client certificates that a listener accepts.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    mode: ClientAuthMode,
    verifier: Arc<dyn ClientCertVerifier>,
    authorities: Vec<Certificate>,
    /// The authorities and revocation lists in DER. A resumed session is not checked against them again.
    covered: Vec<Vec<u8>>,
    /// The Unix time at which the first revocation list expires.
    lists_expire: Option<i64>,
}

/// Why the authorities or the revocation lists cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityError {
    /// Authorities: a part of the text is not PEM.
    Pem(String),
    /// Authorities: the text has no certificate.
    Empty,
    /// Authorities: the certificate with this number, counted from 1, cannot be read.
    Malformed(usize),
    /// Revocation lists: a part of the text is not PEM.
    ListPem(String),
    /// Revocation lists: the text has none.
    NoList,
    /// Revocation lists: one of them cannot be read.
    MalformedList(String),
}

impl AuthorityError {
    /// Whether the revocation lists are wrong, not the authorities.
    pub fn concerns_lists(&self) -> bool {
        match self {
            AuthorityError::Pem(_) | AuthorityError::Empty | AuthorityError::Malformed(_) => false,
            AuthorityError::ListPem(_) | AuthorityError::NoList | AuthorityError::MalformedList(_) => true,
        }
    }
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthorityError::Pem(error) | AuthorityError::ListPem(error) => {
                write!(f, "it is not PEM: {error}")
            }
            AuthorityError::Empty => f.write_str("it has no certificate"),
            AuthorityError::Malformed(number) => write!(f, "its certificate {number} cannot be read"),
            AuthorityError::NoList => f.write_str("it has no revocation list"),
            AuthorityError::MalformedList(error) => write!(f, "its revocation list cannot be read: {error}"),
        }
    }
}

impl std::error::Error for AuthorityError {}

impl ClientAuth {
    /// Settings of a listener that asks for no certificates.
    pub fn off() -> Self {
        Self {
            mode: ClientAuthMode::Off,
            verifier: WebPkiClientVerifier::no_client_auth(),
            authorities: Vec::new(),
            covered: Vec::new(),
            lists_expire: None,
        }
    }

    /// Accepts certificates from the authorities in a PEM text. With revocation lists, every certificate
    /// below an authority must be covered by a list that has not expired and does not revoke it.
    ///
    /// # Errors
    /// [`AuthorityError`] if one of the texts cannot be used.
    pub fn from_pem(
        mode: ClientAuthMode,
        authorities: &[u8],
        lists: Option<&[u8]>,
    ) -> Result<Self, AuthorityError> {
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(authorities).collect();
        let roots = roots.map_err(|error| AuthorityError::Pem(error.to_string()))?;
        if roots.is_empty() {
            return Err(AuthorityError::Empty);
        }
        let mut store = RootCertStore::empty();
        let mut known = Vec::with_capacity(roots.len());
        for (index, root) in roots.iter().enumerate() {
            let malformed = AuthorityError::Malformed(index + 1);
            known.push(Certificate::from_der(root).map_err(|_| malformed.clone())?);
            store.add(root.clone()).map_err(|_| malformed)?;
        }
        let lists = lists.map(read_lists).transpose()?.unwrap_or_default();
        let lists_expire = lists.iter().filter_map(|list| next_update(list)).min();
        let mut covered: Vec<Vec<u8>> = roots.iter().map(|root| root.to_vec()).collect();
        covered.extend(lists.iter().map(|list| list.to_vec()));
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider())
            .with_crls(lists)
            .enforce_revocation_expiration();
        if mode != ClientAuthMode::Required {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|error| AuthorityError::MalformedList(error.to_string()))?;
        Ok(match mode {
            ClientAuthMode::Off => Self::off(),
            ClientAuthMode::Optional | ClientAuthMode::Required => {
                Self { mode, verifier, authorities: known, covered, lists_expire }
            }
        })
    }

    /// Whether certificates are asked for or required.
    pub fn mode(&self) -> ClientAuthMode {
        self.mode
    }

    /// The certificates of the accepted authorities.
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// The Unix time at which the first revocation list expires. From then on, certificates that the list
    /// covers are refused.
    pub fn lists_expire(&self) -> Option<i64> {
        self.lists_expire
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }

    pub(super) fn covered(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.mode.label().as_bytes()).chain(self.covered.iter().map(Vec::as_slice))
    }
}

fn read_lists(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, AuthorityError> {
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    match lists {
        Ok(lists) if lists.is_empty() => Err(AuthorityError::NoList),
        Ok(lists) => Ok(lists),
        Err(error) => Err(AuthorityError::ListPem(error.to_string())),
    }
}

fn next_update(list: &[u8]) -> Option<i64> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    list.next_update().map(|time| time.timestamp())
}

/// The client's certificate from the chain that rustls has verified
/// ([`peer_certificates`](rustls::CommonState::peer_certificates)). `None` if the client sent no
/// certificate. A resumed session has the chain of its first handshake, which was verified then. Ask
/// [`is_valid_at`](Certificate::is_valid_at) whether the certificate has expired since.
///
/// # Errors
/// [`MalformedCertificate`] if the certificate cannot be read. The connection must then be closed.
pub fn client_certificate(
    verified: Option<&[CertificateDer<'_>]>,
) -> Result<Option<Certificate>, MalformedCertificate> {
    verified.and_then(<[_]>::first).map(|own| Certificate::from_der(own)).transpose()
}
