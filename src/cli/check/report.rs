//! `check --format json`: problems and warnings for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::CommandFailure;
use crate::config::{Place, Problem, Problems, Settings};

/// Prints one object, and fails if there is a problem, or with `strict` a warning.
pub fn run(loaded: &Result<Settings, Problems>, strict: bool) -> Result<(), CommandFailure> {
    let (problems, warnings, hints) = match loaded {
        Ok(settings) => (&[][..], &settings.warnings[..], settings.hints()),
        Err(problems) => (problems.as_slice(), &[][..], Vec::new()),
    };
    let report = json!({
        "problems": problems.iter().map(entry).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(entry).collect::<Vec<_>>(),
        "hints": hints,
    });
    io::stdout()
        .write_all(format!("{report:#}\n").as_bytes())
        .map_err(|error| CommandFailure::Running(format!("standard output cannot be written: {error}")))?;
    match (problems.len(), warnings.len()) {
        (0, 0) => Ok(()),
        (0, _) if !strict => Ok(()),
        (0, count) => Err(CommandFailure::Configuration(format!("warnings: {count}"))),
        (count, _) => Err(CommandFailure::Configuration(format!("problems: {count}"))),
    }
}

fn entry(problem: &Problem) -> Value {
    let (file, line, variable) = match &problem.place {
        Place::File(path, line) => (Some(path.display().to_string()), *line, None),
        Place::Variable(name) => (None, None, Some(*name)),
        Place::Nowhere => (None, None, None),
    };
    json!({
        "file": file,
        "line": line,
        "variable": variable,
        "key": problem.key,
        "message": problem.message,
        "hint": problem.hint,
    })
}
