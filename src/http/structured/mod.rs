//! Dictionaries of structured field values (RFC 8941), as slices of the received bytes.
//!
//! A message signature covers its parameters byte for byte, so a parsed value keeps the bytes it was
//! read from. The parser is stricter than the RFC in three points: a repeated key is an error, not
//! an overwrite; the number of members, items and parameters is limited; and the types that RFC 9651
//! added (dates, display strings) are errors.

mod parser;

use parser::Parser;

/// The input is not a dictionary, or it exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedDictionary;

/// How many parts a dictionary may have.
#[derive(Clone, Copy, Debug)]
pub struct DictionaryLimits {
    /// The most members of a dictionary.
    pub members: usize,
    /// Items of one inner list.
    pub items: usize,
    /// Parameters of one item or inner list.
    pub parameters: usize,
}

/// One member of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key of the member.
    pub key: &'a str,
    /// The value without its parameters.
    pub value: MemberValue<'a>,
    /// The parameters of the value.
    pub parameters: Parameters<'a>,
    /// The value and its parameters as received. Empty for a key without `=`.
    pub bytes: &'a str,
}

/// The value of a dictionary's member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberValue<'a> {
    /// A single item: `a=1`.
    Bare(Bare<'a>),
    /// An inner list: `("a" "b";x)`.
    List(Vec<Item<'a>>),
}

/// An item of an inner list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The value without its parameters.
    pub value: Bare<'a>,
    /// The parameters behind the value.
    pub parameters: Parameters<'a>,
    /// The value and its parameters as received.
    pub bytes: &'a str,
}

/// Parameters in their order, each name once.
pub type Parameters<'a> = Vec<(&'a str, Bare<'a>)>;

/// A bare item (RFC 8941 §3.3): a value without parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare<'a> {
    /// An integer of at most 15 digits.
    Integer(i64),
    /// A decimal number, its digits as received.
    Decimal(&'a str),
    /// The text between the quotes. A backslash escape stays as received.
    Text(&'a str),
    /// A token: a word without quotes.
    Token(&'a str),
    /// The base64 text between the colons, whose padding may be missing (RFC 8941 §4.2.7).
    Bytes(&'a str),
    /// `?0` or `?1`, or a name without a value.
    Boolean(bool),
}

/// Parses the value of a dictionary field. Several field lines are joined with `, ` beforehand.
///
/// # Errors
/// [`MalformedDictionary`] for anything that is not a dictionary within `limits`.
pub fn dictionary<'a>(
    field: &'a [u8],
    limits: &DictionaryLimits,
) -> Result<Vec<Member<'a>>, MalformedDictionary> {
    if !field.is_ascii() {
        return Err(MalformedDictionary);
    }
    let text = std::str::from_utf8(field).map_err(|_| MalformedDictionary)?;
    let mut parser = Parser::new(text.trim_matches(' '), limits);
    let mut members: Vec<Member<'a>> = Vec::new();
    while !parser.is_at_end() {
        let member = parser.member()?;
        if members.len() == limits.members || members.iter().any(|other| other.key == member.key) {
            return Err(MalformedDictionary);
        }
        members.push(member);
        parser.skip(|byte| matches!(byte, b' ' | b'\t'));
        if parser.is_at_end() {
            break;
        }
        parser.expect(b',')?;
        parser.skip(|byte| matches!(byte, b' ' | b'\t'));
        if parser.is_at_end() {
            return Err(MalformedDictionary);
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DictionaryLimits = DictionaryLimits { members: 4, items: 4, parameters: 4 };

    fn parse(field: &str) -> Result<Vec<Member<'_>>, MalformedDictionary> {
        dictionary(field.as_bytes(), &LIMITS)
    }

    #[test]
    fn keeps_the_received_bytes_of_every_part() {
        let members = parse("a=( \"x\"; y=1  \"z\" );b=?0 ,\tc=:AQ==:").expect("a dictionary");
        let list = &members[0];
        assert_eq!((list.key, list.bytes), ("a", "( \"x\"; y=1  \"z\" );b=?0"));
        assert_eq!(list.parameters, [("b", Bare::Boolean(false))]);
        let MemberValue::List(items) = &list.value else { panic!("a list: {list:?}") };
        let parts: Vec<_> = items.iter().map(|item| (item.value, item.bytes)).collect();
        assert_eq!(parts, [(Bare::Text("x"), "\"x\"; y=1"), (Bare::Text("z"), "\"z\"")]);
        assert_eq!(members[1].value, MemberValue::Bare(Bare::Bytes("AQ==")));
        assert_eq!(members[1].bytes, ":AQ==:");
    }

    #[test]
    fn reads_each_type() {
        for (text, expected) in [
            ("0", Bare::Integer(0)),
            ("-999999999999999", Bare::Integer(-999_999_999_999_999)),
            ("-1.50", Bare::Decimal("-1.50")),
            (r#""a\"b\\""#, Bare::Text(r#"a\"b\\"#)),
            ("*a/b:c", Bare::Token("*a/b:c")),
            ("::", Bare::Bytes("")),
            (":AQ:", Bare::Bytes("AQ")),
            (":AQI=:", Bare::Bytes("AQI=")),
            ("?1", Bare::Boolean(true)),
        ] {
            let field = format!("k={text}");
            assert_eq!(parse(&field).expect(text)[0].value, MemberValue::Bare(expected), "{text}");
        }
        let bare = parse("k;p").expect("a key without a value");
        assert_eq!(bare[0].value, MemberValue::Bare(Bare::Boolean(true)));
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn refuses_what_is_malformed_repeated_or_too_much() {
        for field in [
            "a=1,",
            ",a=1",
            "a=:A:",
            "a=:=:",
            "a=:AQ===:",
            "a=:AQID=:",
            "a=:A=QI:",
            "a=1 b=2",
            "a=",
            "A=1",
            "a==1",
            "a=1;",
            "a=1;B",
            "a=1; ;b",
            "a=1;b=1;b=2",
            "a=1,a=2",
            "a=(",
            "a=(1",
            "a=(1,2)",
            "a=(1\t2)",
            "a=(\"x\"\"y\")",
            "a=((1))",
            "a=\"x",
            "a=\"\\x\"",
            "a=\"\t\"",
            "a=:A",
            "a=:A*:",
            "a=?2",
            "a=?",
            "a=-",
            "a=1.",
            "a=.1",
            "a=1.1234",
            "a=1234567890123456",
            "a=1234567890123.1",
            "a=\"\u{e9}\"",
            "a=@1",
            "a=%\"x\"",
            "\ta=1",
            "a=1\r\n",
            "a=1,b=1,c=1,d=1,e=1",
            "a=(1 1 1 1 1)",
            "a=1;a;b;c;d;e",
        ] {
            assert_eq!(parse(field), Err(MalformedDictionary), "{field}");
        }
    }
}
