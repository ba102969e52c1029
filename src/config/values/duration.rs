//! Durations with a unit: `500ms`, `30s`, `2m`, `1h`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::document::{Fault, Kind, Reported, Shape, Value, leading_zero, quoted};

pub const MILLISECOND: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(60 * 60);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The kind of a duration in a range.
pub struct DurationKind(RangeInclusive<Duration>);

pub fn duration(range: RangeInclusive<Duration>) -> DurationKind {
    DurationKind(range)
}

impl Kind for DurationKind {
    type Value = Duration;

    fn read(&self, value: &Value<'_>) -> Result<Duration, Reported> {
        value.parse(|text| parse(text, self.0.clone()))
    }

    fn shape(&self) -> Shape {
        let (least, most) = (show_duration(*self.0.start()), show_duration(*self.0.end()));
        let what = format!("duration from {least} to {most}");
        Shape::Text { what, pattern: Some("^[0-9]+(ms|s|m|h)$") }
    }

    fn show(&self, value: &Duration) -> Option<String> {
        Some(show_duration(*value))
    }
}

/// A duration with its unit: `500ms`, `30s`, `2m`, `1h`.
fn parse(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
    if let Some(fault) = leading_zero(text) {
        return Err(fault);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "" if digits > 0 => {
            return Err(Fault::new(format!("{} has no unit", quoted(text)), format!("write {text}s")));
        }
        _ => None,
    };
    let milliseconds = milliseconds.filter(|_| digits > 0).ok_or_else(|| {
        let message = format!("{} is not a duration", quoted(text));
        Fault::new(message, "write a whole number and a unit: 500ms, 30s, 2m or 1h")
    })?;
    let found = number.parse::<u64>().ok().and_then(|number| number.checked_mul(milliseconds));
    match found.map(Duration::from_millis) {
        Some(found) if range.contains(&found) => Ok(found),
        _ => {
            let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
            Err(Fault::new(
                format!("{} is out of range", quoted(text)),
                format!("write one from {least} to {most}"),
            ))
        }
    }
}

/// A duration as the configuration writes it.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match [("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
        .into_iter()
        .find(|(_, unit)| milliseconds > 0 && milliseconds.is_multiple_of(*unit))
    {
        Some((name, unit)) => format!("{}{name}", milliseconds / unit),
        None if milliseconds == 0 => "0s".to_owned(),
        None => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_duration(text: &str) -> Result<Duration, Fault> {
        parse(text, Duration::ZERO..=DAY)
    }

    #[test]
    fn durations_have_a_unit_and_print_as_written() {
        for (text, milliseconds) in
            [("500ms", 500), ("0s", 0), ("30s", 30_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            let found = any_duration(text).expect(text);
            assert_eq!(found, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(show_duration(found), text);
        }
        for (text, hint) in [
            ("30", "write 30s"),
            ("1.5s", "whole number"),
            ("s", "whole number"),
            ("", "whole number"),
            ("-1s", "whole number"),
            ("30 s", "whole number"),
            ("30S", "whole number"),
            ("1d", "whole number"),
            ("25h", "from 0s to 24h"),
            ("99999999999999999999h", "from 0s to 24h"),
            ("9999999999999999999h", "from 0s to 24h"),
        ] {
            let fault = any_duration(text).expect_err(text);
            assert!(fault.hint.contains(hint), "{text}: {fault:?}");
        }
    }
}
