//! Client certificates: whose are taken, and what a verified one says.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::{Certificate, MalformedCertificate, provider};

/// What a listener asks of its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// No certificate.
    #[default]
    Off,
    /// A certificate if there is one; a bad one ends the handshake.
    Optional,
    /// A certificate.
    Required,
}

impl ClientAuthMode {
    /// Every mode.
    pub const ALL: [ClientAuthMode; 3] =
        [ClientAuthMode::Off, ClientAuthMode::Optional, ClientAuthMode::Required];

    /// The name in the configuration.
    pub fn label(self) -> &'static str {
        match self {
            ClientAuthMode::Off => "off",
            ClientAuthMode::Optional => "optional",
            ClientAuthMode::Required => "required",
        }
    }
}

/// Whose certificates a listener takes.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    mode: ClientAuthMode,
    verifier: Arc<dyn ClientCertVerifier>,
    authorities: Vec<Certificate>,
    /// What a resumed session is spared: authorities and revocations.
    covered: Vec<Vec<u8>>,
    /// When the first revocation list is outdated, in Unix time.
    lists_expire: Option<i64>,
}

/// Why texts are no authorities and revocation lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityError {
    /// Authorities: a part of the text is not PEM.
    Pem(String),
    /// Authorities: there is none.
    Empty,
    /// Authorities: the one of this number, counted from 1, cannot be read.
    Malformed(usize),
    /// Revocation lists: a part of the text is not PEM.
    ListPem(String),
    /// Revocation lists: there is none.
    NoList,
    /// Revocation lists: one cannot be read.
    MalformedList(String),
}

impl AuthorityError {
    /// Whether the revocation lists are at fault, and not the authorities.
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
    /// Asks for no certificates.
    pub fn off() -> Self {
        Self {
            mode: ClientAuthMode::Off,
            verifier: WebPkiClientVerifier::no_client_auth(),
            authorities: Vec::new(),
            covered: Vec::new(),
            lists_expire: None,
        }
    }

    /// Takes certificates from the authorities of a PEM text. With revocation lists, every
    /// certificate below an authority has to be on a list that covers it, fresh and not revoked.
    ///
    /// # Errors
    /// [`AuthorityError`] when one of the texts cannot be used.
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

    /// What is asked for.
    pub fn mode(&self) -> ClientAuthMode {
        self.mode
    }

    /// The authorities.
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// The Unix time at which the first revocation list is outdated. From then on, certificates of its
    /// authority are refused.
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

/// The client's certificate out of the chain that rustls has verified
/// ([`peer_certificates`](rustls::CommonState::peer_certificates)); none where the client has shown
/// none. A resumed session brings back the chain of its first handshake. It was verified then, so ask
/// [`is_valid_at`](Certificate::is_valid_at) whether its time has passed meanwhile.
///
/// # Errors
/// [`MalformedCertificate`] when it cannot be read after all: then the connection is to be closed.
pub fn client_certificate(
    verified: Option<&[CertificateDer<'_>]>,
) -> Result<Option<Certificate>, MalformedCertificate> {
    verified.and_then(<[_]>::first).map(|own| Certificate::from_der(own)).transpose()
}
