//! The certificate of every listener with TLS, and clients that trust it.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;

use super::Result;
use super::folder::Folder;

/// The server name of every listener.
pub const NAME: &str = "api.example.com";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum KeyKind {
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA with 2048 bits.
    Rsa,
}

/// A key and its self-signed certificate, in files of a folder.
#[derive(Clone, Debug, Serialize)]
pub struct Certificate {
    pub chain: PathBuf,
    /// The path of the chain with `.key` behind it, where HAProxy looks for it.
    pub key: PathBuf,
}

/// The versions, the key and the key exchange of a listener with TLS.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tls {
    /// `1.2` or `1.3` alone; both if `None`.
    pub version: Option<&'static str>,
    pub key: KeyKind,
    /// The only key exchange; all groups if `None`.
    pub group: Option<&'static str>,
}

impl Certificate {
    pub fn new(folder: &Folder, kind: KeyKind) -> Result<Self> {
        let pair = KeyPair::generate_for(match kind {
            KeyKind::Ecdsa => &PKCS_ECDSA_P256_SHA256,
            KeyKind::Rsa => &PKCS_RSA_SHA256,
        })?;
        let pem = CertificateParams::new([NAME.to_owned()])?.self_signed(&pair)?.pem();
        let name = format!("{kind:?}").to_lowercase();
        Ok(Self {
            chain: folder.write(&format!("{name}.pem"), pem)?,
            key: folder.write(&format!("{name}.pem.key"), pair.serialize_pem())?,
        })
    }

    /// A client that trusts this certificate, and perhaps resumes sessions.
    pub fn client(&self, tls: Tls, resumes: bool, http2: bool) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.chain)?)?;
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if let Some(group) = tls.group {
            // In TLS 1.2 the curve of the certificate's key counts as a group.
            let wanted = [group, "secp256r1"];
            provider.kx_groups.retain(|group| wanted.contains(&&*format!("{:?}", group.name())));
        }
        let versions = match tls.version {
            Some("1.2") => &[&TLS12][..],
            Some(_) => &[&TLS13],
            None => rustls::DEFAULT_VERSIONS,
        };
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        if !resumes {
            client.resumption = Resumption::disabled();
        }
        Ok(Arc::new(client))
    }
}
