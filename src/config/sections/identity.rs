//! A certificate chain of the gateway with its private key, shown to clients or to an origin.

use std::path::PathBuf;

use jiff::Timestamp;
use rustls_pki_types::PrivateKeyDer;

use crate::clock;
use crate::config::document::{Located, Report, Reported, required, section};
use crate::config::values::{file, read_file, warn_if_world_readable};
use crate::tls::{
    Certificate, CertificateChain, ChainError, Identity, IdentityError, PrivateKey, PrivateKeyError,
};

/// More than any chain or key needs.
const MAX_FILE: u64 = 256 * 1024;

const DAY: i64 = 24 * 60 * 60;

/// The remaining validity, in seconds, at which a certificate causes a warning. Automatic renewal happens
/// earlier.
const SOON: i64 = 21 * DAY;

section! {
    /// A certificate with its key.
    pub struct IdentitySection {
        /// A PEM file: the certificate itself, and then its intermediates.
        pub certificate_file: Located<PathBuf> =
            required(file(), "name the file with the certificate and its intermediates, in PEM"),
        /// A PEM file with the key, which only the gateway may read: ECDSA (P-256, P-384, P-521),
        /// RSA from 2048 bits, or Ed25519.
        private_key_file: Located<PathBuf> = required(file(), "name the file with the private key, in PEM"),
    }
}

impl IdentitySection {
    /// The paths of both files.
    pub fn files(&self) -> [PathBuf; 2] {
        [self.certificate_file.value.clone(), self.private_key_file.value.clone()]
    }

    /// Reads and checks both files.
    pub fn load(&self, report: &Report) -> Result<Identity, Reported> {
        let chain = self.chain(report);
        let key = self.key(report);
        Identity::new(chain?, key?).map_err(|error| {
            let (at, hint) = match error {
                IdentityError::KeyMismatch | IdentityError::KeyOfIssuer(_) => {
                    (&self.private_key_file.at, "name the key that the certificate was requested with")
                }
                IdentityError::Unusable(_) => {
                    (&self.certificate_file.at, "have it issued again, in version 3")
                }
            };
            report.problem(at, error.to_string(), hint)
        })
    }

    /// Reads and checks both files. Also returns the key in DER.
    pub fn load_with_key(&self, report: &Report) -> Result<(Identity, PrivateKeyDer<'static>), Reported> {
        let identity = self.load(report)?;
        let Located { value: path, at } = &self.private_key_file;
        let pem = read_file(&self.private_key_file, MAX_FILE, report)?;
        let key = PrivateKey::der_from_pem(&pem).map_err(|error| {
            report.problem(at, format!("{}: {error}", path.display()), "do not change it during a reload")
        })?;
        Ok((identity, key))
    }

    fn chain(&self, report: &Report) -> Result<CertificateChain, Reported> {
        let Located { value: path, at } = &self.certificate_file;
        let pem = read_file(&self.certificate_file, MAX_FILE, report)?;
        CertificateChain::from_pem(&pem).map_err(|error| {
            let hint = match error {
                ChainError::Pem(_) | ChainError::Empty => {
                    "give it PEM texts that begin with -----BEGIN CERTIFICATE-----"
                }
                ChainError::Malformed(_) => "copy the certificate again from where it was issued",
                ChainError::Unlinked(_) => {
                    "put the server's own certificate first, and after each the one that issued it"
                }
            };
            report.problem(at, format!("{}: {error}", path.display()), hint)
        })
    }

    fn key(&self, report: &Report) -> Result<PrivateKey, Reported> {
        let Located { value: path, at } = &self.private_key_file;
        let pem = read_file(&self.private_key_file, MAX_FILE, report)?;
        warn_if_world_readable(path, at, report);
        PrivateKey::from_pem(&pem).map_err(|error| {
            let hint = match error {
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
            report.problem(at, format!("{}: {error}", path.display()), hint)
        })
    }
}

/// Warns of a certificate that is not valid now, or expires soon.
pub fn check_validity(file: &Located<PathBuf>, identity: &Identity, now: i64, report: &Report) {
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

/// The present Unix time in seconds.
pub fn unix_now() -> i64 {
    let now = clock::unix_time();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// A Unix time as it appears in messages.
pub fn show(time: i64) -> String {
    Timestamp::from_second(time).map_or_else(|_| format!("second {time}"), |time| time.to_string())
}
