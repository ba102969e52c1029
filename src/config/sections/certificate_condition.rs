//! `routes[].client_certificate`: which certificates of clients a route takes.

use std::net::IpAddr;

use crate::config::document::{
    Entries, Fault, Kind, Reported, Section, Shape, Value, Written, list, nested, quoted, section, text,
    usable,
};
use crate::config::values::host_name;
use crate::policy::CertificateCondition;
use crate::tls::canonical_subject;

/// The word for any verified certificate, in place of a mapping.
const ANY: &str = "any";

/// The hint for an empty list of conditions.
pub const IF_EMPTY: &str = "write what the route takes, or remove the key to take any";

section! {
    /// A condition for client certificates. Of each list, one entry must be in the certificate.
    struct ConditionSection {
        /// Subjects as the access log writes them in `tls.client.subject`, such as `CN=till 7,O=Example`.
        subject: Written<Entries<Box<str>>> = list(text("subject (RFC 4514)", subject)).not_empty(IF_EMPTY),
        /// DNS names in the certificate, without wildcards.
        dns: Written<Entries<Box<str>>> = list(text("DNS name", dns_name)).not_empty(IF_EMPTY),
        /// URIs in the certificate.
        uri: Written<Entries<Box<str>>> = list(text("URI", uri)).not_empty(IF_EMPTY),
        /// E-mail addresses in the certificate.
        email: Written<Entries<Box<str>>> = list(text("e-mail address", email)).not_empty(IF_EMPTY),
        /// Fingerprints of whole certificates.
        sha256: Written<Entries<[u8; 32]>> = list(text("SHA-256 fingerprint", fingerprint)).not_empty(IF_EMPTY),
    }
}

/// The kind of a condition.
pub struct Condition;

impl Kind for Condition {
    type Value = CertificateCondition;

    fn read(&self, value: &Value<'_>) -> Result<CertificateCondition, Reported> {
        if value.is_word(ANY) {
            return Ok(CertificateCondition::default());
        }
        if !value.is_mapping() {
            let hint = "write any, or { subject: […] }, dns, uri, email or sha256";
            return Err(value.problem("this is not a condition for client certificates", hint));
        }
        if value.entries()?.is_empty() {
            let hint = "write any to take every verified certificate, or say whose";
            return Err(value.problem("the condition is empty", hint));
        }
        let section = nested::<ConditionSection>().read(value)?;
        Ok(CertificateCondition {
            subjects: entries(section.subject),
            dns_names: entries(section.dns),
            uris: entries(section.uri),
            emails: entries(section.email),
            fingerprints: entries(section.sha256),
        })
    }

    fn shape(&self) -> Shape {
        Shape::Either(vec![Shape::Words(vec![ANY]), Shape::Section(ConditionSection::specs())])
    }
}

/// The usable entries of a list; none if it is not written.
pub fn entries<T>(list: Written<Entries<T>>) -> Vec<T> {
    list.value().map_or(Vec::new(), |entries| usable(entries).collect())
}

fn subject(text: &str) -> Result<Box<str>, Fault> {
    canonical_subject(text).map(Into::into).ok_or_else(|| {
        let hint = "write it as the access log has it in tls.client.subject, such as CN=till 7,O=Example";
        Fault::new(format!("{} is not a subject as RFC 4514 writes it", quoted(text)), hint)
    })
}

fn dns_name(text: &str) -> Result<Box<str>, Fault> {
    if text.contains('*') {
        let hint = "write each name as it stands in the certificate";
        return Err(Fault::new(format!("{} has a *, and there are no wildcards here", quoted(text)), hint));
    }
    if text.parse::<IpAddr>().is_ok() {
        let hint = "write a DNS name, or choose the certificate by subject, uri or sha256";
        return Err(Fault::new(format!("{} is an address", quoted(text)), hint));
    }
    host_name(text)
}

fn uri(text: &str) -> Result<Box<str>, Fault> {
    let has_scheme =
        text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    if has_scheme && text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*') {
        return Ok(text.into());
    }
    let hint = "write it as it stands in the certificate, such as spiffe://example.com/till/7";
    Err(Fault::new(format!("{} is not a URI", quoted(text)), hint))
}

fn email(text: &str) -> Result<Box<str>, Fault> {
    let is_one = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host_name(host).is_ok());
    if is_one && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.into());
    }
    let hint = "write it as it stands in the certificate, such as till@example.com";
    Err(Fault::new(format!("{} is not an e-mail address", quoted(text)), hint))
}

/// The fingerprint of a whole certificate, as OpenSSL prints it, with or without colons.
fn fingerprint(text: &str) -> Result<[u8; 32], Fault> {
    let fault = || {
        let hint = "write the 64 digits that `openssl x509 -noout -fingerprint -sha256` prints";
        Fault::new(format!("{} is not a SHA-256 fingerprint", quoted(text)), hint)
    };
    let pairs: Vec<&[u8]> = match text.len() {
        64 => text.as_bytes().chunks(2).collect(),
        95 => text.as_bytes().split(|byte| *byte == b':').collect(),
        _ => return Err(fault()),
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &&[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_have_colons_or_none() {
        let plain = "00".repeat(31) + "aF";
        let mut expected = [0; 32];
        expected[31] = 0xaf;
        assert_eq!(fingerprint(&plain), Ok(expected));
        assert_eq!(fingerprint(&("00:".repeat(31) + "AF")), Ok(expected));
        for text in [
            "",
            "00",
            &"00".repeat(33),
            &"0g".repeat(32),
            &("00:".repeat(30) + "000:0"),
            &"ä".repeat(32),
            &":".repeat(95),
        ] {
            assert!(fingerprint(text).is_err(), "{text}");
        }
    }
}
