//! What an origin's entry names files for: certificates, keys and secrets.

use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::section::{SecretHeaderSection, TlsSection};
use crate::config::error::{Located, Location, Report, Reported};
use crate::config::identity::{IdentitySection, check_validity, read_pem, unix_now};
use crate::config::keys::read_small_file;
use crate::config::named_file::warn_if_world_readable;
use crate::origins::{OriginHttp, OriginTls, SecretHeader};
use crate::tls::{Certificate, Identity};

/// Room for every authority of the world.
const MAX_CA_FILE: u64 = 4 * 1024 * 1024;

/// A secret shorter than this can be guessed.
const MIN_SECRET: usize = 16;

/// Reads the files. `host` is the origin's.
pub(super) fn tls(
    section: Option<TlsSection>,
    host: &str,
    http: OriginHttp,
    at: &Location,
    report: &Report,
) -> Result<OriginTls, Reported> {
    let section = section.unwrap_or_default();
    let name = section.server_name.as_ref().map_or(host, |name| &name.value);
    let server_name = ServerName::try_from(name.to_owned()).map_err(|_| {
        let at = section.server_name.as_ref().map_or(at, |name| &name.at);
        report.problem(at, "no certificate can be for this name", "write a host name, or use http://")
    });
    let roots = section.ca_file.as_ref().map(|file| roots(file, report)).transpose();
    let identity = section.client_certificate.map(|section| identity(&section?, http, report)).transpose();
    let (identity, identity_key) = identity?.unzip();
    Ok(OriginTls {
        server_name: server_name?,
        roots: roots?,
        identity,
        identity_key: identity_key.flatten().map(Arc::new),
    })
}

/// The authorities that are trusted.
fn roots(file: &Located<PathBuf>, report: &Report) -> Result<Vec<CertificateDer<'static>>, Reported> {
    let Located { value: path, at } = file;
    let pem = read_pem(path, MAX_CA_FILE, at, report)?;
    let problem = |why: String| {
        let mend = "name a file with certificates of authorities, each after -----BEGIN CERTIFICATE-----";
        report.problem(at, format!("{}: {why}", path.display()), mend)
    };
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let roots = roots.map_err(|error| problem(format!("it is not PEM: {error}")))?;
    if roots.is_empty() {
        return Err(problem("it has no certificate".to_owned()));
    }
    let mut store = RootCertStore::empty();
    for (index, root) in roots.iter().enumerate() {
        // Pingora, which is handed them for HTTP/2, panics over what cannot be read.
        let is_read = Certificate::from_der(root).is_ok() && store.add(root.clone()).is_ok();
        if !is_read {
            return Err(problem(format!("its certificate {} cannot be used", index + 1)));
        }
    }
    Ok(roots)
}

/// What the origin asks the gateway for.
fn identity(
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
