//! Failed TLS handshakes and rejected certificates, in words.

use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use super::super::tls::SelfSigned;
use super::{AskedServer, Explanation, FailureCause, ServerKind};
use crate::clock;

/// The most characters of names in a certificate that are repeated.
const MAX_NAMES: usize = 120;

/// Explains a failed TLS handshake in words.
pub(super) fn explain_tls(error: &rustls::Error, asked: AskedServer<'_>) -> Explanation {
    let AskedServer { address, domain, server, .. } = asked;
    let (cause, message) = match error {
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => (FailureCause::NoTls, format!("{address} does not speak TLS; write http://{domain}")),
        rustls::Error::InvalidCertificate(error) => explain_certificate(error, asked),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => (
            FailureCause::HandshakeRefused,
            match server {
                ServerKind::Origin(name) => format!(
                    "{address} asks for a client certificate; set tls.client_certificate of origin {name}"
                ),
                ServerKind::KeySets | ServerKind::Collector => {
                    format!("{address} asks for a client certificate, which {} must not", server.what())
                }
            },
        ),
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => (
            FailureCause::HandshakeRefused,
            format!("{address} does not know the name that it is asked for; {}", server.how_to_name()),
        ),
        rustls::Error::AlertReceived(alert) => (
            FailureCause::HandshakeRefused,
            format!(
                "{address} refuses the TLS handshake ({alert:?}); check its log and the TLS versions it speaks"
            ),
        ),
        rustls::Error::PeerIncompatible(_) => (
            FailureCause::HandshakeRefused,
            format!("{address} speaks no TLS version or cipher that is safe; let it speak TLS 1.2 or 1.3"),
        ),
        _ => (
            FailureCause::HandshakeRefused,
            format!("the TLS handshake with {address} fails; check that it speaks TLS 1.2 or 1.3"),
        ),
    };
    Explanation { cause, message }
}

fn explain_certificate(error: &CertificateError, asked: AskedServer<'_>) -> (FailureCause, String) {
    let AskedServer { address, server, .. } = asked;
    match error {
        CertificateError::Other(other) if other.0.is::<SelfSigned>() => (
            FailureCause::SelfSigned,
            format!(
                "the certificate of {address} is self-signed; {}, or install one of an authority",
                server.how_to_trust("that certificate")
            ),
        ),
        CertificateError::UnknownIssuer => (
            FailureCause::UnknownAuthority,
            format!(
                "the certificate of {address} is of an authority that is not in {}, or its chain is incomplete; \
                 {}",
                if asked.has_own_authorities {
                    "tls.ca_file"
                } else {
                    "the system's certificates (SSL_CERT_FILE, if that is set)"
                },
                server.how_to_trust("the authority")
            ),
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare_name(name)).collect();
            let names: String = names.join(", ").chars().take(MAX_NAMES).collect();
            (
                FailureCause::WrongName,
                format!(
                    "the certificate of {address} is for {}, not for {}; {}",
                    if names.is_empty() { "no name" } else { &names },
                    expected.to_str(),
                    server.how_to_name()
                ),
            )
        }
        CertificateError::NotValidForName => (
            FailureCause::WrongName,
            format!("the certificate of {address} is for another name; {}", server.how_to_name()),
        ),
        CertificateError::ExpiredContext { not_after, .. } => (
            FailureCause::Expired,
            format!(
                "the certificate of {address} has expired at {}; renew it, and check this machine's clock",
                clock::date(Duration::from_secs(not_after.as_secs()))
            ),
        ),
        CertificateError::Expired => (
            FailureCause::Expired,
            format!("the certificate of {address} has expired; renew it, and check this machine's clock"),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            FailureCause::NotYetValid,
            format!("the certificate of {address} is not valid yet; check this machine's clock"),
        ),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (
            FailureCause::BadCertificate,
            format!(
                "the certificate of {address} is an authority's own, which no server may use; install one with \
                 the basic constraint CA:FALSE there"
            ),
        ),
        _ => (
            FailureCause::BadCertificate,
            format!("the certificate of {address} cannot be used ({error}); install another one there"),
        ),
    }
}

/// A name as it stands in a certificate: rustls shows `DnsName("a.example")`.
fn bare_name(shown: &str) -> &str {
    shown.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map_or(shown, |(name, _)| name)
}
