//! Typed reading of the YAML tree: a wrong type, an unknown key or a bad value is reported with
//! its place, and reading goes on.

use std::ops::RangeInclusive;

use super::error::{Fault, Located, Location, Report, Reported, quoted, suggest};
use super::yaml::{Kind, Node};

/// A value in the file and the dotted key that leads to it.
pub(super) struct Value<'t> {
    node: &'t Node,
    at: Location,
    report: &'t Report,
}

impl<'t> Value<'t> {
    /// The value of the whole file.
    pub fn root(node: &'t Node, at: Location, report: &'t Report) -> Self {
        Self { node, at, report }
    }

    pub fn at(&self) -> &Location {
        &self.at
    }

    /// Whether this is a list with nothing in it, written as such.
    pub fn is_empty_list(&self) -> bool {
        matches!(&self.node.kind, Kind::List(items) if items.is_empty())
    }

    /// Whether this is a certain word, which may stand where something else is usual.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.node.kind, Kind::Scalar { text, plain: true } if text == word)
    }

    /// Whether keys and values are written here.
    pub fn is_mapping(&self) -> bool {
        matches!(self.node.kind, Kind::Mapping(_))
    }

    /// Reports a problem of this value.
    pub fn problem(&self, message: impl Into<String>, mend: impl Into<String>) -> Reported {
        self.report.problem(&self.at, message, mend)
    }

    /// Reports something legal but suspicious about this value.
    pub fn warning(&self, message: impl Into<String>, mend: impl Into<String>) {
        self.report.warning(&self.at, message, mend);
    }

    /// A mapping with no keys but these. Nothing written is an empty one; anything else is
    /// reported and read as an empty one.
    pub fn mapping(&self, keys: &'static [&'static str]) -> Mapping<'t> {
        let (entries, is_whole) = match self.entries() {
            Ok(entries) => (entries, true),
            Err(Reported) => (Vec::new(), false),
        };
        let mapping = Mapping { entries, is_whole, at: self.at.clone(), keys, report: self.report };
        for (name, value) in &mapping.entries {
            if !keys.contains(name) {
                let mend = match keys {
                    [] => "remove it".to_owned(),
                    keys => suggest(name, keys.iter().copied()),
                };
                value.problem("this key does not exist", mend);
            }
        }
        mapping
    }

    /// The entries of a mapping whose keys are the operator's own.
    pub fn entries(&self) -> Result<Vec<(&'t str, Value<'t>)>, Reported> {
        match &self.node.kind {
            Kind::Mapping(entries) => Ok(entries
                .iter()
                .map(|(key, node)| {
                    let at = self.at.child(&shown_key(&key.text), key.line);
                    (key.text.as_str(), Value { node, at, report: self.report })
                })
                .collect()),
            _ if self.node.is_null() => Ok(Vec::new()),
            _ => Err(self.wrong_type("a mapping", "write `key: value` lines below it, or { key: value }")),
        }
    }

    /// The entries of a list; `None` if nothing is written.
    pub fn list(&self) -> Result<Option<Vec<Value<'t>>>, Reported> {
        match &self.node.kind {
            Kind::List(items) => {
                let item = |(index, node): (usize, &'t Node)| {
                    let at = self.at.item(index, node.line);
                    Value { node, at, report: self.report }
                };
                Ok(Some(items.iter().enumerate().map(item).collect()))
            }
            _ if self.node.is_null() => Ok(None),
            _ => Err(self.wrong_type("a list", "write [ … ], or a line `- …` for each entry")),
        }
    }

    /// The entries of a list, each read by `read`; those that fail are left out.
    pub fn list_of<T>(&self, read: impl Fn(&Value<'t>) -> Result<T, Reported>) -> Option<Vec<T>> {
        let items = self.list().ok()??;
        Some(items.iter().filter_map(|item| read(item).ok()).collect())
    }

    /// Text, quoted or not. Numbers count as text as they stand; nothing, true and false do not.
    pub fn text(&self) -> Result<&'t str, Reported> {
        match &self.node.kind {
            Kind::Scalar { text, plain: true } if is_boolean(text) => {
                Err(self.wrong_type("text", "put it in quotation marks if it is meant as text"))
            }
            Kind::Scalar { text, .. } if !self.node.is_null() => Ok(text),
            _ => Err(self.wrong_type("text", "write one value behind the colon")),
        }
    }

    /// Text that `parse` turns into a value.
    pub fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Result<Located<T>, Reported> {
        match parse(self.text()?) {
            Ok(value) => Ok(Located { value, at: self.at.clone() }),
            Err(fault) => Err(self.report.fault(&self.at, fault)),
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Result<T, Reported> {
        self.parse(|text| word(text, words)).map(|located| located.value)
    }

    /// A whole number in a range, without quotation marks.
    pub fn integer(&self, range: RangeInclusive<usize>) -> Result<usize, Reported> {
        match &self.node.kind {
            Kind::Scalar { plain: true, .. } if !self.node.is_null() => {
                self.parse(|text| integer(text, range)).map(|located| located.value)
            }
            _ => Err(self.wrong_type("a whole number", "write digits without quotation marks")),
        }
    }

    /// `true` or `false`, without quotation marks.
    pub fn boolean(&self) -> Result<bool, Reported> {
        match &self.node.kind {
            Kind::Scalar { text, plain: true } if text == "true" => Ok(true),
            Kind::Scalar { text, plain: true } if text == "false" => Ok(false),
            _ => Err(self.wrong_type("true or false", "write true or false, without quotation marks")),
        }
    }

    fn wrong_type(&self, wanted: &str, mend: &str) -> Reported {
        let found = match &self.node.kind {
            _ if self.node.is_null() => "nothing",
            Kind::Scalar { text, plain: true } if is_boolean(text) => "true or false",
            Kind::Scalar { text, plain: true } if text.parse::<f64>().is_ok() => "a number",
            Kind::Scalar { .. } => "text",
            Kind::List(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        };
        let mend = if found == "nothing" { format!("{mend}, or remove the key") } else { mend.to_owned() };
        self.problem(format!("this must be {wanted}, and it is {found}"), mend)
    }
}

/// A mapping with a fixed set of keys.
pub(super) struct Mapping<'t> {
    entries: Vec<(&'t str, Value<'t>)>,
    /// False if something else stood in its place.
    is_whole: bool,
    at: Location,
    keys: &'static [&'static str],
    report: &'t Report,
}

impl<'t> Mapping<'t> {
    pub fn at(&self) -> &Location {
        &self.at
    }

    /// The value of `key`, if it is written.
    pub fn find(&self, key: &'static str) -> Option<&Value<'t>> {
        debug_assert!(self.keys.contains(&key), "{key} is not in the list of keys");
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The value of `key`, read by `read`; `None` if it is not written or was reported.
    pub fn read<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value<'t>) -> Result<T, Reported>,
    ) -> Option<T> {
        self.find(key).and_then(|value| read(value).ok())
    }

    /// The mapping at `key`, an empty one if it is not written.
    pub fn section(&self, key: &'static str, keys: &'static [&'static str]) -> Mapping<'t> {
        match self.find(key) {
            Some(value) => value.mapping(keys),
            None => Mapping {
                entries: Vec::new(),
                is_whole: true,
                at: self.at.clone(),
                keys,
                report: self.report,
            },
        }
    }

    /// Reports a key that is missing.
    pub fn missing(&self, key: &'static str, mend: impl Into<String>) -> Reported {
        self.problem(format!("{key} is missing"), mend)
    }

    /// Reports a problem of the mapping as a whole, unless something else stood in its place.
    pub fn problem(&self, message: impl Into<String>, mend: impl Into<String>) -> Reported {
        if self.is_whole { self.report.problem(&self.at, message, mend) } else { Reported }
    }
}

/// A whole number in a range.
pub(super) fn integer(text: &str, range: RangeInclusive<usize>) -> Result<usize, Fault> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && range.contains(&number) => Ok(number),
        _ => Err(Fault::new(
            format!("{} is not a whole number from {} to {}", quoted(text), range.start(), range.end()),
            "write one in that range",
        )),
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, Fault> {
    words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        let mend = match names.split_last() {
            Some((last, [])) => format!("use {last}"),
            Some((last, rest)) => format!("use {} or {last}", rest.join(", ")),
            None => String::new(),
        };
        Fault::new(format!("{} is not known", quoted(text)), mend)
    })
}

fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// A key as messages show it. A secret written without the blank after the colon becomes part of
/// a key, so that only what looks like a name is shown.
fn shown_key(key: &str) -> String {
    if is_name(key) { key.to_owned() } else { "(key not shown)".to_owned() }
}

/// Whether a key of the operator's own is a name, and can be shown.
pub(super) fn is_name(key: &str) -> bool {
    (1..=32).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// The names among `keys`, as messages list them; the others have been reported.
pub(super) fn list_names<'k>(keys: impl IntoIterator<Item = &'k str>) -> String {
    keys.into_iter().filter(|key| is_name(key)).collect::<Vec<_>>().join(", ")
}

/// How many worker threads can be asked for.
pub(super) const THREADS: RangeInclusive<usize> = 1..=1024;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::yaml;
    use super::*;

    /// What `read` reports about the file `text`.
    fn problems(text: &str, read: impl FnOnce(&Mapping<'_>)) -> Vec<String> {
        const KEYS: &[&str] = &["number", "flag", "list", "text", "inner"];
        let report = Report::default();
        let path = Path::new("f").into();
        let node = yaml::parse(text, &path, &report).unwrap_or_else(|_| panic!("not YAML: {text}"));
        read(&Value::root(&node, Location::file(path, None), &report).mapping(KEYS));
        let problems = report.finish(Ok(())).err();
        problems.map_or(Vec::new(), |list| list.as_slice().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_unknown_keys_and_the_nearest_known_one() {
        let text = "numbre: 1\ninner:\n  deep: 1\n\"secret:h+CX0tOzdAAR9l15bWAqvq7w9olk\": 2\n";
        let found = problems(text, |root| {
            root.section("inner", &[]);
        });
        let expected = [
            "f:1: numbre: this key does not exist; did you mean `number`?",
            "f:3: inner.deep: this key does not exist; remove it",
            "f:4: (key not shown): this key does not exist; known here: number, flag, list, text, inner",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_wrong_types() {
        let text = "number: \"4\"\nflag: yes\nlist: a\ntext: true\ninner: [1]\n";
        let found = problems(text, |root| {
            root.read("number", |value| value.integer(1..=8));
            root.read("flag", Value::boolean);
            root.read("list", |value| value.list().map(|list| list.map(|_| ())));
            root.read("text", |value| value.text().map(str::len));
            root.section("inner", &["x"]);
        });
        let expected = [
            "f:1: number: this must be a whole number, and it is text; write digits without quotation marks",
            "f:2: flag: this must be true or false, and it is text; write true or false, without quotation marks",
            "f:3: list: this must be a list, and it is text; write [ … ], or a line `- …` for each entry",
            "f:4: text: this must be text, and it is true or false; put it in quotation marks if it is meant as text",
            "f:5: inner: this must be a mapping, and it is a list; write `key: value` lines below it, or { key: value }",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_is_an_empty_mapping_or_an_absent_list_but_no_scalar() {
        let found = problems("inner:\nlist:\nnumber:\ntext: ~\n", |root| {
            assert!(root.section("inner", &["x"]).find("x").is_none());
            assert!(root.find("list").is_some_and(|list| matches!(list.list(), Ok(None))));
            root.read("number", |value| value.integer(1..=8));
            root.read("text", |value| value.text().map(str::len));
        });
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|problem| problem.contains("nothing")), "{found:?}");
    }

    #[test]
    fn whole_numbers_have_bounds() {
        assert_eq!(integer("8", 1..=8), Ok(8));
        let mut cases = 0;
        for text in ["0", "9", "+4", "-1", "4.0", "", "1e1", "99999999999999999999", "0x4"] {
            assert!(integer(text, 1..=8).is_err(), "{text}");
            cases += 1;
        }
        assert!(cases > 0);
    }
}
