//! A reader of protobuf messages that knows nothing of their schema.

const PARTS: &str = "docs.rs/opentelemetry-proto: the numbers are those of its messages";

/// A field of a protobuf message.
#[derive(Clone, Debug)]
pub enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// A protobuf message: its fields with their numbers, in order.
pub struct Parsed(Vec<(u64, Field)>);

impl Parsed {
    pub fn new(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let field = match tag & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)).unwrap();
                    Field::Bytes(take(&mut bytes, length).to_vec())
                }
                5 => Field::Number(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()).into()),
                other => panic!("wire type {other}; {PARTS}"),
            };
            fields.push((tag >> 3, field));
        }
        Self(fields)
    }

    pub fn bytes(&self, number: u64) -> Vec<Vec<u8>> {
        let found = self.0.iter().filter(|(found, _)| *found == number);
        found
            .map(|(_, field)| if let Field::Bytes(bytes) = field { bytes.clone() } else { panic!() })
            .collect()
    }

    pub fn only(&self, number: u64) -> Vec<u8> {
        self.bytes(number).pop().unwrap_or_default()
    }

    pub fn messages(&self, number: u64) -> Vec<Parsed> {
        self.bytes(number).iter().map(|bytes| Parsed::new(bytes)).collect()
    }

    pub fn text(&self, number: u64) -> String {
        String::from_utf8(self.only(number)).unwrap()
    }

    pub fn number(&self, number: u64) -> u64 {
        match self.0.iter().find(|(found, _)| *found == number) {
            Some((_, Field::Number(value))) => *value,
            _ => 0,
        }
    }

    /// The value of an attribute as text.
    pub fn attribute(&self, attributes: u64, key: &str) -> Option<String> {
        let found = self.messages(attributes).into_iter().find(|pair| pair.text(1) == key)?;
        let value = &found.messages(2)[0];
        Some(if value.bytes(1).is_empty() { value.number(3).to_string() } else { value.text(1) })
    }
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}
