//! `routes[].client_certificate`: which certificates of clients a route takes.

use std::net::IpAddr;

use crate::policy::CertificateCondition;
use crate::tls::canonical_subject;

use super::domain::host_name;
use super::error::{Fault, Located, Reported, quoted};
use super::file::conditions;
use super::reader::Value;

/// Any verified certificate, in place of a mapping.
const ANY: &str = "any";

/// Reads the condition.
pub(super) fn read(value: &Value<'_>) -> Result<Located<CertificateCondition>, Reported> {
    if value.is_word(ANY) {
        return Ok(Located { value: CertificateCondition::default(), at: value.at().clone() });
    }
    if !value.is_mapping() {
        let mend = "write any, or { subject: […] }, dns, uri, email or sha256";
        return Err(value.problem("this is no condition for client certificates", mend));
    }
    let mapping = value.mapping(&["subject", "dns", "uri", "email", "sha256"]);
    let condition = CertificateCondition {
        subjects: conditions(&mapping, "subject", subject),
        dns_names: conditions(&mapping, "dns", dns_name),
        uris: conditions(&mapping, "uri", uri),
        emails: conditions(&mapping, "email", email),
        fingerprints: conditions(&mapping, "sha256", fingerprint),
    };
    if value.entries()?.is_empty() {
        let mend = "write any to take every verified certificate, or say whose";
        return Err(value.problem("it says nothing of the certificate", mend));
    }
    Ok(Located { value: condition, at: value.at().clone() })
}

fn subject(text: &str) -> Result<Box<str>, Fault> {
    canonical_subject(text).map(Into::into).ok_or_else(|| {
        let mend = "write it as the access log has it in tls.client.subject, such as CN=till 7,O=Example";
        Fault::new(format!("{} is not a subject as RFC 4514 writes it", quoted(text)), mend)
    })
}

fn dns_name(text: &str) -> Result<Box<str>, Fault> {
    if text.contains('*') {
        let mend = "write each name as it stands in the certificate";
        return Err(Fault::new(format!("{} has a *, and there are no wildcards here", quoted(text)), mend));
    }
    if text.parse::<IpAddr>().is_ok() {
        let mend = "write a DNS name, or choose the certificate by subject, uri or sha256";
        return Err(Fault::new(format!("{} is an address", quoted(text)), mend));
    }
    host_name(text)
}

fn uri(text: &str) -> Result<Box<str>, Fault> {
    let has_scheme =
        text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    if has_scheme && text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*') {
        return Ok(text.into());
    }
    let mend = "write it as it stands in the certificate, such as spiffe://example.com/till/7";
    Err(Fault::new(format!("{} is not a URI", quoted(text)), mend))
}

fn email(text: &str) -> Result<Box<str>, Fault> {
    let is_one = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host_name(host).is_ok());
    if is_one && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.into());
    }
    let mend = "write it as it stands in the certificate, such as till@example.com";
    Err(Fault::new(format!("{} is not an e-mail address", quoted(text)), mend))
}

/// Of a whole certificate, as OpenSSL prints it or without the colons.
fn fingerprint(text: &str) -> Result<[u8; 32], Fault> {
    let fault = || {
        let mend = "write the 64 digits that `openssl x509 -noout -fingerprint -sha256` prints";
        Fault::new(format!("{} is not a SHA-256 fingerprint", quoted(text)), mend)
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
        let mut cases = 0;
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
            cases += 1;
        }
        assert_eq!(cases, 7);
    }
}
