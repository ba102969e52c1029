//! Numbers with a unit: sizes and rates.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits::Rate;

use super::error::{Fault, quoted};

const KIB: u64 = 1024;
const UNITS: [(&str, u64); 4] = [("GiB", KIB * KIB * KIB), ("MiB", KIB * KIB), ("KiB", KIB), ("", 1)];
const PERIODS: [(&str, u64); 3] = [("h", 3600), ("m", 60), ("s", 1)];

/// A number of bytes: `512`, `16KiB`, `10MiB`, `1GiB`.
pub(super) fn size(text: &str, range: RangeInclusive<u64>) -> Result<u64, Fault> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).filter(|_| digits > 0);
    let Some((_, factor)) = unit else {
        let mend = "write a whole number of bytes, or one with KiB, MiB or GiB: 512, 16KiB, 10MiB";
        return Err(Fault::new(format!("{} is not a size", quoted(text)), mend));
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

/// The fastest rate, in its period.
const MAX_REQUESTS: u32 = 1_000_000;

/// So many requests in a time: `50/s`, `10/m`, `1000/h`.
pub(super) fn rate(text: &str) -> Result<Rate, Fault> {
    let found = text.split_once('/').and_then(|(number, period)| {
        let (_, seconds) = PERIODS.iter().find(|(name, _)| *name == period)?;
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let requests: u32 = number.parse().ok().filter(|_| is_number)?;
        Some((requests, Duration::from_secs(*seconds)))
    });
    let Some((requests, per)) = found else {
        let message = format!("{} is not a rate", quoted(text));
        return Err(Fault::new(message, "write a whole number, a slash and s, m or h: 50/s, 10/m or 1000/h"));
    };
    match NonZeroU32::new(requests).filter(|requests| requests.get() <= MAX_REQUESTS) {
        Some(requests) => Ok(Rate { requests, per }),
        None => {
            let message = format!("{} is out of range", quoted(text));
            Err(Fault::new(message, format!("write 1 to {MAX_REQUESTS} requests")))
        }
    }
}

/// A rate as the configuration writes it.
pub fn show_rate(rate: Rate) -> String {
    let period = PERIODS.iter().find(|(_, seconds)| rate.per == Duration::from_secs(*seconds));
    format!("{}/{}", rate.requests, period.map_or("?", |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_print_as_written() {
        let mut cases = 0;
        for (text, bytes) in
            [("0", 0), ("512", 512), ("16KiB", 16_384), ("10MiB", 10_485_760), ("1GiB", 1_073_741_824)]
        {
            assert_eq!(size(text, 0..=u64::MAX), Ok(bytes));
            assert_eq!(show_size(bytes), text);
            cases += 1;
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
            let fault = size(text, 0..=KIB * KIB).expect_err(text);
            assert!(fault.message.contains(part), "{text}: {fault:?}");
            cases += 1;
        }
        assert_eq!(cases, 15);
    }

    #[test]
    fn rates_have_a_period_and_print_as_written() {
        let mut cases = 0;
        for (text, requests, seconds) in [("50/s", 50, 1), ("10/m", 10, 60), ("1000000/h", 1_000_000, 3600)] {
            let found = rate(text).expect(text);
            assert_eq!((found.requests.get(), found.per.as_secs()), (requests, seconds));
            assert_eq!(show_rate(found), text);
            cases += 1;
        }
        for (text, part) in [
            ("50", "is not a rate"),
            ("/s", "is not a rate"),
            ("50/", "is not a rate"),
            ("50/d", "is not a rate"),
            ("50/ s", "is not a rate"),
            ("+5/s", "is not a rate"),
            ("0.5/s", "is not a rate"),
            ("5/10s", "is not a rate"),
            ("0/s", "is out of range"),
            ("1000001/s", "is out of range"),
        ] {
            let fault = rate(text).expect_err(text);
            assert!(fault.message.contains(part), "{text}: {fault:?}");
            cases += 1;
        }
        assert_eq!(cases, 13);
    }
}
