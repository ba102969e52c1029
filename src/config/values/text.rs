//! Plain text, without control characters.

use crate::config::document::{Fault, quoted};

/// Text to be printed in one line: not empty, not long, without control characters.
pub fn printable(text: &str) -> Result<String, Fault> {
    let is_plain = !text.is_empty() && text.len() <= 128 && !text.contains(char::is_control);
    if is_plain && text.trim() == text {
        Ok(text.to_owned())
    } else {
        let message =
            format!("{} is empty, too long, or has control characters or blanks around it", quoted(text));
        Err(Fault::new(message, "write 1 to 128 printable characters"))
    }
}
