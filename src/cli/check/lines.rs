//! The text that `check` prints.

use std::fmt::Write as _;

/// Lines of text that are printed at once.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    pub fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string never fails.
        let _ = writeln!(self.0, "{line}");
    }

    pub fn into_text(self) -> String {
        self.0
    }
}
