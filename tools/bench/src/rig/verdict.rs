//! What a command expects, and whether it holds.

use super::Result;

#[derive(Debug, Default)]
pub struct Verdict {
    failures: Vec<String>,
}

impl Verdict {
    /// Prints whether an expectation holds.
    pub fn expect(&mut self, holds: bool, what: impl Into<String>) {
        let what = what.into();
        println!("{} {what}", if holds { "ok    " } else { "FAILED" });
        if !holds {
            self.failures.push(what);
        }
    }

    /// # Errors
    /// All expectations that did not hold.
    pub fn judge(self) -> Result<()> {
        if self.failures.is_empty() {
            println!("\nPASSED: every expectation holds");
            return Ok(());
        }
        println!("\nFAILED: {} expectations do not hold", self.failures.len());
        Err(self.failures.join("; ").into())
    }
}
