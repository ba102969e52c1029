//! What a file says about an optional key.

use super::report::{Located, Reported};

/// What a file says about an optional key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Written<T> {
    /// The key is not written.
    #[default]
    Absent,
    /// The key has a value that cannot be used, which has been reported.
    Bad,
    /// The key has a value.
    Good(Located<T>),
}

impl<T> Written<T> {
    /// The value with its place; `None` if it is absent or bad.
    pub fn located(self) -> Option<Located<T>> {
        match self {
            Written::Good(located) => Some(located),
            Written::Absent | Written::Bad => None,
        }
    }

    /// The value; `None` if it is absent or bad.
    pub fn value(self) -> Option<T> {
        self.located().map(|located| located.value)
    }

    /// The value, or `default` if it is absent or bad.
    pub fn or(self, default: T) -> T {
        self.value().unwrap_or(default)
    }

    /// The value; `None` if it is absent, and an error if it is bad.
    pub fn checked(self) -> Result<Option<Located<T>>, Reported> {
        match self {
            Written::Absent => Ok(None),
            Written::Bad => Err(Reported),
            Written::Good(located) => Ok(Some(located)),
        }
    }

    /// Whether the key is written, with a good or a bad value.
    pub fn is_written(&self) -> bool {
        !matches!(self, Written::Absent)
    }

    /// A reference to the value; `None` if it is absent or bad.
    pub fn get(&self) -> Option<&Located<T>> {
        match self {
            Written::Good(located) => Some(located),
            Written::Absent | Written::Bad => None,
        }
    }
}
