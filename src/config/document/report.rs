//! What is wrong with a configuration, told to the operator who has to hint it.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::source_file::SourceFile;

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file, at a line counted from 1 if it is known.
    File(Arc<Path>, Option<usize>),
    /// In an environment variable.
    Variable(&'static str),
    /// Nowhere, because something is missing.
    Nowhere,
}

impl Place {
    /// The sort key of problems: by file and line, then the environment, then what is missing.
    fn rank(&self) -> (u8, Option<&Path>, usize) {
        match self {
            Place::File(path, line) => (0, Some(path), line.unwrap_or(0)),
            Place::Variable(_) => (1, None, 0),
            Place::Nowhere => (2, None, 0),
        }
    }
}

/// One mistake: where, what, and how to hint it. Its text never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file and line, or the variable.
    pub place: Place,
    /// The dotted key in the file, such as `approov.keys[0].algorithm`.
    pub key: Option<String>,
    /// What is wrong, for an operator.
    pub message: String,
    /// How to fix it, for an operator.
    pub hint: String,
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
        write!(f, "{}; {}", self.message, self.hint)
    }
}

/// Every mistake of a configuration, in the order of the lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    files: Vec<SourceFile>,
}

impl Problems {
    /// The problems in the order of their lines.
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

/// A mistake in a text, without the place where the text was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub message: String,
    pub hint: String,
}

impl Fault {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// Stands for a value whose problem has already been reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported;

/// Where a value is written: the place, and the dotted key if the place is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
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

    /// The entry `name` of the mapping at this place.
    pub fn child(&self, name: &str, line: usize) -> Self {
        let key = match &self.key {
            Some(key) => format!("{key}.{name}"),
            None => name.to_owned(),
        };
        Self { place: self.place.at_line(line), key: Some(key) }
    }

    /// The entry `index` of the list at this place.
    pub fn item(&self, index: usize, line: usize) -> Self {
        let key = self.key.as_deref().unwrap_or_default();
        Self { place: self.place.at_line(line), key: Some(format!("{key}[{index}]")) }
    }

    /// The name of this place in the text of a problem at another place.
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

/// A value with the place where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    pub at: Location,
}

/// Collects all problems of one run.
#[derive(Debug, Default)]
pub struct Report {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    files: RefCell<Vec<SourceFile>>,
}

impl Report {
    /// Adds a problem that stops the start.
    pub fn problem(&self, at: &Location, message: impl Into<String>, hint: impl Into<String>) -> Reported {
        self.problems.borrow_mut().push(problem(at, message.into(), hint.into()));
        Reported
    }

    /// Adds the fault of a text as a problem.
    pub fn fault(&self, at: &Location, fault: Fault) -> Reported {
        self.problem(at, fault.message, fault.hint)
    }

    /// Adds a warning: legal, but suspicious.
    pub fn warning(&self, at: &Location, message: impl Into<String>, hint: impl Into<String>) {
        self.warnings.borrow_mut().push(problem(at, message.into(), hint.into()));
    }

    /// Records a file of the configuration. To be called before the file is read.
    pub fn reads(&self, path: &Path) {
        let mut files = self.files.borrow_mut();
        if !files.iter().any(|file| file.path() == path) {
            files.push(SourceFile::now(path));
        }
    }

    /// The result with the warnings and the files, or the problems if there are any.
    pub fn finish<T>(
        self,
        result: Result<T, Reported>,
    ) -> Result<(T, Vec<Problem>, Vec<SourceFile>), Problems> {
        let problems = sorted(self.problems);
        let files = self.files.into_inner();
        match result {
            Ok(value) if problems.is_empty() => Ok((value, sorted(self.warnings), files)),
            Err(Reported) if problems.is_empty() => {
                let message = "the configuration is wrong, and the gateway cannot say where".to_owned();
                let hint = "this is a bug of the gateway; please report it".to_owned();
                Err(Problems { problems: vec![problem(&Location::nowhere(), message, hint)], files })
            }
            _ => Err(Problems { problems, files }),
        }
    }
}

fn problem(at: &Location, message: String, hint: String) -> Problem {
    Problem { place: at.place.clone(), key: at.key.clone(), message, hint }
}

fn sorted(problems: RefCell<Vec<Problem>>) -> Vec<Problem> {
    let mut problems = problems.into_inner();
    problems.sort_by(|one, other| one.place.rank().cmp(&other.place.rank()));
    problems
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
}
