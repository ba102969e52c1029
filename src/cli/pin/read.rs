//! Reads keys and certificates from a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use zeroize::Zeroizing;

use crate::tls::{Certificate, Pin, PrivateKey, PrivateKeyError};

/// More than any chain needs.
const MAX_FILE: u64 = 1024 * 1024;

/// A public key from a file or a server.
pub(super) enum Pinned {
    /// A key inside its certificate.
    Certificate(Box<Certificate>),
    /// A key without a certificate.
    Key(Pin),
}

/// The certificates of a file in their order. Without a certificate, the public keys. Without a public key
/// either, the public half of a private key. Never empty.
///
/// # Errors
/// Why the file cannot be used, in words.
pub(super) fn file(path: &Path) -> Result<Vec<Pinned>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("it is larger than 1 MiB; name a file with certificates or keys".into());
    }
    let certificate = |der: &[u8]| Certificate::from_der(der).map(|own| Pinned::Certificate(Box::new(own)));
    // DER begins with the tag of a sequence. PEM is text.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![certificate(&bytes).map_err(|error| error.to_string())?]);
    }
    let ders: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let ders = ders.map_err(|error| format!("it is not PEM: {error}"))?;
    let mut pinned = Vec::new();
    for (index, der) in ders.iter().enumerate() {
        pinned.push(certificate(der).map_err(|_| format!("its certificate {} cannot be read", index + 1))?);
    }
    if pinned.is_empty() {
        let keys = SubjectPublicKeyInfoDer::pem_slice_iter(&bytes).filter_map(Result::ok);
        pinned = keys.map(|info| Pinned::Key(Pin::of(&info))).collect();
    }
    if !pinned.is_empty() {
        return Ok(pinned);
    }
    match PrivateKey::from_pem(&bytes) {
        Ok(key) => {
            let info = key.public_key_info().ok_or("its key has no public half")?;
            Ok(vec![Pinned::Key(Pin::of(&info))])
        }
        Err(PrivateKeyError::Missing | PrivateKeyError::Pem) => {
            Err("it has neither a certificate nor a key in PEM, and is no certificate in DER".into())
        }
        Err(error) => Err(error.to_string()),
    }
}
