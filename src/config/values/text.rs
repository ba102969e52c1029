//! Plain text, without control characters.

use crate::config::document::{Fault, is_name, quoted};

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

/// A short name: 1 to 32 letters, digits, `-`, `_` or `.`. It can be written in a `RateLimit` field
/// (RFC 9651 §3.3.3) and in a name of the store. `what` is the thing that is named,
/// such as `fleet`.
pub fn short_name(text: &str, what: &str) -> Result<Box<str>, Fault> {
    if is_name(text) {
        Ok(text.into())
    } else {
        let message = format!("{} is not a name for a {what}", quoted(text));
        Err(Fault::new(message, "write 1 to 32 letters, digits, -, _ or ."))
    }
}
