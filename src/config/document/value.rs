//! Typed access to the YAML tree. A wrong type or an unknown key is reported with its place, and
//! reading goes on.

use std::path::Path;

use super::quote::{quoted, suggest};
use super::report::{Fault, Located, Location, Report, Reported};
use super::yaml::{Node, NodeKind};

/// A value in the file, with the dotted key that leads to it.
#[derive(Clone)]
pub struct Value<'t> {
    node: &'t Node,
    at: Location,
    source: FileContext<'t>,
}

/// What all values of a file have in common.
#[derive(Clone, Copy)]
struct FileContext<'t> {
    /// The folder of the file, at which relative paths begin.
    folder: &'t Path,
    report: &'t Report,
}

impl<'t> Value<'t> {
    /// The value of the whole file. Relative paths in the file begin at `folder`.
    pub fn root(node: &'t Node, folder: &'t Path, at: Location, report: &'t Report) -> Self {
        Self { node, at, source: FileContext { folder, report } }
    }

    /// The folder at which relative paths begin.
    pub fn folder(&self) -> &'t Path {
        self.source.folder
    }

    /// The value together with its place.
    pub fn located<T>(&self, value: T) -> Located<T> {
        Located { value, at: self.at.clone() }
    }

    /// Whether the value is `[]`.
    pub fn is_empty_list(&self) -> bool {
        matches!(&self.node.kind, NodeKind::List(items) if items.is_empty())
    }

    /// Whether the value is `word` without quotation marks.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.node.kind, NodeKind::Scalar { text, plain: true } if text == word)
    }

    /// Whether the value is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.node.kind, NodeKind::List(_))
    }

    /// Whether the value is a mapping.
    pub fn is_mapping(&self) -> bool {
        matches!(self.node.kind, NodeKind::Mapping(_))
    }

    /// Whether nothing is written after the key.
    pub fn is_null(&self) -> bool {
        self.node.is_null()
    }

    /// Reports a problem of this value.
    pub fn problem(&self, message: impl Into<String>, hint: impl Into<String>) -> Reported {
        self.source.report.problem(&self.at, message, hint)
    }

    /// Reports a problem of a part of this value.
    pub fn problem_at(&self, at: &Location, message: impl Into<String>, hint: impl Into<String>) -> Reported {
        self.source.report.problem(at, message, hint)
    }

    /// Reports a warning about this value.
    pub fn warning(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.source.report.warning(&self.at, message, hint);
    }

    /// A mapping that has only `keys`; other keys are reported. A null value is an empty mapping. Any
    /// other value is reported and treated as an empty mapping.
    pub fn mapping(&self, keys: &'static [&'static str]) -> Mapping<'t> {
        let (entries, is_whole) = match self.entries() {
            Ok(entries) => (entries, true),
            Err(Reported) => (Vec::new(), false),
        };
        for (name, value) in &entries {
            if !keys.contains(name) {
                value.problem("this key does not exist", suggest(name, keys.iter().copied()));
            }
        }
        Mapping { entries, is_whole, at: self.at.clone(), source: self.source }
    }

    /// The entries of a mapping whose keys the operator chooses.
    pub fn entries(&self) -> Result<Vec<(&'t str, Value<'t>)>, Reported> {
        match &self.node.kind {
            NodeKind::Mapping(entries) => Ok(entries
                .iter()
                .map(|(key, node)| {
                    let at = self.at.child(&shown_key(&key.text), key.line);
                    (key.text.as_str(), Value { node, at, source: self.source })
                })
                .collect()),
            _ if self.is_null() => Ok(Vec::new()),
            _ => Err(self.wrong_type("a mapping", "write `key: value` lines below it, or { key: value }")),
        }
    }

    /// The entries of a list. A null value is an error: for some keys it would mean "any".
    pub fn list(&self) -> Result<Vec<Value<'t>>, Reported> {
        match &self.node.kind {
            NodeKind::List(items) => {
                let item = |(index, node): (usize, &'t Node)| {
                    let at = self.at.item(index, node.line);
                    Value { node, at, source: self.source }
                };
                Ok(items.iter().enumerate().map(item).collect())
            }
            _ => Err(self.wrong_type("a list", "write [ … ], or a line `- …` for each entry")),
        }
    }

    /// Text, with or without quotation marks. Numbers are text; `true`, `false` and null are not.
    pub fn text(&self) -> Result<&'t str, Reported> {
        match &self.node.kind {
            NodeKind::Scalar { text, plain: true } if is_boolean(text) => {
                Err(self.wrong_type("text", "put it in quotation marks if it is meant as text"))
            }
            NodeKind::Scalar { text, .. } if !self.is_null() => Ok(text),
            _ => Err(self.wrong_type("text", "write one value behind the colon")),
        }
    }

    /// The text, parsed by `parse`.
    pub fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Result<T, Reported> {
        parse(self.text()?).map_err(|fault| self.source.report.fault(&self.at, fault))
    }

    /// A number without quotation marks, parsed by `parse`.
    pub fn number<T>(&self, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Result<T, Reported> {
        match &self.node.kind {
            NodeKind::Scalar { plain: true, .. } if !self.is_null() => self.parse(parse),
            _ => Err(self.wrong_type("a whole number", "write digits without quotation marks")),
        }
    }

    /// `true` or `false` without quotation marks.
    pub fn boolean(&self) -> Result<bool, Reported> {
        match &self.node.kind {
            NodeKind::Scalar { text, plain: true } if text == "true" => Ok(true),
            NodeKind::Scalar { text, plain: true } if text == "false" => Ok(false),
            _ => Err(self.wrong_type("true or false", "write true or false, without quotation marks")),
        }
    }

    fn wrong_type(&self, wanted: &str, hint: &str) -> Reported {
        let found = match &self.node.kind {
            _ if self.is_null() => "nothing",
            NodeKind::Scalar { text, plain: true } if is_boolean(text) => "true or false",
            NodeKind::Scalar { text, plain: true } if text.parse::<f64>().is_ok() => "a number",
            NodeKind::Scalar { .. } => "text",
            NodeKind::List(_) => "a list",
            NodeKind::Mapping(_) => "a mapping",
        };
        let hint = if found == "nothing" { format!("{hint}, or remove the key") } else { hint.to_owned() };
        self.problem(format!("this must be {wanted}, and it is {found}"), hint)
    }
}

/// A mapping with a fixed set of keys.
pub struct Mapping<'t> {
    entries: Vec<(&'t str, Value<'t>)>,
    /// False if the value was not a mapping. That has been reported.
    is_whole: bool,
    at: Location,
    source: FileContext<'t>,
}

impl<'t> Mapping<'t> {
    /// A mapping without entries, below a mapping that does not have it.
    pub fn absent(&self) -> Mapping<'t> {
        Mapping { entries: Vec::new(), is_whole: true, at: self.at.clone(), source: self.source }
    }

    /// An empty mapping at `at`, for settings that no file has.
    pub fn empty(at: Location, report: &'t Report) -> Self {
        let source = FileContext { folder: Path::new(""), report };
        Self { entries: Vec::new(), is_whole: true, at, source }
    }

    /// The value of `key`; `None` if the key is not written.
    pub fn find(&self, key: &str) -> Option<&Value<'t>> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Whether the mapping has `key`.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Reports that `key` is missing, unless the mapping itself has been reported.
    pub fn missing(&self, key: &str, hint: impl Into<String>) -> Reported {
        if self.is_whole {
            self.source.report.problem(&self.at, format!("{key} is missing"), hint)
        } else {
            Reported
        }
    }
}

/// Whether YAML readers agree that a text is a boolean (YAML 1.2.2 §10.3.2).
fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// A key as messages show it. `secret:value` without a blank is one key, so a key is only shown if it
/// looks like a name.
fn shown_key(key: &str) -> String {
    if is_name(key) { key.to_owned() } else { "(key not shown)".to_owned() }
}

/// Whether a key that the operator chose is a name, and can be shown.
pub fn is_name(key: &str) -> bool {
    (1..=32).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// The names among `keys`, separated by commas. The other keys have been reported.
pub fn list_names<'k>(keys: impl IntoIterator<Item = &'k str>) -> String {
    keys.into_iter().filter(|key| is_name(key)).collect::<Vec<_>>().join(", ")
}

/// A whole number in decimal digits without leading zeros; `None` if the text is something else.
pub fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number && leading_zero(text).is_none())
}

/// The fault of a number that begins with a zero, which some programs read as octal.
pub fn leading_zero(text: &str) -> Option<Fault> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let significant = text[..end].trim_start_matches('0');
    if end < 2 || significant.len() == end {
        return None;
    }
    let number = if significant.is_empty() { "0" } else { significant };
    let message = format!("{} has a leading zero, which some programs read as octal", quoted(text));
    let hint = if text.len() > 16 {
        "write the number without it".to_owned()
    } else {
        format!("write {number}{}", text[end..].escape_debug())
    };
    Some(Fault::new(message, hint))
}

/// One of a few words.
pub fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, Fault> {
    words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        Fault::new(format!("{} is not known", quoted(text)), format!("use {}", alternatives(&names)))
    })
}

/// Joins names for a message: `a, b or c`.
pub fn alternatives<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
