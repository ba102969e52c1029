//! YAML as a tree. Every node has its line.
//!
//! This is a subset of YAML: one document, keys are text, no anchors, aliases or tags. Whatever is
//! outside of the subset is reported, and the rest of the file is still read.

use std::path::Path;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::quote::quoted;
use super::report::{Location, Report, Reported};

/// Limit of the recursion over a tree. A real configuration is never this deep.
const MAX_DEPTH: usize = 16;

/// A value in the file. There is no `Debug`, because a value may be a secret.
pub struct Node {
    /// The line, counted from 1.
    pub line: usize,
    pub kind: NodeKind,
}

pub enum NodeKind {
    /// A scalar; `plain` if it stands without quotation marks.
    Scalar { text: String, plain: bool },
    /// A list of nodes, in order.
    List(Vec<Node>),
    /// A mapping, in the order of the file; each key once.
    Mapping(Vec<(MappingKey, Node)>),
}

/// A key of a mapping.
pub struct MappingKey {
    /// The line, counted from 1.
    pub line: usize,
    pub text: String,
}

impl Node {
    /// Whether nothing is written, or `~`, or `null` (YAML 1.2.2 §10.3.2).
    pub fn is_null(&self) -> bool {
        match &self.kind {
            NodeKind::Scalar { text, plain: true } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }
}

/// Reads the text of the file `path`. An empty document is an empty mapping.
pub fn parse(text: &str, path: &Arc<Path>, report: &Report) -> Result<Node, Reported> {
    let mut tree = Tree { path, report, open: Vec::new(), root: None };
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        match event {
            Ok((event, span)) => tree.take(event, span.start.line())?,
            Err(error) => {
                // The scanner can report a line that lies behind the last one.
                let line = error.marker().line().clamp(1, text.lines().count().max(1));
                let message = format!("this is not YAML: {}", error.info());
                let hint = "check indentation, quotation marks and brackets here and just above";
                return Err(report.problem(&tree.at(line), message, hint));
            }
        }
    }
    Ok(tree.root.unwrap_or(Node { line: 1, kind: NodeKind::Mapping(Vec::new()) }))
}

/// The tree while it grows.
struct Tree<'r> {
    path: &'r Arc<Path>,
    report: &'r Report,
    /// The lists and mappings that have begun and not ended, outermost first.
    open: Vec<OpenNode>,
    root: Option<Node>,
}

struct OpenNode {
    line: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    /// Entries, and the key whose value comes next: `Some(None)` if that was refused.
    Mapping(Vec<(MappingKey, Node)>, Option<Option<MappingKey>>),
}

impl Tree<'_> {
    fn at(&self, line: usize) -> Location {
        Location::file(Arc::clone(self.path), Some(line))
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Reported> {
        match event {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
            Event::Alias(_) => {
                self.refuse(line, "an alias (*) is not supported", "write the value out");
                self.close(null(line))?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(line, anchor, tag.is_some());
                let plain = style == ScalarStyle::Plain;
                self.close(Node { line, kind: NodeKind::Scalar { text: text.into_owned(), plain } })?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(line, anchor, tag.is_some());
                self.open(line, OpenKind::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(line, anchor, tag.is_some());
                self.open(line, OpenKind::Mapping(Vec::new(), None))?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(OpenNode { line, kind }) = self.open.pop() {
                    let kind = match kind {
                        OpenKind::List(items) => NodeKind::List(items),
                        OpenKind::Mapping(entries, _) => NodeKind::Mapping(entries),
                    };
                    self.close(Node { line, kind })?;
                }
            }
        }
        Ok(())
    }

    fn refuse_extras(&self, line: usize, anchor: usize, tagged: bool) {
        if anchor > 0 {
            self.refuse(line, "an anchor (&) is not supported", "remove it and write the values out");
        }
        if tagged {
            self.refuse(line, "a tag (!) is not supported", "remove it");
        }
    }

    fn refuse(&self, line: usize, message: &str, hint: &str) {
        self.report.problem(&self.at(line), message, hint);
    }

    fn open(&mut self, line: usize, kind: OpenKind) -> Result<(), Reported> {
        if self.open.len() == MAX_DEPTH {
            let message = format!("lists and mappings are nested more than {MAX_DEPTH} deep");
            return Err(self.report.problem(
                &self.at(line),
                message,
                "nothing here is that deep; check the brackets",
            ));
        }
        self.open.push(OpenNode { line, kind });
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn close(&mut self, node: Node) -> Result<(), Reported> {
        let (path, report) = (self.path, self.report);
        let at = |line| Location::file(Arc::clone(path), Some(line));
        match self.open.last_mut().map(|open| &mut open.kind) {
            None if self.root.is_some() => {
                let message = "a second document begins here";
                return Err(report.problem(
                    &at(node.line),
                    message,
                    "keep one document, without `---` inside",
                ));
            }
            None => self.root = Some(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Mapping(entries, expected)) => match expected.take() {
                Some(Some(key)) => entries.push((key, node)),
                Some(None) => {}
                None => {
                    let key = key_text(node).map_err(|line| {
                        report.problem(&at(line), "a key must be text", "write `name: value`")
                    });
                    let first = |key: &MappingKey| entries.iter().find(|(entry, _)| entry.text == key.text);
                    let key = key.and_then(|key| match first(&key) {
                        Some((first, _)) => {
                            let message =
                                format!("the key {} is already on line {}", quoted(&key.text), first.line);
                            Err(report.problem(&at(key.line), message, "remove one of them"))
                        }
                        None => Ok(key),
                    });
                    *expected = Some(key.ok());
                }
            },
        }
        Ok(())
    }
}

fn null(line: usize) -> Node {
    Node { line, kind: NodeKind::Scalar { text: String::new(), plain: true } }
}

fn key_text(node: Node) -> Result<MappingKey, usize> {
    match node.kind {
        NodeKind::Scalar { text, .. } => Ok(MappingKey { line: node.line, text }),
        NodeKind::List(_) | NodeKind::Mapping(_) => Err(node.line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<String>, Vec<String>) {
        let report = Report::default();
        let tree = parse(text, &Path::new("f").into(), &report).ok().map(|node| show(&node));
        let problems = report
            .finish(Ok(()))
            .err()
            .map_or(Vec::new(), |problems| problems.as_slice().iter().map(ToString::to_string).collect());
        (tree, problems)
    }

    fn show(node: &Node) -> String {
        let inner = match &node.kind {
            NodeKind::Scalar { text, plain: true } => text.clone(),
            NodeKind::Scalar { text, plain: false } => format!("{text:?}"),
            NodeKind::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            NodeKind::Mapping(entries) => {
                let entry =
                    |(key, node): &(MappingKey, Node)| format!("{}@{}={}", key.text, key.line, show(node));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
            }
        };
        format!("{inner}@{}", node.line)
    }

    #[test]
    fn knows_the_line_of_every_node() {
        let (tree, problems) = read("# comment\na: 1\nb:\n  - x\n  - \"y\"\n\nc: { d: ~, e: }\n");
        assert_eq!(problems, [""; 0]);
        let tree = tree.expect("a tree");
        assert_eq!(tree, "{a@2=1@2 b@3=[x@4 \"y\"@5]@4 c@7={d@7=~@7 e@7=@7}@7}@2");
    }

    #[test]
    fn an_empty_document_is_an_empty_mapping() {
        for text in ["", "\n\n", "# only a comment\n", "\u{feff}"] {
            assert_eq!(read(text), (Some("{}@1".into()), vec![]), "{text:?}");
        }
    }

    #[test]
    fn reports_what_it_does_not_support_and_reads_on() {
        let (tree, problems) = read("a: &x 1\nb: *x\nc: !!str 2\na: 3\n[d]: 4\ne: 5\n");
        let expected = [
            "f:1: an anchor (&) is not supported; remove it and write the values out",
            "f:2: an alias (*) is not supported; write the value out",
            "f:3: a tag (!) is not supported; remove it",
            "f:4: the key `a` is already on line 1; remove one of them",
            "f:5: a key must be text; write `name: value`",
        ];
        assert_eq!(problems, expected);
        assert!(tree.is_some_and(|tree| tree.contains("e@6=5@6")));
    }

    #[test]
    fn stops_at_bad_syntax_a_second_document_and_great_depth() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        for (text, part) in [
            ("a: [1\nb: 2\n", "this is not YAML"),
            ("a: 1\n---\nb: 2\n", "f:3: a second document"),
            (deep.as_str(), "nested more than 16 deep"),
        ] {
            let (tree, problems) = read(text);
            assert!(tree.is_none(), "{text}");
            assert!(problems.len() == 1 && problems[0].contains(part), "{problems:?}");
        }
    }
}
