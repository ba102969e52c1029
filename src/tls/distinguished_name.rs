//! Distinguished names as text (RFC 4514). Names have the same text only if they have the same parts
//! in the same order, so that conditions may compare it.

use std::fmt::Write;

use x509_parser::der_parser::asn1_rs::{Tag, ToDer};
use x509_parser::oid_registry::{self as oids, Oid};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The short names of RFC 4514 §3, and of RFC 2985 for e-mail addresses.
const SHORT_NAMES: [(Oid<'static>, &str); 10] = [
    (oids::OID_X509_COMMON_NAME, "CN"),
    (oids::OID_X509_LOCALITY_NAME, "L"),
    (oids::OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
    (oids::OID_X509_ORGANIZATION_NAME, "O"),
    (oids::OID_X509_ORGANIZATIONAL_UNIT, "OU"),
    (oids::OID_X509_COUNTRY_NAME, "C"),
    (oids::OID_X509_STREET_ADDRESS, "STREET"),
    (oids::OID_DOMAIN_COMPONENT, "DC"),
    (oids::OID_USERID, "UID"),
    (oids::OID_PKCS9_EMAIL_ADDRESS, "emailAddress"),
];

/// The name, its last part first.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for part in parts.into_iter().rev() {
        for (index, attribute) in part.iter().enumerate() {
            match (text.is_empty(), index) {
                (true, _) => {}
                (false, 0) => text.push(','),
                (false, _) => text.push('+'),
            }
            write_attribute(attribute, &mut text);
        }
    }
    text
}

/// The common name, if there is one and it is text; the last of several, which is the most
/// specific one.
pub(super) fn common_name<'n>(name: &'n X509Name<'_>) -> Option<&'n str> {
    name.iter_common_name().last()?.as_str().ok()
}

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, text: &mut String) {
    let kind = attribute.attr_type();
    let short_name = SHORT_NAMES.iter().find(|(oid, _)| oid == kind).map(|(_, name)| *name);
    let value = attribute.attr_value();
    let is_text =
        matches!(value.tag(), Tag::NumericString | Tag::PrintableString | Tag::Utf8String | Tag::Ia5String);
    // Writing to a string does not fail.
    match (short_name, std::str::from_utf8(value.data)) {
        (Some(name), Ok(value)) if is_text => {
            let _ = write!(text, "{name}=");
            write_escaped(value, text);
        }
        (short_name, _) => {
            let _ = match short_name {
                Some(name) => write!(text, "{name}=#"),
                None => write!(text, "{kind}=#"),
            };
            for byte in value.to_der_vec().unwrap_or_default() {
                let _ = write!(text, "{byte:02x}");
            }
        }
    }
}

/// Section 2.4. What could steer a terminal or break a line is written in hexadecimal.
fn write_escaped(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => text.extend(['\\', c]),
            '#' if index == 0 => text.push_str("\\#"),
            ' ' if index == 0 || index == last => text.push_str("\\ "),
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{byte:02x}");
                }
            }
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer;

    use super::*;

    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];
    const SERIAL_NUMBER: &[u8] = &[0x55, 4, 5];
    const UTF8: u8 = 12;
    const BMP: u8 = 30;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).expect("short")], content].concat()
    }

    fn attribute(kind: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        der(0x30, &[der(6, kind), der(tag, value)].concat())
    }

    /// The text of a name of these parts, each of some attributes.
    fn shown(parts: &[&[Vec<u8>]]) -> String {
        let parts: Vec<u8> = parts.iter().flat_map(|part| der(0x31, &part.concat())).collect();
        let name = der(0x30, &parts);
        text(&X509Name::from_der(&name).expect("a name").1)
    }

    #[test]
    fn stands_in_reverse_order_with_short_names() {
        let till = || attribute(CN, UTF8, b"till 7");
        let example = || attribute(O, UTF8, b"Example");
        assert_eq!(shown(&[]), "");
        assert_eq!(shown(&[&[example()], &[till()]]), "CN=till 7,O=Example");
        assert_eq!(shown(&[&[example(), till()]]), "O=Example+CN=till 7");
        assert_eq!(shown(&[&[attribute(SERIAL_NUMBER, UTF8, b"7")]]), "2.5.4.5=#0c0137");
        assert_eq!(shown(&[&[attribute(CN, BMP, &[0, b'a'])]]), "CN=#1e020061");
    }

    #[test]
    fn no_value_looks_like_another_part() {
        let mut cases = 0;
        for (value, expected) in [
            ("a,O=b", "CN=a\\,O\\=b"),
            ("a+O=b", "CN=a\\+O\\=b"),
            ("#0c0161", "CN=\\#0c0161"),
            ("a#b", "CN=a#b"),
            (" a ", "CN=\\ a\\ "),
            (" ", "CN=\\ "),
            ("a\\,b", "CN=a\\\\\\,b"),
            ("a\"<b>;", "CN=a\\\"\\<b\\>\\;"),
            ("a\nb\0\u{1b}", "CN=a\\0ab\\00\\1b"),
            ("\u{85}", "CN=\\c2\\85"),
            ("b\u{fc}cher", "CN=b\u{fc}cher"),
            ("", "CN="),
        ] {
            assert_eq!(shown(&[&[attribute(CN, UTF8, value.as_bytes())]]), expected, "{value}");
            cases += 1;
        }
        assert_eq!(cases, 12);
    }
}
