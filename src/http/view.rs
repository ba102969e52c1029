//! The parts of a head that was judged, found again in its bytes.
//!
//! [`HeadReader`](super::HeadReader) and [`AnswerReader`](super::AnswerReader) judge heads while their
//! bytes arrive and keep nothing. To forward a head as bytes, its parts must be known: [`HeadIndex`]
//! holds their positions.

use super::grammar::trim_blanks;

/// Room for the fields of most heads, so that an index is allocated once.
const USUAL_FIELDS: usize = 16;

/// Positions of the parts of a head, in bytes from the start of the head.
#[derive(Debug)]
pub struct HeadIndex {
    /// The end of the first line, before its line end.
    first_line: u32,
    fields: Vec<FieldIndex>,
}

/// Positions of one field. A head is far smaller than 4 GiB, and small indexes stay in the cache.
#[derive(Clone, Copy, Debug)]
struct FieldIndex {
    name: u32,
    colon: u32,
    value: u32,
    value_end: u32,
}

/// One field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'h> {
    /// The name in its own letter case.
    pub name: &'h [u8],
    /// The value without the blanks around it.
    pub value: &'h [u8],
}

/// A head with its index.
#[derive(Clone, Copy, Debug)]
pub struct HeadView<'h> {
    bytes: &'h [u8],
    index: &'h HeadIndex,
}

impl HeadIndex {
    /// The index of `bytes`: a complete head that a reader has accepted, with the empty line at its end.
    pub fn of(bytes: &[u8]) -> Self {
        let mut index = Self { first_line: 0, fields: Vec::with_capacity(USUAL_FIELDS) };
        let mut start = 0;
        for at in memchr::memchr_iter(b'\n', bytes) {
            let end = at.saturating_sub(1).max(start);
            if start == 0 {
                index.first_line = position(end);
            } else if let Some(length) = memchr::memchr(b':', &bytes[start..end]) {
                let colon = start + length;
                let (value, value_end) = trimmed(bytes, colon + 1, end);
                index.fields.push(FieldIndex {
                    name: position(start),
                    colon: position(colon),
                    value: position(value),
                    value_end: position(value_end),
                });
            }
            start = at + 1;
        }
        index
    }

    /// The head behind the index. `bytes` are the bytes that were indexed.
    pub fn view<'h>(&'h self, bytes: &'h [u8]) -> HeadView<'h> {
        HeadView { bytes, index: self }
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Start and end of the text between `start` and `end` without the blanks around it.
fn trimmed(bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
    let text = &bytes[start..end];
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let value = start + blanks;
    (value, value + trim_blanks(&bytes[value..end]).len())
}

impl<'h> HeadView<'h> {
    /// The bytes of the head, with the empty line at its end.
    pub fn bytes(&self) -> &'h [u8] {
        self.bytes
    }

    /// This head, in a copy of its bytes.
    pub fn over<'c>(&self, copy: &'c [u8]) -> HeadView<'c>
    where
        'h: 'c,
    {
        HeadView { bytes: copy, index: self.index }
    }

    /// The request line or the status line, without its line end.
    pub fn first_line(&self) -> &'h [u8] {
        &self.bytes[..self.index.first_line as usize]
    }

    /// The number of field lines in the head.
    pub fn field_count(&self) -> usize {
        self.index.fields.len()
    }

    /// All fields in their order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'h>> + use<'h> {
        let bytes = self.bytes;
        self.index.fields.iter().map(move |field| Field {
            name: &bytes[field.name as usize..field.colon as usize],
            value: &bytes[field.value as usize..field.value_end as usize],
        })
    }

    /// The values of all fields of this name in their order.
    pub fn values<'n>(&self, name: &'n str) -> impl DoubleEndedIterator<Item = &'h [u8]> + use<'h, 'n> {
        let is_named = move |field: &Field<'h>| field.is_named(name);
        self.fields().filter(is_named).map(|field| field.value)
    }
}

impl Field<'_> {
    /// Whether the field has this name, in any letter case.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] =
        b"GET /a?b HTTP/1.1\r\nHost: \t a \r\nX-Empty:\r\nx-two: 1\r\nX-Two:2:\r\nX-Blank: \t\r\n\r\n";

    #[test]
    fn finds_every_part() {
        let index = HeadIndex::of(HEAD);
        let view = index.view(HEAD);
        assert_eq!(view.first_line(), b"GET /a?b HTTP/1.1");
        let fields: Vec<_> = view.fields().map(|field| (field.name, field.value)).collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"Host", b"a"), (b"X-Empty", b""), (b"x-two", b"1"), (b"X-Two", b"2:"), (b"X-Blank", b"")];
        assert_eq!(fields, expected);
        assert_eq!(view.field_count(), 5);
        assert_eq!(view.values("x-two").collect::<Vec<_>>(), [&b"1"[..], b"2:"]);
        assert_eq!(view.values("x").count(), 0);
    }

    #[test]
    fn a_head_may_have_no_field() {
        let head = b"HTTP/1.1 204 No Content\r\n\r\n";
        let index = HeadIndex::of(head);
        let view = index.view(head);
        assert_eq!((view.first_line(), view.fields().count()), (&b"HTTP/1.1 204 No Content"[..], 0));
    }
}
