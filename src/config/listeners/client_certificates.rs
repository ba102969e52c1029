//! `listeners[].tls.client_certificates`: whose certificates are taken.

use std::path::{Path, PathBuf};

use crate::tls::{AuthorityError, ClientAuth, ClientAuthMode};

use super::super::error::{Located, Report, Reported};
use super::super::identity::{read_pem, show, unix_now};
use super::super::named_file::located_path;
use super::super::reader::Value;

/// Room for every authority of the world, and for long lists.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The mapping.
pub(super) struct ClientCertificates {
    mode: ClientAuthMode,
    authorities: Option<Located<PathBuf>>,
    lists: Option<Located<PathBuf>>,
}

impl ClientCertificates {
    /// Reads the mapping, but none of the files that it names.
    pub fn read(value: &Value<'_>, folder: &Path) -> Result<Self, Reported> {
        let mapping = value.mapping(&["mode", "ca_file", "crl_file"]);
        let file = |key| mapping.find(key).map(|file| located_path(file, folder)).transpose();
        let (authorities, lists) = (file("ca_file"), file("crl_file"));
        let words = ClientAuthMode::ALL.map(|mode| (mode.label(), mode));
        let mode = match mapping.find("mode") {
            Some(mode) => mode.word(&words)?,
            None => return Err(mapping.missing("mode", "write mode: off, optional or required")),
        };
        let section = Self { mode, authorities: authorities?, lists: lists? };
        let mend = match (&section.authorities, &section.lists) {
            (None, Some(_)) => "name the file with the authority whose list this is, in PEM",
            (None, None) if mode != ClientAuthMode::Off => {
                "name the file with the authorities of your clients, in PEM"
            }
            _ => return Ok(section),
        };
        Err(mapping.missing("ca_file", mend))
    }

    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.authorities.iter().chain(&self.lists).map(|file| file.value.clone())
    }

    /// Reads the files.
    pub fn load(&self, report: &Report) -> Result<ClientAuth, Reported> {
        let Some(Located { value: path, at }) = &self.authorities else { return Ok(ClientAuth::off()) };
        let authorities = read_pem(path, MAX_FILE, at, report);
        let lists = self.lists.as_ref().map(|file| read_pem(&file.value, MAX_FILE, &file.at, report));
        let (authorities, lists) = (authorities?, lists.transpose()?);
        let lists = lists.as_ref().map(|lists| lists.as_slice());
        let auth = ClientAuth::from_pem(self.mode, &authorities, lists).map_err(|error| {
            let mend = match error {
                AuthorityError::Pem(_) | AuthorityError::Empty => {
                    "give it PEM texts that begin with -----BEGIN CERTIFICATE-----"
                }
                AuthorityError::Malformed(_) => "copy the certificate again from where it was issued",
                AuthorityError::ListPem(_) | AuthorityError::NoList => {
                    "give it PEM texts that begin with -----BEGIN X509 CRL-----"
                }
                AuthorityError::MalformedList(_) => "fetch the list again from where it is published",
            };
            let file = match &self.lists {
                Some(lists) if error.concerns_lists() => lists,
                _ => &Located { value: path.clone(), at: at.clone() },
            };
            report.problem(&file.at, format!("{}: {error}", file.value.display()), mend)
        })?;
        self.check_validity(&auth, report);
        Ok(auth)
    }

    fn check_validity(&self, auth: &ClientAuth, report: &Report) {
        let now = unix_now();
        if let (Some(Located { value: path, at }), Some(expires)) = (&self.lists, auth.lists_expire())
            && expires < now
        {
            let message =
                format!("{}: a revocation list is outdated since {}", path.display(), show(expires));
            report.problem(at, message, "fetch it again; nobody whom it covers can connect");
        }
        for authority in auth.authorities().iter().filter(|authority| authority.not_after < now) {
            if let Some(Located { value: path, at }) = &self.authorities {
                let (path, name) = (path.display(), authority.name());
                let message =
                    format!("{path}: the authority {name} expired on {}", show(authority.not_after));
                report.warning(at, message, "remove it, or put its successor beside it");
            }
        }
    }
}
