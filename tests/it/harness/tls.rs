//! Certificate authorities and certificates for tests.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SignatureAlgorithm,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;

use super::Folder;

/// A certificate authority, made for one test.
pub struct Authority {
    pub issuer: Issuer<'static, KeyPair>,
    /// The certificate, in PEM.
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        Self::named("Test root")
    }

    /// A root with this common name.
    pub fn named(name: &str) -> Self {
        let (params, key) = Self::params(name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// An intermediate authority, issued by this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let (params, key) = Self::params(name);
        let pem = self.issue(&params, &key).pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn params(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        (params, KeyPair::generate().unwrap())
    }

    pub fn issue(&self, params: &CertificateParams, key: &KeyPair) -> Certificate {
        params.signed_by(key, &self.issuer).unwrap()
    }

    /// The configuration of a TLS server with a certificate for `name`.
    pub fn server_named(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = self.issue(&CertificateParams::new([name.to_owned()]).unwrap(), &key);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        Arc::new(config)
    }
}

/// A certificate chain and its private key, in PEM.
pub struct Identity {
    pub chain: String,
    pub key: String,
    /// SubjectPublicKeyInfo of the key, in DER.
    pub public_key: Vec<u8>,
}

impl Identity {
    /// Issued by `authority` for these names, with a P-256 key. `change` edits the certificate.
    pub fn with(authority: &Authority, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::with_key(authority, names, KeyPair::generate().unwrap(), change)
    }

    pub fn new(authority: &Authority, names: &[&str]) -> Self {
        Self::with(authority, names, |_| {})
    }

    /// Issued by `authority`, with a key of this algorithm.
    pub fn of(authority: &Authority, names: &[&str], algorithm: &'static SignatureAlgorithm) -> Self {
        Self::with_key(authority, names, KeyPair::generate_for(algorithm).unwrap(), |_| {})
    }

    pub fn with_key(
        authority: &Authority,
        names: &[&str],
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name.push(DnType::CommonName, "leaf");
        change(&mut params);
        let chain = authority.issue(&params, &key).pem();
        Self { chain, key: key.serialize_pem(), public_key: key.subject_public_key_info() }
    }

    /// Appends certificates to the chain.
    pub fn followed_by(mut self, pem: &str) -> Self {
        self.chain += pem;
        self
    }
}

impl Folder {
    /// Writes chain and key of an identity as `{name}.pem` and `{name}.key`. Returns the entry for
    /// the configuration.
    pub fn identity(&self, name: &str, identity: &Identity) -> String {
        self.write(&format!("{name}.pem"), &identity.chain);
        self.write(&format!("{name}.key"), &identity.key);
        format!("{{ certificate_file: {name}.pem, private_key_file: {name}.key }}")
    }
}
