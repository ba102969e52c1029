//! Numbers of bytes with a binary unit: `512`, `16KiB`, `10MiB`, `1GiB`.

use std::ops::RangeInclusive;

use crate::config::document::{Fault, Kind, Reported, Shape, Value, leading_zero, quoted};

pub const KIB: u64 = 1024;
pub const MIB: u64 = KIB * KIB;

const UNITS: [(&str, u64); 4] = [("GiB", KIB * MIB), ("MiB", MIB), ("KiB", KIB), ("", 1)];

/// The kind of a number of bytes in a range.
pub struct Size(RangeInclusive<u64>);

pub fn size(range: RangeInclusive<u64>) -> Size {
    Size(range)
}

impl Kind for Size {
    type Value = u64;

    fn read(&self, value: &Value<'_>) -> Result<u64, Reported> {
        value.parse(|text| parse(text, self.0.clone()))
    }

    fn shape(&self) -> Shape {
        let (least, most) = (show_size(*self.0.start()), show_size(*self.0.end()));
        let what = format!("size from {least} to {most}");
        Shape::Text { what, pattern: Some("^[0-9]+(KiB|MiB|GiB)?$") }
    }

    fn show(&self, value: &u64) -> Option<String> {
        Some(show_size(*value))
    }
}

/// A number of bytes: `512`, `16KiB`, `10MiB`, `1GiB`.
fn parse(text: &str, range: RangeInclusive<u64>) -> Result<u64, Fault> {
    if let Some(fault) = leading_zero(text) {
        return Err(fault);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).filter(|_| digits > 0);
    let Some((_, factor)) = unit else {
        let hint = "write a whole number of bytes, or one with KiB, MiB or GiB: 512, 16KiB, 10MiB";
        return Err(Fault::new(format!("{} is not a size", quoted(text)), hint));
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)) {
        Some(found) if range.contains(&found) => Ok(found),
        _ => {
            let (least, most) = (show_size(*range.start()), show_size(*range.end()));
            let message = format!("{} is out of range", quoted(text));
            Err(Fault::new(message, format!("write one from {least} to {most}")))
        }
    }
}

/// A number of bytes as the configuration writes it.
pub fn show_size(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    let (name, factor) = unit.unwrap_or(&("", 1));
    format!("{}{name}", bytes / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_print_as_written() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("16KiB", 16_384), ("10MiB", 10_485_760), ("1GiB", 1_073_741_824)]
        {
            assert_eq!(parse(text, 0..=u64::MAX), Ok(bytes));
            assert_eq!(show_size(bytes), text);
        }
        assert_eq!(show_size(1025), "1025");
        for (text, part) in [
            ("", "is not a size"),
            ("KiB", "is not a size"),
            ("1k", "is not a size"),
            ("1KB", "is not a size"),
            ("1.5MiB", "is not a size"),
            ("-1", "is not a size"),
            ("1 KiB", "is not a size"),
            ("2MiB", "is out of range"),
            ("99999999999999999999GiB", "is out of range"),
            ("18446744073709551615GiB", "is out of range"),
        ] {
            let fault = parse(text, 0..=KIB * KIB).expect_err(text);
            assert!(fault.message.contains(part), "{text}: {fault:?}");
        }
    }
}
