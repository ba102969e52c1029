//! The members of one JSON object, in one pass, each name once.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// More members than any genuine header or payload has.
const MAX_MEMBERS: usize = 64;

/// A member's value, reduced to the types that verification uses.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    /// An array of strings only; empty for an empty array.
    Texts(Vec<Cow<'a, str>>),
    Null,
    /// A boolean, an object, or an array that is not [`Scalar::Texts`].
    Other,
}

/// The text is not a JSON object with unique names, or the caller refused a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidJson;

/// Calls `each` with the name and value of every member of the object `json`.
pub(super) fn members<'a>(
    json: &'a str,
    each: impl FnMut(&str, Scalar<'a>) -> Result<(), InvalidJson>,
) -> Result<(), InvalidJson> {
    let mut input = serde_json::Deserializer::from_str(json);
    Members(each).deserialize(&mut input).map_err(|_| InvalidJson)?;
    input.end().map_err(|_| InvalidJson)
}

struct Members<F>(F);

impl<'a, F: FnMut(&str, Scalar<'a>) -> Result<(), InvalidJson>> DeserializeSeed<'a> for Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'a, F: FnMut(&str, Scalar<'a>) -> Result<(), InvalidJson>> Visitor<'a> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<Cow<'a, str>> = Vec::with_capacity(8);
        while let Some(Name(name)) = map.next_key()? {
            if seen.len() == MAX_MEMBERS || seen.contains(&name) {
                return Err(serde::de::Error::custom("a repeated member, or too many"));
            }
            let value = map.next_value()?;
            (self.0)(&name, value).map_err(|InvalidJson| serde::de::Error::custom("refused"))?;
            seen.push(name);
        }
        Ok(())
    }
}

/// A member's name. serde would always copy a plain `Cow`.
struct Name<'a>(Cow<'a, str>);

impl<'a> Deserialize<'a> for Name<'a> {
    fn deserialize<D: Deserializer<'a>>(input: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(input)? {
            Scalar::Text(name) => Ok(Self(name)),
            _ => Err(serde::de::Error::custom("a name must be a string")),
        }
    }
}

impl<'a> Deserialize<'a> for Scalar<'a> {
    fn deserialize<D: Deserializer<'a>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'a> Visitor<'a> for ScalarVisitor {
    type Value = Scalar<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut texts = Some(Vec::new());
        while let Some(item) = items.next_element()? {
            match (item, &mut texts) {
                (Scalar::Text(text), Some(list)) => list.push(text),
                _ => texts = None,
            }
        }
        Ok(texts.map_or(Scalar::Other, Scalar::Texts))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // `IgnoredAny` would skip values of any depth. Reading them applies the parser's depth limit.
        while map.next_entry::<IgnoredAny, Scalar<'a>>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<(String, Scalar<'_>)>, InvalidJson> {
        let mut found = Vec::new();
        members(json, |name, value| {
            found.push((name.to_owned(), value));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn gives_each_member_in_order() {
        let found = read(r#" {"a":"x","b":1.5,"c":["y","z"],"d":null,"e":{"a":1,"a":2}} "#).expect("valid");
        let expected = [
            ("a", Scalar::Text("x".into())),
            ("b", Scalar::Number(1.5)),
            ("c", Scalar::Texts(vec!["y".into(), "z".into()])),
            ("d", Scalar::Null),
            ("e", Scalar::Other),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn refuses_what_is_not_one_object_with_unique_names() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500));
        let deep_object = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
        let many = format!("{{{}}}", (0..65).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        for json in [
            "",
            "[]",
            "1",
            "null",
            "{",
            "{}x",
            "{} {}",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"a":1e400}"#,
            "{'a':1}",
            r#"{"a":1,}"#,
            "{\"a\":\"\n\"}",
            &deep,
            &deep_object,
            &many,
        ] {
            assert_eq!(read(json), Err(InvalidJson), "{json}");
        }
    }
}
