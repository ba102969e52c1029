//! What is wrong with a configuration, told to the operator who has to mend it.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::files::SourceFile;

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file, at a line counted from 1 if it is known.
    File(Arc<Path>, Option<usize>),
    /// In an environment variable.
    Variable(&'static str),
    /// Nowhere: something is missing.
    Nowhere,
}

impl Place {
    /// Problems are told in this order: file by file and by line, then the environment, then what
    /// is missing.
    fn rank(&self) -> (u8, Option<&Path>, usize) {
        match self {
            Place::File(path, line) => (0, Some(path), line.unwrap_or(0)),
            Place::Variable(_) => (1, None, 0),
            Place::Nowhere => (2, None, 0),
        }
    }
}

/// One mistake: where, what, and how to mend it. Its text never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// The dotted key in the file, such as `approov.keys[0].algorithm`.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path, Some(line)) => write!(f, "{}:{line}: ", path.display())?,
            Place::File(path, None) => write!(f, "{}: ", path.display())?,
            Place::Variable(name) => write!(f, "{name}: ")?,
            Place::Nowhere => {}
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        write!(f, "{}; {}", self.message, self.mend)
    }
}

/// Every mistake of a configuration, in the order of the lines; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    files: Vec<SourceFile>,
}

impl Problems {
    /// The problems, in order.
    pub fn as_slice(&self) -> &[Problem] {
        &self.problems
    }

    /// The files that were read, or could not be.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What is wrong with a text, wherever it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub message: String,
    pub mend: String,
}

impl Fault {
    pub fn new(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { message: message.into(), mend: mend.into() }
    }
}

/// Stands in for a value whose problem has been reported: nothing more needs to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported;

/// A place and, in a file, the dotted key there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    place: Place,
    key: Option<String>,
}

impl Location {
    /// The whole file, or a line of it.
    pub fn file(path: Arc<Path>, line: Option<usize>) -> Self {
        Self { place: Place::File(path, line), key: None }
    }

    pub fn variable(name: &'static str) -> Self {
        Self { place: Place::Variable(name), key: None }
    }

    pub fn nowhere() -> Self {
        Self { place: Place::Nowhere, key: None }
    }

    /// The entry `name` of the mapping that stands here.
    pub fn child(&self, name: &str, line: usize) -> Self {
        let key = match &self.key {
            Some(key) => format!("{key}.{name}"),
            None => name.to_owned(),
        };
        Self { place: self.place.at_line(line), key: Some(key) }
    }

    /// The entry `index` of the list that stands here.
    pub fn item(&self, index: usize, line: usize) -> Self {
        let key = self.key.as_deref().unwrap_or_default();
        Self { place: self.place.at_line(line), key: Some(format!("{key}[{index}]")) }
    }

    /// How another problem's text names this place.
    pub fn name(&self) -> String {
        match (&self.place, &self.key) {
            (_, Some(key)) => key.clone(),
            (Place::Variable(name), None) => (*name).to_owned(),
            (_, None) => "the configuration".to_owned(),
        }
    }
}

impl Place {
    fn at_line(&self, line: usize) -> Self {
        match self {
            Place::File(path, _) => Place::File(Arc::clone(path), Some(line)),
            other => other.clone(),
        }
    }
}

/// A value with the place it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Located<T> {
    pub value: T,
    pub at: Location,
}

/// Collects all problems of one run.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    files: RefCell<Vec<SourceFile>>,
}

impl Report {
    /// Adds something that stops the start.
    pub fn problem(&self, at: &Location, message: impl Into<String>, mend: impl Into<String>) -> Reported {
        self.problems.borrow_mut().push(problem(at, message.into(), mend.into()));
        Reported
    }

    /// The same, from a text's fault.
    pub fn fault(&self, at: &Location, fault: Fault) -> Reported {
        self.problem(at, fault.message, fault.mend)
    }

    /// Adds something legal but suspicious.
    pub fn warning(&self, at: &Location, message: impl Into<String>, mend: impl Into<String>) {
        self.warnings.borrow_mut().push(problem(at, message.into(), mend.into()));
    }

    /// Notes a file whose content counts, before it is read.
    pub fn reads(&self, path: &Path) {
        let mut files = self.files.borrow_mut();
        if !files.iter().any(|file| file.path() == path) {
            files.push(SourceFile::now(path));
        }
    }

    /// The result, the warnings and the files, or the problems if there is any.
    pub fn finish<T>(
        self,
        result: Result<T, Reported>,
    ) -> Result<(T, Vec<Problem>, Vec<SourceFile>), Problems> {
        let problems = sorted(self.problems);
        let files = self.files.into_inner();
        match result {
            Ok(value) if problems.is_empty() => Ok((value, sorted(self.warnings), files)),
            Err(Reported) if problems.is_empty() => {
                let message = "something is wrong, and the gateway failed to say what".to_owned();
                let mend = "this is a mistake of the gateway; please report it".to_owned();
                Err(Problems { problems: vec![problem(&Location::nowhere(), message, mend)], files })
            }
            _ => Err(Problems { problems, files }),
        }
    }
}

fn problem(at: &Location, message: String, mend: String) -> Problem {
    Problem { place: at.place.clone(), key: at.key.clone(), message, mend }
}

fn sorted(problems: RefCell<Vec<Problem>>) -> Vec<Problem> {
    let mut problems = problems.into_inner();
    problems.sort_by(|one, other| one.place.rank().cmp(&other.place.rank()));
    problems
}

/// The longest text that a message repeats. Any secret is longer, so that one pasted into the
/// wrong place is not printed.
pub(super) const MAX_QUOTED: usize = 40;

/// A text from the configuration, as a message shows it.
pub(super) fn quoted(text: &str) -> String {
    let characters = text.chars().count();
    if characters > MAX_QUOTED {
        format!("this text of {characters} characters")
    } else {
        format!("`{}`", text.escape_debug())
    }
}

/// The name among `known` that `text` was perhaps meant to be.
pub(super) fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(text, name), name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

/// The mend for a name that does not exist.
pub(super) fn suggest<'k>(text: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    match nearest(text, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known here: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_problems_by_line_then_variables_then_what_is_missing() {
        let report = Report::default();
        let file = Location::file(Path::new("conf/gateway.yaml").into(), None);
        let keys = file.child("approov", 3).child("keys", 4).item(0, 14);
        report.problem(&Location::nowhere(), "no origin", "set API_DOMAIN");
        report.problem(&Location::variable("GATEWAY_THREADS"), "zero", "write 1");
        report.problem(&keys.child("algorithm", 14), "HS257 is not an algorithm", "use HS256");
        report.problem(&file.child("admin", 2), "is text", "write a mapping");
        let problems = report.finish(Ok(())).expect_err("there are problems");
        assert_eq!(problems.as_slice().len(), 4);
        assert_eq!(
            problems.to_string(),
            "conf/gateway.yaml:2: admin: is text; write a mapping\n\
             conf/gateway.yaml:14: approov.keys[0].algorithm: HS257 is not an algorithm; use HS256\n\
             GATEWAY_THREADS: zero; write 1\n\
             no origin; set API_DOMAIN"
        );
    }

    #[test]
    fn repeats_no_text_as_long_as_a_secret() {
        assert_eq!(quoted("HS257"), "`HS257`");
        assert_eq!(quoted("a\r\u{1b}"), "`a\\r\\u{1b}`");
        assert_eq!(quoted(&"s".repeat(43)), "this text of 43 characters");
    }

    #[test]
    fn suggests_what_is_near_and_lists_the_rest() {
        assert_eq!(suggest("lisseners", ["listeners", "admin"]), "did you mean `listeners`?");
        assert_eq!(suggest("qqq", ["listeners", "admin"]), "known here: listeners, admin");
    }
}
