//! The peers' configurations: templates in the folder `peers`, with `@name@` for what differs from run
//! to run, and `@if name@` before lines that stand in some setups only.

use std::fs;
use std::path::PathBuf;

use super::Result;
use super::process::Folder;

/// What is put into them.
pub struct Values {
    values: Vec<(&'static str, String)>,
    /// The marks of lines that stay, and of those that go.
    stays: Vec<String>,
    goes: Vec<String>,
}

impl Values {
    pub fn new(values: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self { values: values.into_iter().collect(), stays: Vec::new(), goes: Vec::new() }
    }

    /// Decides which lines of a template stand: those with `@if no@`, or those with `@if yes@`.
    pub fn with_choice(mut self, no: &'static str, yes: &'static str, choice: bool) -> Self {
        let (stays, goes) = if choice { (yes, no) } else { (no, yes) };
        self.stays.push(format!("@if {stays}@"));
        self.goes.push(format!("@if {goes}@"));
        self
    }

    pub fn of(&self, name: &str) -> Result<&str> {
        let found = self.values.iter().find(|(of, _)| *of == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| format!("no value {name}").into())
    }
}

/// Writes a template with its values into `folder`.
pub fn render(name: &str, template: &str, values: &Values, folder: &Folder) -> Result<PathBuf> {
    let stays = |line: &&str| !values.goes.iter().any(|mark| line.contains(mark));
    let lines: String = template.split_inclusive('\n').filter(stays).collect();
    let unmarked = values.stays.iter().fold(lines, |text, mark| text.replace(mark, ""));
    let filled =
        values.values.iter().fold(unmarked, |text, (name, value)| text.replace(&format!("@{name}@"), value));
    let place = folder.path().join(name);
    fs::write(&place, filled)?;
    Ok(place)
}
