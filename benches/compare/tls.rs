//! The certificate of every peer that listens with TLS, and the client that trusts it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, ClientConnection, ProtocolVersion, RootCertStore};

use super::Result;
use super::process::Folder;

/// The name of the edge.
pub const NAME: &str = "api.example.com";

/// An ECDSA key on P-256 and its certificate, in the files that the templates name: `edge.pem`,
/// `edge.key`, and both in `edge.both.pem`.
pub struct Certificate {
    place: PathBuf,
    client: Arc<ClientConfig>,
}

impl Certificate {
    pub fn new(folder: &Folder) -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?;
        let (pem, key) = (certificate.pem(), key.serialize_pem());
        let place = folder.path().join("edge.pem");
        std::fs::write(&place, &pem)?;
        std::fs::write(folder.path().join("edge.key"), &key)?;
        std::fs::write(folder.path().join("edge.both.pem"), pem + &key)?;

        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Many clients rather than one that comes back.
        client.resumption = Resumption::disabled();
        Ok(Self { place, client: Arc::new(client) })
    }

    /// The file with the certificate alone.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// A client that trusts it.
    pub fn client(&self) -> Result<ClientConnection> {
        Ok(ClientConnection::new(self.client.clone(), ServerName::try_from(NAME)?)?)
    }
}

/// Fails where a connection is not what all peers are to be compared in. `client` has an answer.
pub fn check(client: &ClientConnection) -> Result<()> {
    let version = client.protocol_version();
    let suite = client.negotiated_cipher_suite().map(|suite| suite.suite());
    let wanted = (Some(ProtocolVersion::TLSv1_3), Some(CipherSuite::TLS13_AES_256_GCM_SHA384));
    if (version, suite) != wanted {
        return Err(format!("{version:?} with {suite:?} in place of {wanted:?}").into());
    }
    if client.tls13_tickets_received() == 0 {
        return Err("no session ticket came".into());
    }
    Ok(())
}
