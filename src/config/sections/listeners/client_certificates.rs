//! `client_certificates`: whether and how clients prove themselves with certificates.

use std::path::PathBuf;

use super::super::identity::{show, unix_now};
use crate::config::document::{Located, Location, Report, Reported, Written, required, section, words};
use crate::config::values::{file, read_file};
use crate::tls::{AuthorityError, ClientAuth, ClientAuthMode};

/// Enough for all public authorities, and for long revocation lists.
const MAX_FILE: u64 = 16 * 1024 * 1024;

section! {
    /// Certificates of clients.
    pub struct ClientCertificatesSection {
        /// `off` asks for none; `optional` verifies a certificate if the client shows one; `required`
        /// refuses clients without one.
        mode: Located<ClientAuthMode> = required(
            words(ClientAuthMode::ALL.map(|mode| (mode.label(), mode))),
            "write mode: off, optional or required",
        ),
        /// A PEM file with the authorities whose certificates are accepted.
        ca_file: Written<PathBuf> = file(),
        /// A PEM file with revocation lists: one for each authority in a client's chain. Every list
        /// must be fresh; clients of an authority without a list are refused. Default: no lists.
        crl_file: Written<PathBuf> = file(),
    }
}

impl ClientCertificatesSection {
    /// Whether the listener asks clients for certificates.
    pub fn asks(&self) -> bool {
        self.mode.value != ClientAuthMode::Off
    }

    /// The paths of the files that are configured.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        [&self.ca_file, &self.crl_file].into_iter().filter_map(|file| Some(file.get()?.value.clone()))
    }

    /// Reads and checks the files. `at` is the place of the section.
    pub fn load(self, at: &Location, report: &Report) -> Result<ClientAuth, Reported> {
        let mode = self.mode.value;
        let (authorities, lists) = (self.ca_file.checked(), self.crl_file.checked());
        let (authorities, lists) = (authorities?, lists?);
        let Some(authorities) = authorities else {
            let hint = match (&lists, mode) {
                (Some(_), _) => "name the file with the authority whose list this is, in PEM",
                (None, ClientAuthMode::Off) => return Ok(ClientAuth::off()),
                (None, _) => "name the file with the authorities of your clients, in PEM",
            };
            return Err(report.problem(at, "ca_file is missing", hint));
        };
        let authorities_pem = read_file(&authorities, MAX_FILE, report);
        let lists_pem = lists.as_ref().map(|file| read_file(file, MAX_FILE, report)).transpose();
        let (authorities_pem, lists_pem) = (authorities_pem?, lists_pem?);
        let lists_pem = lists_pem.as_ref().map(|lists| lists.as_slice());
        let auth = ClientAuth::from_pem(mode, &authorities_pem, lists_pem).map_err(|error| {
            let hint = match error {
                AuthorityError::Pem(_) | AuthorityError::Empty => {
                    "give it PEM texts that begin with -----BEGIN CERTIFICATE-----"
                }
                AuthorityError::Malformed(_) => "copy the certificate again from where it was issued",
                AuthorityError::ListPem(_) | AuthorityError::NoList => {
                    "give it PEM texts that begin with -----BEGIN X509 CRL-----"
                }
                AuthorityError::MalformedList(_) => "fetch the list again from where it is published",
            };
            let file = lists.as_ref().filter(|_| error.concerns_lists()).unwrap_or(&authorities);
            report.problem(&file.at, format!("{}: {error}", file.value.display()), hint)
        })?;
        check_validity(&auth, &authorities, lists.as_ref(), report);
        Ok(auth)
    }
}

fn check_validity(
    auth: &ClientAuth,
    authorities: &Located<PathBuf>,
    lists: Option<&Located<PathBuf>>,
    report: &Report,
) {
    let now = unix_now();
    if let (Some(Located { value: path, at }), Some(expires)) = (lists, auth.lists_expire())
        && expires < now
    {
        let message = format!("{}: a revocation list is outdated since {}", path.display(), show(expires));
        report.problem(at, message, "fetch it again; clients that it covers cannot connect");
    }
    let Located { value: path, at } = authorities;
    for authority in auth.authorities().iter().filter(|authority| authority.not_after < now) {
        let (path, name) = (path.display(), authority.name());
        let message = format!("{path}: the authority {name} expired on {}", show(authority.not_after));
        report.warning(at, message, "remove it, or put its successor next to it");
    }
}
