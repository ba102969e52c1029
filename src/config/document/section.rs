//! Sections: mappings whose keys are declared once.

use std::marker::PhantomData;

use super::kind::Kind;
use super::report::{Location, Report, Reported};
use super::shape::{KeySpec, Shape};
use super::value::{Mapping, Value};

/// A mapping with fixed keys. Implemented by the macro [`section!`].
pub trait Section: Sized {
    /// Every key of the section.
    const KEYS: &'static [&'static str];

    /// Reads every key, and fails if a required key cannot be used.
    fn read(mapping: &Mapping<'_>) -> Result<Self, Reported>;

    /// Every key with its documentation, shape and default.
    fn specs() -> Vec<KeySpec>;

    /// The section if nothing is written, for a problem at `at`.
    fn unwritten(at: Location, report: &Report) -> Result<Self, Reported> {
        Self::read(&Mapping::empty(at, report))
    }
}

/// The kind of a section.
pub struct SectionKind<S>(PhantomData<S>);

pub fn nested<S: Section>() -> SectionKind<S> {
    SectionKind(PhantomData)
}

impl<S: Section> Kind for SectionKind<S> {
    type Value = S;

    fn read(&self, value: &Value<'_>) -> Result<S, Reported> {
        S::read(&value.mapping(S::KEYS))
    }

    fn shape(&self) -> Shape {
        Shape::Section(S::specs())
    }
}

/// Declares a section; [`super`] describes how.
macro_rules! section {
    // A struct of its own.
    (
        $(#[doc = $about:literal])+
        $visibility:vis struct $name:ident {
            $( $(#[doc = $doc:literal])+
               $field_visibility:vis $field:ident $(as $key:literal)? : $type:ty = $declared:expr ),+ $(,)?
        }
    ) => {
        $(#[doc = $about])+
        $visibility struct $name {
            $( $(#[doc = $doc])+ $field_visibility $field: $type ),+
        }

        impl $crate::config::document::Section for $name {
            const KEYS: &'static [&'static str] = &[$( section!(@key $field $($key)?) ),+];

            fn read(
                mapping: &$crate::config::document::Mapping<'_>,
            ) -> Result<Self, $crate::config::document::Reported> {
                // Every key first, so that every problem is reported.
                $( let $field = $crate::config::document::DeclaredKey::read_key(
                    &$declared, section!(@key $field $($key)?), mapping,
                ); )+
                Ok(Self { $( $field: $field? ),+ })
            }

            fn specs() -> Vec<$crate::config::document::KeySpec> {
                vec![$( section!(@spec section!(@key $field $($key)?), [$($doc),+], $declared) ),+]
            }
        }
    };
    // A settings struct with a `Default`. A default after `=>` may use the fields before it, and
    // ask `$mapping` which keys are written.
    (
        settings $name:ident($mapping:ident) {
            $( $(#[doc = $doc:literal])+
               $field:ident $(as $key:literal)? = $kind:expr $(=> $default:expr)? ),+ $(,)?
        }
    ) => {
        impl $crate::config::document::Section for $name {
            const KEYS: &'static [&'static str] = &[$( section!(@key $field $($key)?) ),+];

            fn read(
                $mapping: &$crate::config::document::Mapping<'_>,
            ) -> Result<Self, $crate::config::document::Reported> {
                #[allow(unused_variables, reason = "a default after `=>` may replace it")]
                let Self { $($field),+, .. } = Self::default();
                $(
                    let $field = section!(@default $field $($default)?);
                    let $field = $crate::config::document::DeclaredKey::read_key(
                        &$crate::config::document::default($kind, $field),
                        section!(@key $field $($key)?),
                        $mapping,
                    )?;
                )+
                #[allow(clippy::needless_update, reason = "some settings have fields without a key")]
                Ok(Self { $($field),+, ..Self::default() })
            }

            fn specs() -> Vec<$crate::config::document::KeySpec> {
                let report = $crate::config::document::Report::default();
                let nowhere = $crate::config::document::Location::nowhere();
                let $mapping = &$crate::config::document::Mapping::empty(nowhere, &report);
                let _ = $mapping;
                #[allow(unused_variables, reason = "a default after `=>` may replace it")]
                let Self { $($field),+, .. } = Self::default();
                vec![$( section!(
                    @spec section!(@key $field $($key)?), [$($doc),+],
                    $crate::config::document::default($kind, section!(@default $field $($default)?))
                ) ),+]
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@default $field:ident) => { $field };
    (@default $field:ident $default:expr) => { $default };
    (@spec $key:expr, [$($doc:literal),+], $declared:expr) => {{
        let (shape, presence) = $crate::config::document::DeclaredKey::spec(&$declared);
        $crate::config::document::KeySpec { key: $key, doc: &[$($doc),+], shape, presence }
    }};
}

pub(crate) use section;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::collection::{Entries, list, word_or};
    use super::super::declared_key::{always, default, required};
    use super::super::kind::{boolean, number, text};
    use super::super::report::{Fault, Located};
    use super::super::shape::Presence;
    use super::super::written::Written;
    use super::super::yaml;
    use super::*;

    fn any(text: &str) -> Result<String, Fault> {
        Ok(text.to_owned())
    }

    section! {
        /// Every kind of key.
        struct Sample {
            /// A number.
            number: Written<usize> = number(1..=8),
            /// A switch that is on by default.
            flag: bool = default(boolean(), true),
            /// A list.
            list: Written<Entries<String>> = list(text("text", any)).not_empty("write one"),
            /// A text
            /// of two lines.
            text as "type": Written<String> = text("text", any),
            /// A section, or nothing.
            inner: Written<Option<Inner>> = word_or("off", nested::<Inner>()),
            /// Settings.
            times: Times = always::<Times>(),
        }
    }

    section! {
        /// A section with a required key.
        struct Inner {
            /// The required key.
            x: Located<usize> = required(number(1..=8), "write x: 1"),
        }
    }

    #[derive(Clone, Debug, PartialEq)]
    struct Times {
        first: usize,
        second: usize,
        unread: usize,
    }

    impl Default for Times {
        fn default() -> Self {
            Self { first: 1, second: 2, unread: 3 }
        }
    }

    section! {
        settings Times(keys) {
            /// The first number.
            first = number(0..=100),
            /// A number that depends on the first.
            second = number(0..=100) => if keys.has("first") { first * 2 } else { second },
        }
    }

    fn read<T>(text: &str, check: impl FnOnce(Sample) -> T) -> (T, Vec<String>) {
        let report = Report::default();
        let path = Path::new("f").into();
        let node = yaml::parse(text, &path, &report).unwrap_or_else(|_| panic!("not YAML: {text}"));
        let root = Value::root(&node, Path::new(""), Location::file(path, None), &report);
        let sample = nested::<Sample>().read(&root).unwrap_or_else(|_| panic!("no sample: {text}"));
        let checked = check(sample);
        let problems = report.finish(Ok(())).err();
        let problems = problems.map_or(Vec::new(), |problems| problems.as_slice().to_vec());
        (checked, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_every_kind_of_key() {
        let text = "number: 4\nflag: false\nlist: [a, b]\ntype: t\ninner: { x: 5 }\ntimes: { first: 7 }\n";
        let ((), problems) = read(text, |sample| {
            assert_eq!(
                (sample.number.value(), sample.flag, sample.text.value()),
                (Some(4), false, Some("t".into()))
            );
            assert_eq!(sample.list.value().map(|list| list.len()), Some(2));
            assert_eq!(sample.inner.value().flatten().map(|inner| inner.x.value), Some(5));
            assert_eq!(sample.times, Times { first: 7, second: 14, unread: 3 });
        });
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn has_defaults_for_what_is_not_written() {
        let ((), problems) = read("inner: off\ntimes:\n", |sample| {
            assert!(!sample.number.is_written() && sample.flag);
            assert!(matches!(sample.inner.value(), Some(None)));
            assert_eq!(sample.times, Times::default());
        });
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn reports_unknown_keys_with_the_nearest_known_one() {
        let text = "numbre: 1\ninner:\n  deep: 1\n\"secret:h+CX0tOzdAAR9l15bWAqvq7w9olk\": 2\n";
        let ((), problems) = read(text, |sample| assert_eq!(sample.inner.checked().err(), Some(Reported)));
        let expected = [
            "f:1: numbre: this key does not exist; did you mean `number`?",
            "f:2: inner: x is missing; write x: 1",
            "f:3: inner.deep: this key does not exist; known here: x",
            "f:4: (key not shown): this key does not exist; known here: number, flag, list, type, inner, times",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn reports_wrong_types_and_goes_on() {
        let text =
            "number: \"4\"\nflag: yes\nlist: a\ntype: true\ninner: [1]\ntimes: { first: 101, second: }\n";
        let ((), problems) = read(text, |sample| {
            assert!(sample.number.is_written() && sample.number.value().is_none() && sample.flag);
        });
        let expected = [
            "f:1: number: this must be a whole number, and it is text; write digits without quotation marks",
            "f:2: flag: this must be true or false, and it is text; write true or false, without quotation marks",
            "f:3: list: this must be a list, and it is text; write [ … ], or a line `- …` for each entry",
            "f:4: type: this must be text, and it is true or false; put it in quotation marks if it is meant as text",
            "f:5: inner: this must be a mapping, and it is a list; write `key: value` lines below it, or { key: value }",
            "f:6: times.first: `101` is not a whole number from 0 to 100; write one in that range",
            "f:6: times.second: this must be a whole number, and it is nothing; write digits without quotation marks, or remove the key",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn reports_lists_without_entries() {
        let ((), problems) = read("list: []\n", |_| ());
        assert_eq!(problems, ["f:1: list: the list is empty; write one"]);
        let ((), problems) = read("list:\n", |_| ());
        let expected = "f:1: list: this must be a list, and it is nothing; write [ … ], or a line `- …` for each entry, or remove the key";
        assert_eq!(problems, [expected]);
    }

    #[test]
    fn describes_every_key() {
        let specs = Sample::specs();
        let described: Vec<_> = specs.iter().map(|spec| (spec.key, spec.text())).collect();
        assert_eq!(described[0], ("number", "A number.".to_owned()));
        assert_eq!(described[3], ("type", "A text\nof two lines.".to_owned()));
        assert!(matches!(&specs[1].presence, Presence::Default(text) if text == "true"));
        let sections = specs[5].shape.sections();
        assert!(matches!(&sections[0].1[1].presence, Presence::Default(text) if text == "2"));
    }
}
