//! A client's certificate, as conditions of routes see it.

use crate::policy::ClientCertificate;
use crate::tls::Certificate;

impl<'c> From<&'c Certificate> for ClientCertificate<'c> {
    /// The values of a verified certificate.
    fn from(certificate: &'c Certificate) -> Self {
        Self {
            subject: &certificate.subject,
            dns_names: &certificate.dns_names,
            uris: &certificate.uris,
            emails: &certificate.emails,
            fingerprint: &certificate.fingerprint.0,
        }
    }
}
