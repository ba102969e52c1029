//! What the values of a configuration look like: the source of schema and reference page.

/// The shape of a value.
#[derive(Clone, Debug)]
pub enum Shape {
    /// The words `true` and `false`.
    Boolean,
    /// A whole number without quotation marks, from the first to the last.
    Number(u64, u64),
    /// Text, or a number that is read as text.
    Text {
        /// What the text is, such as `host name`.
        what: String,
        /// A regular expression for the whole text, if one is simple enough to help an editor.
        pattern: Option<&'static str>,
    },
    /// One of these words, unquoted.
    Words(Vec<&'static str>),
    /// A list of values of one shape.
    List {
        /// The shape of each entry.
        of: Box<Shape>,
        /// Whether `[]` is allowed.
        may_be_empty: bool,
    },
    /// A mapping with fixed keys.
    Section(Vec<KeySpec>),
    /// A mapping whose keys the operator chooses.
    Named(Box<Shape>),
    /// A value of any of these shapes.
    Either(Vec<Shape>),
}

impl Shape {
    /// Text that need not match a pattern.
    pub fn text(what: &str) -> Self {
        Shape::Text { what: what.to_owned(), pattern: None }
    }

    /// The keys of every section in this shape, with the part of the path that leads to them.
    pub fn sections(&self) -> Vec<(String, &[KeySpec])> {
        match self {
            Shape::Section(keys) => vec![(String::new(), keys)],
            Shape::List { of, .. } => below("[]", of),
            Shape::Named(of) => below(".<name>", of),
            Shape::Either(shapes) => shapes.iter().flat_map(Shape::sections).collect(),
            Shape::Boolean | Shape::Number(..) | Shape::Text { .. } | Shape::Words(_) => Vec::new(),
        }
    }
}

fn below<'s>(step: &str, shape: &'s Shape) -> Vec<(String, &'s [KeySpec])> {
    shape.sections().into_iter().map(|(path, keys)| (format!("{step}{path}"), keys)).collect()
}

/// One key of a section.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// The key in the file.
    pub key: &'static str,
    /// The doc comment of the declaration, a line each.
    pub doc: &'static [&'static str],
    /// What can be written as the value.
    pub shape: Shape,
    /// Whether the key must be written.
    pub presence: Presence,
}

/// What holds if a key is not written.
#[derive(Clone, Debug)]
pub enum Presence {
    /// The section is not valid.
    Required,
    /// The value that is shown here holds.
    Default(String),
    /// The doc comment says what holds.
    Optional,
}

impl KeySpec {
    /// The doc comment as one text.
    pub fn text(&self) -> String {
        let lines = self.doc.iter().map(|line| line.strip_prefix(' ').unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }
}
