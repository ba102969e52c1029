//! What an origin's entry names files for: certificates, keys and secrets.

use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::origin::{Identity, OriginTls, SecretHeader};
use super::section::{SecretHeaderSection, TlsSection};
use crate::config::error::{Located, Location, Report, Reported};
use crate::config::keys::{read_small_file, warn_if_world_readable};

/// A secret shorter than this can be guessed.
const MIN_SECRET: usize = 16;

/// Reads the files. `host` is the origin's.
pub(super) fn tls(
    section: Option<TlsSection>,
    host: &str,
    at: &Location,
    report: &Report,
) -> Result<OriginTls, Reported> {
    let (server_name, roots, identity) = match section {
        None => (None, Ok(None), Ok(None)),
        Some(section) => {
            let roots = section.ca_file.as_ref().map(|file| roots(file, report)).transpose();
            let identity = identity(&section, report);
            (section.server_name, roots, identity)
        }
    };
    let name = server_name.as_ref().map_or(host, |name| &name.value);
    let server_name = ServerName::try_from(name.to_owned()).map_err(|_| {
        let at = server_name.as_ref().map_or(at, |name| &name.at);
        report.problem(at, "no certificate can be for this name", "write a host name, or use http://")
    });
    Ok(OriginTls { server_name: server_name?, roots: roots?, identity: identity?.map(Arc::new) })
}

fn roots(file: &Located<PathBuf>, report: &Report) -> Result<Vec<CertificateDer<'static>>, Reported> {
    let certificates = certificates(file, report)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| {
            let message = format!("a certificate in {} cannot be used: {error}", file.value.display());
            report.problem(&file.at, message, "name a file with the authority's own certificate")
        })?;
    }
    Ok(certificates)
}

/// The certificate that the origin asks for, with a key that fits.
fn identity(section: &TlsSection, report: &Report) -> Result<Option<Identity>, Reported> {
    let (certificate, key) = match (&section.certificate_file, &section.key_file) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => {
            let mend = "name the file with the certificate's key";
            return Err(report.problem(&section.at, "certificate_file stands without key_file", mend));
        }
        (None, Some(_)) => {
            let mend = "name the file with the key's certificate";
            return Err(report.problem(&section.at, "key_file stands without certificate_file", mend));
        }
    };
    let chain = certificates(certificate, report);
    let text = read_small_file(&key.value, &key.at, report)?;
    warn_if_world_readable(&key.value, &key.at, report);
    let found = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| {
        let message = format!("{} holds no private key: {}", key.value.display(), pem_fault(&error));
        report.problem(&key.at, message, "name a file that has a line -----BEGIN PRIVATE KEY-----")
    });
    let identity = Identity { chain: chain?, key: found? };
    warn_of_expiry(&identity, certificate, report);
    CertifiedKey::from_der(identity.chain.clone(), identity.key.clone_key(), &aws_lc_rs::default_provider())
        .map_err(|error| {
            let message = format!(
                "the key in {} does not go with the certificate in {}: {error}",
                key.value.display(),
                certificate.value.display()
            );
            report.problem(&key.at, message, "name the key that the certificate was made for")
        })?;
    Ok(Some(identity))
}

fn certificates(file: &Located<PathBuf>, report: &Report) -> Result<Vec<CertificateDer<'static>>, Reported> {
    let text = read_small_file(&file.value, &file.at, report)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let is_x509 = |certificate: &CertificateDer<'_>| X509Certificate::from_der(certificate).is_ok();
    let fault = match found {
        Ok(certificates) if !certificates.is_empty() && certificates.iter().all(is_x509) => {
            return Ok(certificates);
        }
        Ok(certificates) if !certificates.is_empty() => "what is in it is no certificate",
        Ok(_) => pem_fault(&pem::Error::NoItemsFound),
        Err(error) => pem_fault(&error),
    };
    let message = format!("{} holds no certificate: {fault}", file.value.display());
    Err(report.problem(&file.at, message, "name a file that has a line -----BEGIN CERTIFICATE-----"))
}

/// The first certificate of the chain is the gateway's own.
fn warn_of_expiry(identity: &Identity, file: &Located<PathBuf>, report: &Report) {
    let Some(Ok((_, own))) = identity.chain.first().map(|own| X509Certificate::from_der(own)) else { return };
    if !own.validity().is_valid() {
        let validity = own.validity();
        let message = format!(
            "the certificate in {} is valid only from {} to {}",
            file.value.display(),
            validity.not_before,
            validity.not_after
        );
        report.warning(&file.at, message, "have it renewed; an origin that asks for it will refuse it");
    }
}

/// Without quoting what is in the file.
fn pem_fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "there is none in PEM form",
        pem::Error::MissingSectionEnd { .. } => "it has a BEGIN line without its END line",
        _ => "it is not in PEM form",
    }
}

/// Reads the secret, or both during a rotation.
pub(super) fn secret_header(
    section: &SecretHeaderSection,
    report: &Report,
) -> Result<SecretHeader, Reported> {
    let value = secret(&section.value_file, report);
    let next = section.next_value_file.as_ref().map(|file| secret(file, report)).transpose();
    let (value, next) = (value?, next?);
    if let (Some(file), true) = (&section.next_value_file, next.as_ref() == Some(&value)) {
        let mend = "the rotation is over: remove next_value_file";
        report.warning(&file.at, "both files hold the same secret", mend);
    }
    let name = section.name.value.clone();
    let next = next.map(|next| Ok((next_name(&name, &section.name.at, report)?, next))).transpose()?;
    Ok(SecretHeader { name, value, next })
}

/// Both values travel in fields of their own: what origins make of a repeated field differs.
fn next_name(name: &HeaderName, at: &Location, report: &Report) -> Result<HeaderName, Reported> {
    HeaderName::try_from(format!("{name}-next"))
        .map_err(|_| report.problem(at, "the name is too long for a rotation", "choose a shorter one"))
}

fn secret(file: &Located<PathBuf>, report: &Report) -> Result<HeaderValue, Reported> {
    let text = read_small_file(&file.value, &file.at, report)?;
    warn_if_world_readable(&file.value, &file.at, report);
    let text = text.trim_ascii();
    let problem = |message: &str, mend: &str| {
        Err(report.problem(&file.at, format!("{} {message}", file.value.display()), mend))
    };
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return problem("holds what no header can carry", "write one line of visible ASCII characters");
    }
    if text.len() < MIN_SECRET {
        let mend = "make one with `openssl rand -base64 32`";
        return problem(&format!("holds a secret of fewer than {MIN_SECRET} characters"), mend);
    }
    match HeaderValue::from_str(text) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Ok(value)
        }
        Err(_) => problem("holds what no header can carry", "write one line of visible ASCII characters"),
    }
}
