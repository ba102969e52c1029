//! The fields of a certificate (RFC 5280).

use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry as oids;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::distinguished_name;

/// The facts in one certificate, unverified. Code that needs to trust the certificate verifies its chain
/// first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject in the form of RFC 4514: `CN=api.example.com,O=Example`. May be empty.
    pub subject: Box<str>,
    /// The common name in the subject. `None` if there is none, or if it is not text.
    pub common_name: Option<Box<str>>,
    /// The DNS names in the order of the certificate, in lower case; wildcards as `*.example.com`.
    pub dns_names: Vec<Box<str>>,
    /// The IP addresses of the subject alternative name.
    pub addresses: Vec<IpAddr>,
    /// The URIs of the subject alternative name, for example a SPIFFE id.
    pub uris: Vec<Box<str>>,
    /// The e-mail addresses of the subject alternative name.
    pub emails: Vec<Box<str>>,
    /// The first second of the validity, in Unix time.
    pub not_before: i64,
    /// The last second of the validity, in Unix time.
    pub not_after: i64,
    /// Kind and size of the public key: `ECDSA P-256`, `RSA 2048`.
    pub key: Box<str>,
    /// SHA-256 over the whole certificate: the fingerprint.
    pub fingerprint: Digest,
    /// SHA-256 over the SubjectPublicKeyInfo, which apps pin.
    pub pin: Pin,
    /// Whether the certificate has the address of its issuer's certificate. Certificates of public
    /// authorities have it.
    pub names_its_issuer: bool,
    subject_der: Box<[u8]>,
    issuer_der: Box<[u8]>,
    subject_key_id: Option<Box<[u8]>>,
    authority_key_id: Option<Box<[u8]>>,
}

/// The bytes are not an X.509 certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedCertificate;

impl fmt::Display for MalformedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no X.509 certificate")
    }
}

impl std::error::Error for MalformedCertificate {}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// [`MalformedCertificate`] if the bytes are not exactly one certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, MalformedCertificate> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| MalformedCertificate)?;
        if !rest.is_empty() {
            return Err(MalformedCertificate);
        }
        let mut certificate = Self {
            subject: distinguished_name::text(parsed.subject()).into(),
            common_name: distinguished_name::common_name(parsed.subject()).map(Into::into),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            key: key(parsed.public_key()).into(),
            fingerprint: Digest::of(der),
            pin: Pin::of(parsed.public_key().raw),
            names_its_issuer: false,
            subject_der: parsed.subject().as_raw().into(),
            issuer_der: parsed.issuer().as_raw().into(),
            subject_key_id: None,
            authority_key_id: None,
        };
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    names.general_names.iter().for_each(|name| certificate.add_name(name));
                }
                ParsedExtension::SubjectKeyIdentifier(id) => certificate.subject_key_id = Some(id.0.into()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    certificate.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.into());
                }
                ParsedExtension::AuthorityInfoAccess(access) => {
                    certificate.names_its_issuer |= access
                        .iter()
                        .any(|access| access.access_method == oids::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS);
                }
                _ => {}
            }
        }
        Ok(certificate)
    }

    fn add_name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) if name.is_ascii() => {
                self.dns_names.push(name.to_ascii_lowercase().into());
            }
            GeneralName::IPAddress(bytes) => {
                let ipv4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let ipv6 = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                self.addresses.extend(ipv4.or_else(|_| ipv6()));
            }
            GeneralName::URI(uri) => self.uris.push((*uri).into()),
            GeneralName::RFC822Name(email) => self.emails.push((*email).into()),
            _ => {}
        }
    }

    /// A short name: the first DNS name or IP address. Without one, the common name or the subject.
    pub fn name(&self) -> String {
        let dns_name = self.dns_names.first().map(ToString::to_string);
        let address = || self.addresses.first().map(ToString::to_string);
        let other = || self.common_name.as_deref().unwrap_or(&self.subject).to_owned();
        dns_name.or_else(address).unwrap_or_else(other)
    }

    /// Every DNS name and IP address that a client may connect to.
    pub fn names(&self) -> Vec<String> {
        let names = self.dns_names.iter().map(ToString::to_string);
        names.chain(self.addresses.iter().map(ToString::to_string)).collect()
    }

    /// Whether the certificate's own dates include `now`, in Unix time.
    pub fn is_valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Whether `issuer` may have issued this certificate: the names match, and so do the key ids if both
    /// certificates have one. The signature is not verified.
    pub fn is_issued_by(&self, issuer: &Certificate) -> bool {
        let keys_agree = match (&self.authority_key_id, &issuer.subject_key_id) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        self.issuer_der == issuer.subject_der && keys_agree
    }

    /// Whether subject and issuer are the same, as in a root certificate.
    pub fn is_self_issued(&self) -> bool {
        self.issuer_der == self.subject_der
    }
}

/// Brings a configured subject into the form of [`Certificate::subject`], so that the two can be compared.
/// `None` if `name` is not a name in the form of RFC 4514.
pub fn canonical_subject(name: &str) -> Option<String> {
    distinguished_name::canonical(name)
}

/// A SHA-256 digest, printed in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The pin of a public key: SHA-256 over its SubjectPublicKeyInfo, printed in base64 (RFC 7469
/// §2.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin(pub [u8; 32]);

impl Pin {
    /// The pin of a SubjectPublicKeyInfo in DER.
    pub fn of(public_key_info: &[u8]) -> Self {
        Self(Sha256::digest(public_key_info).into())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Kind and size of a public key.
fn key(info: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = &info.algorithm.algorithm;
    let curve = || info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(_)) => match curve() {
            Some(curve) if curve == oids::OID_EC_P256 => "ECDSA P-256".to_owned(),
            Some(curve) if curve == oids::OID_NIST_EC_P384 => "ECDSA P-384".to_owned(),
            Some(curve) if curve == oids::OID_NIST_EC_P521 => "ECDSA P-521".to_owned(),
            _ => "ECDSA with another curve".to_owned(),
        },
        _ if *algorithm == oids::OID_SIG_ED25519 => "Ed25519".to_owned(),
        _ => format!("key of type {algorithm}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn der() -> Vec<u8> {
        let names = ["api.example.com".to_owned(), "192.0.2.1".to_owned(), "*.Example.org".to_owned()];
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("names");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn says_names_and_prints_digests() {
        let certificate = Certificate::from_der(&der()).expect("a certificate");
        assert_eq!(certificate.names(), ["api.example.com", "*.example.org", "192.0.2.1"]);
        assert_eq!(certificate.name(), "api.example.com");
        assert!(certificate.is_self_issued() && certificate.is_issued_by(&certificate));
        // RFC 7469 has no example of its own; the digest of nothing is well known.
        assert_eq!(Pin::of(b"").to_string(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert!(Digest::of(b"").to_string().starts_with("e3b0c44298fc1c14"));
    }

    #[test]
    fn bytes_behind_a_certificate_are_part_of_none() {
        let mut der = der();
        der.push(0);
        assert_eq!(Certificate::from_der(&der), Err(MalformedCertificate));
        assert_eq!(Certificate::from_der(&[]), Err(MalformedCertificate));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

        #[test]
        fn no_damaged_certificate_panics(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut der = der();
            for (at, byte) in changes {
                let at = at.index(der.len());
                der[at] = byte;
            }
            let _ = Certificate::from_der(&der);
            prop_assert!(Certificate::from_der(&der[..cut.index(der.len())]).is_err());
        }
    }
}
