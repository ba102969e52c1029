//! The reference page of a document, in Markdown.

use std::fmt::Write;

use super::shape::{KeySpec, Presence, Shape};
use super::value::alternatives;

/// A part of the page for each section: its path, and every key with type, default and documentation.
pub fn reference(keys: &[KeySpec]) -> String {
    let mut page = String::new();
    for spec in keys {
        entry(&mut page, 2, spec.key, spec);
    }
    page
}

/// The heading and text of one key, and then the keys below it.
fn entry(page: &mut String, level: usize, path: &str, spec: &KeySpec) {
    let sections = spec.shape.sections();
    if sections.is_empty() {
        let presence = match &spec.presence {
            Presence::Required => ", required".to_owned(),
            Presence::Default(text) => format!(", default `{text}`"),
            Presence::Optional => String::new(),
        };
        let kind = describe(&spec.shape);
        _ = write!(page, "- `{}`: {kind}{presence}\n{}\n", spec.key, indented(&spec.text()));
        return;
    }
    let heading = "#".repeat(level);
    let kind = describe(&spec.shape);
    _ = write!(page, "\n{heading} `{path}`\n\n{}\n\nType: {kind}.\n\n", spec.text());
    for (step, keys) in sections {
        let path = format!("{path}{step}");
        let (below, here): (Vec<_>, Vec<_>) = keys.iter().partition(|key| !key.shape.sections().is_empty());
        if !step.is_empty() {
            _ = write!(page, "Keys of `{path}`:\n\n");
        }
        for key in here.into_iter().chain(below) {
            entry(page, (level + 1).min(5), &format!("{path}.{}", key.key), key);
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |page, line| match line {
        "" => page + "\n",
        line => page + "  " + line + "\n",
    })
}

/// The type of a value in words.
fn describe(shape: &Shape) -> String {
    match shape {
        Shape::Boolean => "`true` or `false`".to_owned(),
        Shape::Number(least, most) => format!("whole number from {least} to {most}"),
        Shape::Text { what, .. } => what.clone(),
        Shape::Words(words) => {
            alternatives(&words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>())
        }
        Shape::List { of, .. } => format!("list, each entry: {}", describe(of)),
        Shape::Section(_) => "section".to_owned(),
        Shape::Named(of) => format!("names that you choose, each with: {}", describe(of)),
        Shape::Either(shapes) => alternatives(&shapes.iter().map(describe).collect::<Vec<_>>()),
    }
}
