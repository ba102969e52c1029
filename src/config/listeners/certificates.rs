//! `listeners[].tls.certificates`: chains and keys, and what is wrong with them now or soon.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use crate::policy::{HostPattern, Policy, Route};
use crate::tls::{
    Certificate, CertificateChain, ChainError, Identity, IdentityError, PrivateKey, PrivateKeyError,
    UnknownName,
};

use super::super::error::{Located, Location, Report, Reported, quoted};
use super::super::named_file::{located_path, warn_if_world_readable};
use super::super::reader::Value;
use super::tls::read_pem;

/// More than any chain or key takes.
const MAX_FILE: u64 = 256 * 1024;

const DAY: i64 = 24 * 60 * 60;

/// How long before its end a certificate is worth a warning: automatic renewal comes earlier.
const SOON: i64 = 21 * DAY;

/// An entry of `certificates`.
pub(super) struct CertificateSection {
    certificate_file: Located<PathBuf>,
    private_key_file: Located<PathBuf>,
    at: Location,
}

impl CertificateSection {
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

    fn load(&self, report: &Report) -> Result<Identity, Reported> {
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

/// Loads all of them; at least one.
pub(super) fn load(
    sections: &[Result<CertificateSection, Reported>],
    unknown_name: UnknownName,
    routes: &[Route],
    report: &Report,
) -> Result<Vec<Identity>, Reported> {
    let now = unix_now();
    let mut identities: Vec<(&CertificateSection, Identity)> = Vec::with_capacity(sections.len());
    let mut failed = Ok(());
    for section in sections {
        match section
            .as_ref()
            .map_err(|reported| *reported)
            .and_then(|section| Ok((section, section.load(report)?)))
        {
            Ok((section, identity)) => {
                check_validity(section, &identity, now, report);
                check_names(section, identity.certificate(), unknown_name, routes, report);
                let others = identities.iter().map(|(section, identity)| (*section, identity));
                check_use(section, &identity, others, report);
                identities.push((section, identity));
            }
            Err(reported) => failed = Err(reported),
        }
    }
    failed.map(|()| identities.into_iter().map(|(_, identity)| identity).collect())
}

pub(super) fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// A moment as messages show it.
pub(super) fn show(time: i64) -> String {
    Timestamp::from_second(time).map_or_else(|_| format!("second {time}"), |time| time.to_string())
}

fn check_validity(section: &CertificateSection, identity: &Identity, now: i64, report: &Report) {
    let Located { value: path, at } = &section.certificate_file;
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
    if identity.chain().lacks_issuer() {
        let message = format!("{path}: there is no intermediate certificate");
        report.warning(at, message, "append it (often called chain or bundle); phones do not fetch it");
    }
}

fn check_names(
    section: &CertificateSection,
    certificate: &Certificate,
    unknown_name: UnknownName,
    routes: &[Route],
    report: &Report,
) {
    let Located { value: path, at } = &section.certificate_file;
    let path = path.display();
    if certificate.names().is_empty() {
        let message = format!("{path}: the certificate has no names (subjectAltName)");
        report.warning(at, message, "have it issued with the API's names; clients refuse it as it is");
    } else if certificate.dns_names.is_empty() && unknown_name == UnknownName::Reject {
        let message = format!("{path}: the certificate has no DNS name, so that nobody can ask for it");
        report.warning(at, message, "write unknown_name: default, or have it issued with a DNS name");
    }
    for name in certificate.dns_names.iter().filter(|name| !routes.iter().any(|route| serves(route, name))) {
        let message = format!("{path}: no route serves {}", quoted(name));
        report.warning(at, message, "add the name to a route's hosts, or have the certificate without it");
    }
}

/// Whether the route forwards requests to a name of a certificate.
fn serves(route: &Route, name: &str) -> bool {
    let takes = |host: &HostPattern| match (name.strip_prefix("*."), host) {
        (None, host) => host.matches(name.as_bytes()),
        (Some(domain), HostPattern::Exact(host)) => {
            host.split_once('.').is_some_and(|(_, rest)| rest == domain)
        }
        (Some(domain), HostPattern::Suffix(suffix)) => format!(".{domain}").ends_with(&**suffix),
    };
    route.policy != Policy::Deny && (route.hosts.is_empty() || route.hosts.iter().any(takes))
}

/// A certificate all of whose names are taken, with the same kind of key, is never shown.
fn check_use<'i>(
    section: &CertificateSection,
    identity: &Identity,
    others: impl Iterator<Item = (&'i CertificateSection, &'i Identity)>,
    report: &Report,
) {
    let kind = |identity: &Identity| match &*identity.certificate().key {
        key if key.starts_with("RSA ") => "RSA".to_owned(),
        key => key.to_owned(),
    };
    let names = &identity.certificate().dns_names;
    let mut same_kind = others.filter(|(_, other)| kind(other) == kind(identity));
    let covering = same_kind.find(|(_, other)| {
        !names.is_empty() && names.iter().all(|name| other.certificate().dns_names.contains(name))
    });
    if let Some((other, _)) = covering {
        let message =
            format!("{} has all its names, and its kind of key: this one is never used", other.at.name());
        report.warning(&section.at, message, "remove one of them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approov::Strategy;
    use crate::policy::PathPattern;

    #[test]
    fn a_route_serves_a_name_if_some_request_for_it_can_take_it() {
        let mut cases = 0;
        for (hosts, policy, name, expected) in [
            (&[][..], Policy::Protect, "api.example.com", true),
            (&[], Policy::Deny, "api.example.com", false),
            (&["api.example.com"], Policy::Open, "api.example.com", true),
            (&["api.example.com"], Policy::Open, "www.example.com", false),
            (&["*.example.com"], Policy::Open, "api.example.com", true),
            (&["*.example.com"], Policy::Open, "example.com", false),
            (&["api.example.com"], Policy::Open, "*.example.com", true),
            (&["a.api.example.com"], Policy::Open, "*.example.com", false),
            (&["example.com"], Policy::Open, "*.example.com", false),
            (&["*.example.com"], Policy::Open, "*.example.com", true),
            (&["*.com"], Policy::Open, "*.example.com", true),
            (&["*.api.example.com"], Policy::Open, "*.example.com", false),
            (&["x.org", "api.example.com"], Policy::Open, "api.example.com", true),
        ] {
            let pattern = |host: &&str| match host.strip_prefix('*') {
                Some(suffix) => HostPattern::Suffix(suffix.into()),
                None => HostPattern::Exact((*host).into()),
            };
            let route = Route {
                name: "/".into(),
                path: PathPattern::Prefix("/".into()),
                methods: Vec::new(),
                hosts: hosts.iter().map(pattern).collect(),
                policy,
                strategy: Strategy::Token,
                origin: 0,
            };
            assert_eq!(serves(&route, name), expected, "{hosts:?} {name}");
            cases += 1;
        }
        assert_eq!(cases, 13);
    }
}
