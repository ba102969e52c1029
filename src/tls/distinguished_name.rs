//! Distinguished names as text (RFC 4514). Two names have the same text only if they have the same parts in
//! the same order, so a condition can compare the texts.

use std::fmt::Write;

use x509_parser::der_parser::asn1_rs::{Tag, ToDer};
use x509_parser::oid_registry::{self as oids, Oid};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The short names of RFC 4514 §3, and `emailAddress` of RFC 2985.
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

/// The text of a name. The last part comes first, as RFC 4514 asks for.
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

/// The common name. Of several, the last one, which is the most specific. `None` if there is none, or if it
/// is not text.
pub(super) fn common_name<'n>(name: &'n X509Name<'_>) -> Option<&'n str> {
    name.iter_common_name().last()?.as_str().ok()
}

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, text: &mut String) {
    let kind = attribute.attr_type();
    let short_name = SHORT_NAMES.iter().find(|(oid, _)| oid == kind).map(|(_, name)| *name);
    let value = attribute.attr_value();
    let is_text =
        matches!(value.tag(), Tag::NumericString | Tag::PrintableString | Tag::Utf8String | Tag::Ia5String);
    // Writing to a string cannot fail.
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

/// Escapes a value (RFC 4514 §2.4). Bytes that could break a line or control a terminal become hexadecimal.
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

/// Rewrites a name of another program (RFC 4514 §3) in the form of [`text`]. `None` if the text is not a
/// name. Types must have one of the short names above or be numbers, and no blanks may surround `=`, `,` and
/// `+`.
pub(super) fn canonical(name: &str) -> Option<String> {
    let mut written = String::new();
    let mut rest = name;
    loop {
        let (kind, behind) = rest.split_once('=')?;
        let (value, separator) = split_value(behind);
        written += &canonical_attribute(kind, value)?;
        let Some(separator) = separator else { return Some(written) };
        written.push(separator);
        rest = &behind[value.len() + separator.len_utf8()..];
    }
}

/// Splits a value from the separator behind it. `None` as the separator is the end of the text.
fn split_value(text: &str) -> (&str, Option<char>) {
    let mut is_escaped = false;
    for (index, c) in text.char_indices() {
        if matches!(c, ',' | '+') && !is_escaped {
            return (&text[..index], Some(c));
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    (text, None)
}

fn canonical_attribute(kind: &str, value: &str) -> Option<String> {
    let short_name = SHORT_NAMES.iter().map(|(_, name)| *name).find(|name| name.eq_ignore_ascii_case(kind));
    if let Some(digits) = value.strip_prefix('#') {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let kind = short_name.or_else(|| kind.split('.').all(is_number).then_some(kind))?;
        let is_der = digits.len() >= 4
            && digits.len().is_multiple_of(2)
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return is_der.then(|| format!("{kind}=#{}", digits.to_ascii_lowercase()));
    }
    let mut attribute = format!("{}=", short_name?);
    write_escaped(&unescaped(value)?, &mut attribute);
    Some(attribute)
}

/// Removes escapes (RFC 4514 §3): `\,` and the like, and `\c3\bc`. `None` if an escape is malformed.
fn unescaped(value: &str) -> Option<String> {
    if value.starts_with(' ') || value.ends_with(' ') && !value.ends_with("\\ ") {
        return None;
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                special @ (b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' | b'#' | b' ') => special,
                first => digit(first)? << 4 | digit(rest.next()?)?,
            },
            b'"' | b';' | b'<' | b'>' => return None,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
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
        }
    }

    #[test]
    fn a_name_that_others_write_becomes_the_same_text() {
        for (name, expected) in [
            ("CN=till 7,O=Example", Some("CN=till 7,O=Example")),
            ("cn=till 7,emailaddress=a@b.c", Some("CN=till 7,emailAddress=a@b.c")),
            ("O=Example+CN=till 7", Some("O=Example+CN=till 7")),
            ("O=Example\\, Inc.", Some("O=Example\\, Inc.")),
            ("O=Example\\2c Inc.", Some("O=Example\\, Inc.")),
            ("CN=b\\C3\\BCcher", Some("CN=b\u{fc}cher")),
            ("CN=a=b", Some("CN=a\\=b")),
            ("CN=a#b", Some("CN=a#b")),
            ("CN=\\#0c0161", Some("CN=\\#0c0161")),
            ("CN=\\ a\\ ", Some("CN=\\ a\\ ")),
            ("CN=a\\\\,O=b", Some("CN=a\\\\,O=b")),
            ("CN=", Some("CN=")),
            ("2.5.4.5=#0C0137", Some("2.5.4.5=#0c0137")),
            ("CN=#1e020061", Some("CN=#1e020061")),
            // Of OpenSSL and others, or incomplete.
            ("", None),
            ("till 7", None),
            ("/O=Example/CN=till 7", None),
            ("CN = till 7, O = Example", None),
            ("CN=till 7, O=Example", None),
            ("CN=till 7 ,O=Example", None),
            ("CN=till 7,", None),
            ("CN=till 7,O", None),
            ("CN=a\\", None),
            ("CN=a\\zz", None),
            ("CN=\\ff", None),
            ("CN=\"a,b\"", None),
            ("SERIALNUMBER=7", None),
            ("2.5.4.5=7", None),
            ("2..5=#0c0137", None),
            ("CN=#0c013", None),
            ("CN=#", None),
        ] {
            assert_eq!(canonical(name).as_deref(), expected, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_of_a_certificate_is_read_as_the_same(
            parts in prop::collection::vec(
                prop::collection::vec((0..4_usize, "[ -~\u{0}\u{80}-\u{ff}]{0,8}"), 1..3), 1..4,
            ),
        ) {
            let attribute = |(kind, value): &(usize, String)| match kind {
                0 => attribute(CN, UTF8, value.as_bytes()),
                1 => attribute(O, UTF8, value.as_bytes()),
                2 => attribute(SERIAL_NUMBER, UTF8, value.as_bytes()),
                _ => attribute(CN, BMP, value.as_bytes()),
            };
            let parts: Vec<Vec<Vec<u8>>> = parts.iter().map(|part| part.iter().map(attribute).collect()).collect();
            let parts: Vec<&[Vec<u8>]> = parts.iter().map(Vec::as_slice).collect();
            let written = shown(&parts);
            prop_assert_eq!(canonical(&written), Some(written));
        }
    }
}
