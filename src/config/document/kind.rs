//! Kinds of values: how a value is read, what it looks like, and how a default is written.
//!
//! Kinds that are not specific to a domain are here; durations, sizes, host names and the like are in
//! `values`.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use super::quote::quoted;
use super::report::{Fault, Reported};
use super::shape::Shape;
use super::value::{Value, digits, leading_zero, word};

/// How the value of a key is read and described.
pub trait Kind {
    /// What the file's value becomes.
    type Value;

    /// Reads a value, or reports what is wrong with it.
    fn read(&self, value: &Value<'_>) -> Result<Self::Value, Reported>;

    /// The shape for schema and reference page.
    fn shape(&self) -> Shape;

    /// The value as a file writes it; `None` if it has no short form.
    fn show(&self, _value: &Self::Value) -> Option<String> {
        None
    }
}

/// The kind of `true` or `false`.
pub struct Boolean;

pub fn boolean() -> Boolean {
    Boolean
}

impl Kind for Boolean {
    type Value = bool;

    fn read(&self, value: &Value<'_>) -> Result<bool, Reported> {
        value.boolean()
    }

    fn shape(&self) -> Shape {
        Shape::Boolean
    }

    fn show(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }
}

/// A whole number in a range.
pub struct Number<T>(RangeInclusive<T>);

pub fn number<T>(range: RangeInclusive<T>) -> Number<T> {
    Number(range)
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Number<T> {
    fn limits(&self) -> (u64, u64) {
        let limit = |value: T| value.try_into().unwrap_or(u64::MAX);
        (limit(*self.0.start()), limit(*self.0.end()))
    }
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Kind for Number<T> {
    type Value = T;

    fn read(&self, value: &Value<'_>) -> Result<T, Reported> {
        let (least, most) = self.limits();
        value.number(|text| whole_number(text, least..=most))
    }

    fn shape(&self) -> Shape {
        let (least, most) = self.limits();
        Shape::Number(least, most)
    }

    fn show(&self, value: &T) -> Option<String> {
        Some((*value).try_into().unwrap_or(u64::MAX).to_string())
    }
}

/// A whole number from 1 to a limit.
pub struct Positive(u32);

pub fn positive(most: u32) -> Positive {
    Positive(most)
}

impl Kind for Positive {
    type Value = NonZeroU32;

    fn read(&self, value: &Value<'_>) -> Result<NonZeroU32, Reported> {
        NonZeroU32::new(number(1..=self.0).read(value)?).ok_or(Reported)
    }

    fn shape(&self) -> Shape {
        number(1..=self.0).shape()
    }

    fn show(&self, value: &NonZeroU32) -> Option<String> {
        Some(value.to_string())
    }
}

/// A whole number in a range.
pub fn whole_number<T: TryFrom<u64>>(text: &str, range: RangeInclusive<u64>) -> Result<T, Fault> {
    if let Some(fault) = leading_zero(text) {
        return Err(fault);
    }
    let number = digits(text).filter(|number| range.contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        let (least, most) = range.into_inner();
        let message = format!("{} is not a whole number from {least} to {most}", quoted(text));
        Fault::new(message, "write one in that range")
    })
}

/// Text that a function turns into a value.
pub struct Text<T> {
    parse: fn(&str) -> Result<T, Fault>,
    show: Option<fn(&T) -> String>,
    what: &'static str,
    pattern: Option<&'static str>,
}

/// Text that `parse` understands. `what` says what the text is, such as `host name`.
pub fn text<T>(what: &'static str, parse: fn(&str) -> Result<T, Fault>) -> Text<T> {
    Text { parse, show: None, what, pattern: None }
}

impl<T> Text<T> {
    /// Writes values with `show`, so that defaults can be shown.
    pub fn shown(self, show: fn(&T) -> String) -> Self {
        Self { show: Some(show), ..self }
    }

    /// Adds a regular expression for editors.
    pub fn pattern(self, pattern: &'static str) -> Self {
        Self { pattern: Some(pattern), ..self }
    }
}

impl<T> Kind for Text<T> {
    type Value = T;

    fn read(&self, value: &Value<'_>) -> Result<T, Reported> {
        value.parse(self.parse)
    }

    fn shape(&self) -> Shape {
        Shape::Text { what: self.what.to_owned(), pattern: self.pattern }
    }

    fn show(&self, value: &T) -> Option<String> {
        self.show.map(|show| show(value))
    }
}

/// One of a few words, each with its value.
pub struct Words<T, const N: usize>([(&'static str, T); N]);

pub fn words<T, const N: usize>(words: [(&'static str, T); N]) -> Words<T, N> {
    Words(words)
}

impl<T: Copy + PartialEq, const N: usize> Kind for Words<T, N> {
    type Value = T;

    fn read(&self, value: &Value<'_>) -> Result<T, Reported> {
        value.parse(|text| word(text, &self.0))
    }

    fn shape(&self) -> Shape {
        Shape::Words(self.0.iter().map(|(name, _)| *name).collect())
    }

    fn show(&self, value: &T) -> Option<String> {
        self.0.iter().find(|(_, known)| known == value).map(|(name, _)| (*name).to_owned())
    }
}

/// A kind that a section makes for one key.
pub struct Custom<T, R> {
    read: R,
    shape: fn() -> Shape,
    show: Option<fn(&T) -> String>,
}

/// A kind with its own `read` and `shape`.
pub fn custom<T, R: Fn(&Value<'_>) -> Result<T, Reported>>(read: R, shape: fn() -> Shape) -> Custom<T, R> {
    Custom { read, shape, show: None }
}

impl<T, R> Custom<T, R> {
    /// Writes values with `show`, so that defaults can be shown.
    pub fn shown(self, show: fn(&T) -> String) -> Self {
        Self { show: Some(show), ..self }
    }
}

impl<T, R: Fn(&Value<'_>) -> Result<T, Reported>> Kind for Custom<T, R> {
    type Value = T;

    fn read(&self, value: &Value<'_>) -> Result<T, Reported> {
        (self.read)(value)
    }

    fn shape(&self) -> Shape {
        (self.shape)()
    }

    fn show(&self, value: &T) -> Option<String> {
        self.show.map(|show| show(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_bounds() {
        assert_eq!(whole_number("8", 1..=8), Ok(8_u16));
        for text in ["0", "9", "+4", "-1", "4.0", "", "1e1", "99999999999999999999", "0x4"] {
            assert!(whole_number::<u16>(text, 1..=8).is_err(), "{text}");
        }
    }
}
