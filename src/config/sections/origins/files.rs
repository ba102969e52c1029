//! The files of an origin: certificates, keys and secrets.

use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::super::identity::{IdentitySection, check_validity, unix_now};
use super::section::{OriginTlsSection, SecretHeaderSection};
use crate::config::document::{Located, Location, Report, Reported, Section};
use crate::config::values::{read_file, read_small_file, warn_if_world_readable};
use crate::origins::{OriginHttp, OriginTls, SecretHeader};
use crate::tls::{Certificate, Identity};

/// Room for the certificates of all public authorities.
pub const MAX_CA_FILE: u64 = 4 * 1024 * 1024;

/// A secret shorter than this can be guessed.
const MIN_SECRET: usize = 16;

/// Reads the files of `tls`. `host` is the origin's, `at` the place of the domain.
pub fn tls(
    section: Option<OriginTlsSection>,
    host: &str,
    http: OriginHttp,
    at: &Location,
    report: &Report,
) -> Result<OriginTls, Reported> {
    let section = section.map_or_else(|| OriginTlsSection::unwritten(at.clone(), report), Ok)?;
    let name = section.server_name.get();
    let server_name = ServerName::try_from(name.map_or(host, |name| &name.value).to_owned()).map_err(|_| {
        let at = name.map_or(at, |name| &name.at);
        report.problem(at, "no certificate can be for this name", "write a host name, or use http://")
    });
    let roots =
        section.ca_file.checked().and_then(|file| file.map(|file| authorities(&file, report)).transpose());
    let identity = section.client_certificate.checked();
    let identity = identity.and_then(|own| own.map(|own| identity_of(&own.value, http, report)).transpose());
    let (identity, identity_key) = identity?.unzip();
    Ok(OriginTls {
        server_name: server_name?,
        roots: roots?,
        identity,
        identity_key: identity_key.flatten().map(Arc::new),
    })
}

/// Reads the trusted authorities from a file.
fn authorities(file: &Located<PathBuf>, report: &Report) -> Result<Vec<CertificateDer<'static>>, Reported> {
    authorities_in(&read_file(file, MAX_CA_FILE, report)?, file, report)
}

/// The trusted authorities in the PEM text of `file`.
pub fn authorities_in(
    pem: &[u8],
    file: &Located<PathBuf>,
    report: &Report,
) -> Result<Vec<CertificateDer<'static>>, Reported> {
    let Located { value: path, at } = file;
    let problem = |why: String| {
        let hint = "name a file with certificates of authorities, each after -----BEGIN CERTIFICATE-----";
        report.problem(at, format!("{}: {why}", path.display()), hint)
    };
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let roots = roots.map_err(|error| problem(format!("it is not PEM: {error}")))?;
    if roots.is_empty() {
        return Err(problem("it has no certificate".to_owned()));
    }
    let mut store = RootCertStore::empty();
    for (index, root) in roots.iter().enumerate() {
        // Pingora, which gets the certificates for HTTP/2, panics if it cannot read one.
        let is_read = Certificate::from_der(root).is_ok() && store.add(root.clone()).is_ok();
        if !is_read {
            return Err(problem(format!("its certificate {} cannot be used", index + 1)));
        }
    }
    Ok(roots)
}

/// Reads the gateway's own certificate for this origin.
fn identity_of(
    section: &IdentitySection,
    http: OriginHttp,
    report: &Report,
) -> Result<(Identity, Option<PrivateKeyDer<'static>>), Reported> {
    let (identity, key) = match http {
        OriginHttp::H1 => (section.load(report)?, None),
        OriginHttp::H2 { .. } => {
            let (identity, key) = section.load_with_key(report)?;
            (identity, Some(key))
        }
    };
    check_validity(&section.certificate_file, &identity, unix_now(), report);
    Ok((identity, key))
}

/// Reads the secret, and the next secret during a rotation.
pub fn secret_header(section: SecretHeaderSection, report: &Report) -> Result<SecretHeader, Reported> {
    let Located { value: name, at } = section.name;
    let value = secret(&section.value_file, report);
    let next_file = section.next_value_file.checked()?;
    let next = next_file.as_ref().map(|file| secret(file, report)).transpose();
    let (value, next) = (value?, next?);
    if let (Some(file), true) = (&next_file, next.as_ref() == Some(&value)) {
        let hint = "the rotation is over: remove next_value_file";
        report.warning(&file.at, "both files hold the same secret", hint);
    }
    let next = next.map(|next| Ok((next_name(&name, &at, report)?, next))).transpose()?;
    Ok(SecretHeader { name, value, next })
}

/// Each value has its own header, because origins read repeated headers differently.
fn next_name(name: &HeaderName, at: &Location, report: &Report) -> Result<HeaderName, Reported> {
    HeaderName::try_from(format!("{name}-next"))
        .map_err(|_| report.problem(at, "the name is too long for a rotation", "choose a shorter one"))
}

fn secret(file: &Located<PathBuf>, report: &Report) -> Result<HeaderValue, Reported> {
    let text = read_small_file(file, report)?;
    let Located { value: path, at } = file;
    warn_if_world_readable(path, at, report);
    let text = text.trim_ascii();
    let problem =
        |message: &str, hint: &str| Err(report.problem(at, format!("{} {message}", path.display()), hint));
    if text.len() < MIN_SECRET {
        let hint = "make one with `openssl rand -base64 32`";
        return problem(&format!("holds a secret of fewer than {MIN_SECRET} characters"), hint);
    }
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    match HeaderValue::from_str(text) {
        Ok(mut value) if is_visible => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => problem("holds what no header can carry", "write one line of visible ASCII characters"),
    }
}
