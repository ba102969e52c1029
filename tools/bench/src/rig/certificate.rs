//! The certificate of every listener with TLS, and clients that trust it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::Result;
use super::folder::Folder;

/// The server name of every listener.
pub const NAME: &str = "api.example.com";

/// The kind of key that a certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA with 2048 bits.
    Rsa,
}

/// A key and its self-signed certificate, in files of a folder.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
    /// Both in one file, as HAProxy reads them.
    pub both: PathBuf,
}

/// What a client offers and accepts.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// `1.2` or `1.3`; all versions if `None`.
    pub version: Option<&'static str>,
    /// The only key exchange; all groups if `None`.
    pub group: Option<&'static str>,
    /// Whether the client resumes sessions.
    pub resumes: bool,
    pub http2: bool,
}

impl Offer {
    /// Any version and group. Every connection is a new client, so sessions are not resumed.
    pub const ANY: Self = Self { version: None, group: None, resumes: false, http2: false };
}

impl Certificate {
    pub fn new(folder: &Folder, kind: KeyKind) -> Result<Self> {
        let pair = match kind {
            KeyKind::Ecdsa => KeyPair::generate()?,
            KeyKind::Rsa => {
                let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048)?;
                let der: Pkcs8V1Der<'_> = pair.as_der()?;
                KeyPair::try_from(der.as_ref())?
            }
        };
        let pem = CertificateParams::new([NAME.to_owned()])?.self_signed(&pair)?.pem();
        let key = pair.serialize_pem();
        let name = format!("{kind:?}").to_lowercase();
        Ok(Self {
            chain: folder.write(&format!("{name}.pem"), &pem)?,
            key: folder.write(&format!("{name}.key"), &key)?,
            both: folder.write(&format!("{name}.both.pem"), pem + &key)?,
        })
    }

    /// A client that trusts this certificate.
    pub fn client(&self, offer: Offer) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&fs::read(&self.chain)?)?)?;
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if let Some(group) = offer.group {
            // In TLS 1.2 the curve of the certificate's key counts as a group.
            let wanted = [group, "secp256r1"];
            provider.kx_groups.retain(|group| wanted.contains(&&*format!("{:?}", group.name())));
        }
        let versions = match offer.version {
            Some("1.2") => &[&TLS12][..],
            Some(_) => &[&TLS13],
            None => rustls::DEFAULT_VERSIONS,
        };
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![if offer.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        if !offer.resumes {
            client.resumption = Resumption::disabled();
        }
        Ok(Arc::new(client))
    }
}
