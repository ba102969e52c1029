//! An identity of the gateway's own: a certificate chain and its key, towards clients and origins.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use crate::tls::{
    Certificate, CertificateChain, ChainError, Identity, IdentityError, PrivateKey, PrivateKeyError,
};

use super::error::{Located, Location, Report, Reported};
use super::named_file::{self, located_path, warn_if_world_readable};
use super::reader::Value;

/// More than any chain or key takes.
const MAX_FILE: u64 = 256 * 1024;

const DAY: i64 = 24 * 60 * 60;

/// How long before its end a certificate is worth a warning: automatic renewal comes earlier.
const SOON: i64 = 21 * DAY;

/// The two files of an identity, as they are named in the configuration.
pub(super) struct IdentitySection {
    pub certificate_file: Located<PathBuf>,
    private_key_file: Located<PathBuf>,
    pub at: Location,
}

impl IdentitySection {
    /// Reads the entry, but none of the files that it names.
    pub fn read(value: &Value<'_>, folder: &Path) -> Result<Self, Reported> {
        let section = value.mapping(&["certificate_file", "private_key_file"]);
        let file = |key, mend| match section.find(key) {
            Some(file) => located_path(file, folder),
            None => Err(section.missing(key, mend)),
        };
        let certificate_file =
            file("certificate_file", "name the file with the certificate and its intermediates, in PEM");
        let private_key_file = file("private_key_file", "name the file with the private key, in PEM");
        Ok(Self {
            certificate_file: certificate_file?,
            private_key_file: private_key_file?,
            at: value.at().clone(),
        })
    }

    pub fn files(&self) -> [PathBuf; 2] {
        [self.certificate_file.value.clone(), self.private_key_file.value.clone()]
    }

    /// Reads both.
    pub fn load(&self, report: &Report) -> Result<Identity, Reported> {
        let chain = self.chain(report);
        let key = self.key(report);
        Identity::new(chain?, key?).map_err(|error| {
            let (at, mend) = match error {
                IdentityError::KeyMismatch | IdentityError::KeyOfIssuer(_) => {
                    (&self.private_key_file.at, "name the key that the certificate was requested with")
                }
                IdentityError::Unusable(_) => {
                    (&self.certificate_file.at, "have it issued again, in version 3")
                }
            };
            report.problem(at, error.to_string(), mend)
        })
    }

    /// Reads both, and the key as bytes too.
    pub fn load_with_key(&self, report: &Report) -> Result<(Identity, PrivateKeyDer<'static>), Reported> {
        let identity = self.load(report)?;
        let Located { value: path, at } = &self.private_key_file;
        let pem = read_pem(path, MAX_FILE, at, report)?;
        let key = PrivateKey::der_from_pem(&pem).map_err(|error| {
            report.problem(at, format!("{}: {error}", path.display()), "do not write to it meanwhile")
        })?;
        Ok((identity, key))
    }

    fn chain(&self, report: &Report) -> Result<CertificateChain, Reported> {
        let Located { value: path, at } = &self.certificate_file;
        let pem = read_pem(path, MAX_FILE, at, report)?;
        CertificateChain::from_pem(&pem).map_err(|error| {
            let mend = match error {
                ChainError::Pem(_) | ChainError::Empty => {
                    "give it PEM texts that begin with -----BEGIN CERTIFICATE-----"
                }
                ChainError::Malformed(_) => "copy the certificate again from where it was issued",
                ChainError::Unlinked(_) => {
                    "put the server's own certificate first, and behind each the one that issued it"
                }
            };
            report.problem(at, format!("{}: {error}", path.display()), mend)
        })
    }

    fn key(&self, report: &Report) -> Result<PrivateKey, Reported> {
        let Located { value: path, at } = &self.private_key_file;
        let pem = read_pem(path, MAX_FILE, at, report)?;
        warn_if_world_readable(path, at, report);
        PrivateKey::from_pem(&pem).map_err(|error| {
            let mend = match error {
                PrivateKeyError::Pem | PrivateKeyError::Missing => {
                    "give it a PEM text that begins with -----BEGIN PRIVATE KEY-----"
                }
                PrivateKeyError::Several => "keep the one that the certificate was requested with",
                PrivateKeyError::Encrypted => {
                    "decrypt it (openssl pkey -in … -out …), and let only the gateway read it"
                }
                PrivateKeyError::Unusable => {
                    "use ECDSA with P-256, P-384 or P-521, RSA from 2048 bits, or Ed25519"
                }
            };
            report.problem(at, format!("{}: {error}", path.display()), mend)
        })
    }
}

/// Says whether it is valid now, and for long enough.
pub(super) fn check_validity(file: &Located<PathBuf>, identity: &Identity, now: i64, report: &Report) {
    let Located { value: path, at } = file;
    let path = path.display();
    let Certificate { not_before, not_after, .. } = *identity.certificate();
    if not_after < now {
        let message = format!("{path}: the certificate has expired on {}", show(not_after));
        report.problem(at, message, "renew it");
    } else if not_after - now < SOON {
        let (message, days) = (format!("{path}: the certificate expires on {}", show(not_after)), SOON / DAY);
        report.warning(at, message, format!("renew it; automatic renewal leaves more than {days} days"));
    }
    if not_before > now {
        let message = format!("{path}: the certificate is not valid before {}", show(not_before));
        report.warning(at, message, "wait, or set this machine's clock");
    }
    for (index, issuer) in identity.chain().certificates().iter().enumerate().skip(1) {
        if issuer.not_after < now {
            let message = format!(
                "{path}: certificate {} of the chain expired on {}",
                index + 1,
                show(issuer.not_after)
            );
            report.warning(at, message, "take the chain that your authority offers now");
        }
    }
}

/// The bytes of a file with PEM in it.
pub(super) fn read_pem(
    path: &Path,
    limit: u64,
    at: &Location,
    report: &Report,
) -> Result<Zeroizing<Vec<u8>>, Reported> {
    let bytes = named_file::read(path, limit + 1, at, report)?;
    if bytes.len() as u64 > limit {
        let message = format!("{} is larger than {} KiB", path.display(), limit / 1024);
        return Err(report.problem(at, message, "check that it is the right file"));
    }
    Ok(bytes)
}

pub(super) fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// A moment as messages show it.
pub(super) fn show(time: i64) -> String {
    Timestamp::from_second(time).map_or_else(|_| format!("second {time}"), |time| time.to_string())
}
