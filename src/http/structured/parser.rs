//! The grammar of dictionaries (RFC 8941 §4.2.2), read from left to right.

use super::{Bare, DictionaryLimits, Item, MalformedDictionary, Member, MemberValue, Parameters};

/// The unread rest of a dictionary.
pub(super) struct Parser<'a, 'l> {
    text: &'a str,
    at: usize,
    limits: &'l DictionaryLimits,
}

impl<'a, 'l> Parser<'a, 'l> {
    pub fn new(text: &'a str, limits: &'l DictionaryLimits) -> Self {
        Self { text, at: 0, limits }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    pub fn expect(&mut self, wanted: u8) -> Result<(), MalformedDictionary> {
        if self.take(wanted) { Ok(()) } else { Err(MalformedDictionary) }
    }

    /// Skips the bytes of a class and returns them.
    pub fn skip(&mut self, class: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&class) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    pub fn member(&mut self) -> Result<Member<'a>, MalformedDictionary> {
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
