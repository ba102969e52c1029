//! How commands print times, and text that is not their own.

use std::fmt::Write as _;

use crate::telemetry::is_deceptive;

/// A moment in Unix seconds as UTC, and how far it is from `now`.
pub(super) fn moment(seconds: f64, now: f64) -> String {
    // The cast saturates, and a number that has no date is an error.
    let Ok(date) = jiff::Timestamp::from_second(seconds.floor() as i64) else {
        return "a time that has no date".into();
    };
    let distance = span((seconds - now).abs() as u64);
    if seconds > now { format!("{date}, in {distance}") } else { format!("{date}, {distance} ago") }
}

/// A time in its two largest units: `2h 5m`.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        (_, _, _) => format!("{days}d {}h", hours % 24),
    }
}

/// Escapes characters that could move the cursor, change colours or reorder the text, in the form of
/// JSON. JSON itself escapes only the control characters of ASCII.
pub(super) fn printable(text: &str) -> String {
    let mut printed = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_deceptive(c) {
            printed.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(printed, "\\u{unit:04x}");
            }
        }
    }
    printed
}
