//! The right-hand sides of declarations: optional keys, keys with a default, required keys, and sections.

use std::marker::PhantomData;

use super::kind::Kind;
use super::report::{Located, Reported};
use super::section::{Section, nested};
use super::shape::{Presence, Shape};
use super::value::Mapping;
use super::written::Written;

/// The right-hand side of a key's declaration: a kind, and what holds if the key is not written.
///
/// A [`Kind`] alone makes an optional key, whose field is a [`Written`].
pub trait DeclaredKey {
    /// The type of the field.
    type Field;

    /// Reads the key. Fails only if the key is required.
    fn read_key(&self, key: &'static str, mapping: &Mapping<'_>) -> Result<Self::Field, Reported>;

    /// The shape of the value, and what holds without it.
    fn spec(&self) -> (Shape, Presence);
}

impl<K: Kind> DeclaredKey for K {
    type Field = Written<K::Value>;

    fn read_key(&self, key: &'static str, mapping: &Mapping<'_>) -> Result<Self::Field, Reported> {
        let Some(value) = mapping.find(key) else { return Ok(Written::Absent) };
        Ok(Kind::read(self, value).map_or(Written::Bad, |read| Written::Good(value.located(read))))
    }

    fn spec(&self) -> (Shape, Presence) {
        (self.shape(), Presence::Optional)
    }
}

/// A key with a default, whose field is the value itself.
pub struct WithDefault<K: Kind>(K, K::Value);

/// A key that has the value `default` if it is not written.
pub fn default<K: Kind>(kind: K, default: K::Value) -> WithDefault<K> {
    WithDefault(kind, default)
}

impl<K: Kind<Value: Clone>> DeclaredKey for WithDefault<K> {
    type Field = K::Value;

    fn read_key(&self, key: &'static str, mapping: &Mapping<'_>) -> Result<Self::Field, Reported> {
        let value = mapping.find(key).and_then(|value| self.0.read(value).ok());
        Ok(value.unwrap_or_else(|| self.1.clone()))
    }

    fn spec(&self) -> (Shape, Presence) {
        (self.0.shape(), self.0.show(&self.1).map_or(Presence::Optional, Presence::Default))
    }
}

/// A key that must be written, whose field is a [`Located`].
pub struct Required<K>(K, &'static str);

/// A key that must be written. `hint` follows "… is missing".
pub fn required<K: Kind>(kind: K, hint: &'static str) -> Required<K> {
    Required(kind, hint)
}

impl<K: Kind> DeclaredKey for Required<K> {
    type Field = Located<K::Value>;

    fn read_key(&self, key: &'static str, mapping: &Mapping<'_>) -> Result<Self::Field, Reported> {
        match mapping.find(key) {
            Some(value) => Ok(value.located(self.0.read(value)?)),
            None => Err(mapping.missing(key, self.1)),
        }
    }

    fn spec(&self) -> (Shape, Presence) {
        (self.0.shape(), Presence::Required)
    }
}

/// A section that is read as an empty one if it is not written.
pub struct Always<S>(PhantomData<S>);

pub fn always<S: Section>() -> Always<S> {
    Always(PhantomData)
}

impl<S: Section> DeclaredKey for Always<S> {
    type Field = S;

    fn read_key(&self, key: &'static str, mapping: &Mapping<'_>) -> Result<S, Reported> {
        match mapping.find(key) {
            Some(value) => nested::<S>().read(value),
            None => S::read(&mapping.absent()),
        }
    }

    fn spec(&self) -> (Shape, Presence) {
        (Shape::Section(S::specs()), Presence::Optional)
    }
}
