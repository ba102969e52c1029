//! Configurations of peers: templates in the folder `peers`, with `@name@` for values of a run. A line
//! after `@if name@` is used in some setups only.

use std::path::PathBuf;

use crate::rig::Result;
use crate::rig::folder::Folder;

/// The values of one setup.
pub struct Values {
    values: Vec<(&'static str, String)>,
    /// The names of lines that are used, and of those that are not.
    used: Vec<&'static str>,
    unused: Vec<&'static str>,
}

impl Values {
    pub fn new(values: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self { values: values.into_iter().collect(), used: Vec::new(), unused: Vec::new() }
    }

    /// Uses the lines named `yes` if `choice` holds, else those named `no`.
    pub fn with_choice(mut self, no: &'static str, yes: &'static str, choice: bool) -> Self {
        let (used, unused) = if choice { (yes, no) } else { (no, yes) };
        self.used.push(used);
        self.unused.push(unused);
        self
    }

    pub fn of(&self, name: &str) -> Result<&str> {
        let found = self.values.iter().find(|(of, _)| *of == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| format!("no value {name}").into())
    }

    /// Writes a template with these values into `folder`.
    pub fn render(&self, name: &str, template: &str, folder: &Folder) -> Result<PathBuf> {
        let is_used = |line: &&str| !self.unused.iter().any(|name| line.contains(&format!("@if {name}@")));
        let lines: String = template.split_inclusive('\n').filter(is_used).collect();
        let unmarked = self.used.iter().fold(lines, |text, name| text.replace(&format!("@if {name}@"), ""));
        let filled = self
            .values
            .iter()
            .fold(unmarked, |text, (name, value)| text.replace(&format!("@{name}@"), value));
        folder.write(name, filled)
    }
}
