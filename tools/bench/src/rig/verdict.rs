//! What a command expects, and whether it holds.

use super::Result;

/// The number of expectations that did not hold.
#[derive(Debug, Default)]
pub struct Verdict(usize);

impl Verdict {
    /// Prints whether an expectation holds.
    pub fn expect(&mut self, holds: bool, what: impl AsRef<str>) {
        println!("{} {}", if holds { "ok    " } else { "FAILED" }, what.as_ref());
        self.0 += usize::from(!holds);
    }

    /// # Errors
    /// An expectation did not hold.
    pub fn judge(self) -> Result<()> {
        if self.0 > 0 {
            return Err(format!("\nFAILED: {} expectations do not hold", self.0).into());
        }
        println!("\nPASSED: every expectation holds");
        Ok(())
    }
}
