//! Dictionaries of structured field values (RFC 8941), as slices of the received bytes.
//!
//! A message signature covers its parameters byte for byte, so a parsed value keeps the bytes it was
//! read from. The parser is stricter than the RFC in three points: a repeated key is an error, not
//! an overwrite; the number of members, items and parameters is limited; and the types that RFC 9651
//! added (dates, display strings) are errors.

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
    let mut parser = Parser { text: text.trim_matches(' '), at: 0, limits };
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

struct Parser<'a, 'l> {
    text: &'a str,
    at: usize,
    limits: &'l DictionaryLimits,
}

impl<'a> Parser<'a, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, wanted: u8) -> Result<(), MalformedDictionary> {
        if self.take(wanted) { Ok(()) } else { Err(MalformedDictionary) }
    }

    /// Skips the bytes of a class and returns them.
    fn skip(&mut self, class: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&class) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn member(&mut self) -> Result<Member<'a>, MalformedDictionary> {
        let key = self.key()?;
        if !self.take(b'=') {
            let parameters = self.parameters()?;
            return Ok(Member { key, value: MemberValue::Bare(Bare::Boolean(true)), parameters, bytes: "" });
        }
        let start = self.at;
        let value = if self.take(b'(') {
            MemberValue::List(self.inner_list()?)
        } else {
            MemberValue::Bare(self.bare()?)
        };
        let parameters = self.parameters()?;
        Ok(Member { key, value, parameters, bytes: &self.text[start..self.at] })
    }

    /// The rest of an inner list, after its opening parenthesis.
    fn inner_list(&mut self) -> Result<Vec<Item<'a>>, MalformedDictionary> {
        let mut items = Vec::new();
        loop {
            self.skip(|byte| byte == b' ');
            if self.take(b')') {
                return Ok(items);
            }
            if items.len() == self.limits.items {
                return Err(MalformedDictionary);
            }
            let start = self.at;
            let value = self.bare()?;
            let parameters = self.parameters()?;
            items.push(Item { value, parameters, bytes: &self.text[start..self.at] });
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(MalformedDictionary);
            }
        }
    }

    fn parameters(&mut self) -> Result<Parameters<'a>, MalformedDictionary> {
        let mut parameters: Parameters<'a> = Vec::new();
        while self.take(b';') {
            self.skip(|byte| byte == b' ');
            let name = self.key()?;
            let value = if self.take(b'=') { self.bare()? } else { Bare::Boolean(true) };
            let is_repeated = parameters.iter().any(|(other, _)| *other == name);
            if parameters.len() == self.limits.parameters || is_repeated {
                return Err(MalformedDictionary);
            }
            parameters.push((name, value));
        }
        Ok(parameters)
    }

    fn key(&mut self) -> Result<&'a str, MalformedDictionary> {
        if !matches!(self.peek(), Some(b'a'..=b'z' | b'*')) {
            return Err(MalformedDictionary);
        }
        Ok(self.skip(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
    }

    fn bare(&mut self) -> Result<Bare<'a>, MalformedDictionary> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'"') => self.string(),
            Some(b':') => {
                self.at += 1;
                let text = self.skip(
                    |byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'/' | b'='),
                );
                self.expect(b':')?;
                if is_base64(text) { Ok(Bare::Bytes(text)) } else { Err(MalformedDictionary) }
            }
            Some(b'?') => {
                self.at += 1;
                if self.take(b'1') {
                    return Ok(Bare::Boolean(true));
                }
                self.expect(b'0')?;
                Ok(Bare::Boolean(false))
            }
            Some(b'A'..=b'Z' | b'a'..=b'z' | b'*') => Ok(Bare::Token(self.skip(is_token_byte))),
            _ => Err(MalformedDictionary),
        }
    }

    fn number(&mut self) -> Result<Bare<'a>, MalformedDictionary> {
        let start = self.at;
        self.take(b'-');
        let whole = self.skip(|byte| byte.is_ascii_digit());
        if self.take(b'.') {
            let fraction = self.skip(|byte| byte.is_ascii_digit());
            let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
            return if fits {
                Ok(Bare::Decimal(&self.text[start..self.at]))
            } else {
                Err(MalformedDictionary)
            };
        }
        if !(1..=15).contains(&whole.len()) {
            return Err(MalformedDictionary);
        }
        self.text[start..self.at].parse().map(Bare::Integer).map_err(|_| MalformedDictionary)
    }

    fn string(&mut self) -> Result<Bare<'a>, MalformedDictionary> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    if !matches!(self.peek(), Some(b'"' | b'\\')) {
                        return Err(MalformedDictionary);
                    }
                }
                Some(b' '..=b'~') => {}
                _ => return Err(MalformedDictionary),
            }
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        self.at += 1;
        Ok(Bare::Text(text))
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}

/// Whether a text of the right alphabet can be decoded.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let most_padding = match digits.len() % 4 {
        0 => 0,
        1 => return false,
        2 => 2,
        _ => 1,
    };
    text.len() - digits.len() <= most_padding && !digits.contains('=')
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
