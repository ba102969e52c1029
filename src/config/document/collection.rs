//! Kinds that are made of another kind: lists, mappings with names, and a word in place of a value.

use super::kind::Kind;
use super::report::{Located, Reported};
use super::shape::Shape;
use super::value::{Value, is_name};

/// The entries of a list. Entries that cannot be used are still counted.
pub type Entries<T> = Vec<Result<Located<T>, Reported>>;

/// The entries that can be used.
pub fn usable<T>(entries: Entries<T>) -> impl Iterator<Item = T> {
    entries.into_iter().flatten().map(|entry| entry.value)
}

/// A list of values of one kind.
pub struct List<K> {
    of: K,
    if_empty: Option<&'static str>,
}

pub fn list<K: Kind>(of: K) -> List<K> {
    List { of, if_empty: None }
}

impl<K> List<K> {
    /// Reports an empty list, with this hint.
    pub fn not_empty(self, hint: &'static str) -> Self {
        Self { if_empty: Some(hint), ..self }
    }
}

impl<K: Kind> Kind for List<K> {
    type Value = Entries<K::Value>;

    fn read(&self, value: &Value<'_>) -> Result<Self::Value, Reported> {
        let entries = value.list()?;
        if let (true, Some(hint)) = (value.is_empty_list(), self.if_empty) {
            return Err(value.problem("the list is empty", hint));
        }
        Ok(entries.iter().map(|entry| Ok(entry.located(self.of.read(entry)?))).collect())
    }

    fn shape(&self) -> Shape {
        Shape::List { of: Box::new(self.of.shape()), may_be_empty: self.if_empty.is_none() }
    }

    fn show(&self, entries: &Self::Value) -> Option<String> {
        let entries: Option<Vec<_>> =
            entries.iter().map(|entry| self.of.show(&entry.as_ref().ok()?.value)).collect();
        Some(format!("[{}]", entries?.join(", ")))
    }
}

/// A mapping whose keys are names that the operator chooses.
pub struct Named<K> {
    what: &'static str,
    of: K,
}

/// A mapping from names to values. `what` is named, such as `an origin`.
pub fn named<K: Kind>(what: &'static str, of: K) -> Named<K> {
    Named { what, of }
}

impl<K: Kind> Kind for Named<K> {
    type Value = Vec<(String, Result<Located<K::Value>, Reported>)>;

    fn read(&self, value: &Value<'_>) -> Result<Self::Value, Reported> {
        let entry = |(name, value): (&str, Value<'_>)| {
            if !is_name(name) {
                let message = format!("this is not a name for {}", self.what);
                value.problem(message, "write 1 to 32 letters, digits, -, _ or .");
            }
            (name.to_owned(), self.of.read(&value).map(|read| value.located(read)))
        };
        Ok(value.entries()?.into_iter().map(entry).collect())
    }

    fn shape(&self) -> Shape {
        Shape::Named(Box::new(self.of.shape()))
    }
}

/// A word in place of a value.
pub struct WordOr<K> {
    word: &'static str,
    of: K,
}

/// `None` for `word`, or a value of the kind `of`.
pub fn word_or<K: Kind>(word: &'static str, of: K) -> WordOr<K> {
    WordOr { word, of }
}

impl<K: Kind> Kind for WordOr<K> {
    type Value = Option<K::Value>;

    fn read(&self, value: &Value<'_>) -> Result<Self::Value, Reported> {
        if value.is_word(self.word) { Ok(None) } else { self.of.read(value).map(Some) }
    }

    fn shape(&self) -> Shape {
        Shape::Either(vec![Shape::Words(vec![self.word]), self.of.shape()])
    }
}
