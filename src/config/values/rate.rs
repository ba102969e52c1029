//! Rates: `50/s`, `10/m`, `1000/h`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::document::{Fault, Kind, Reported, Shape, Value, digits, leading_zero, quoted};
use crate::limits::Rate;

const PERIODS: [(&str, u64); 3] = [("h", 3600), ("m", 60), ("s", 1)];

/// The kind of a rate.
pub struct RateKind;

pub fn rate() -> RateKind {
    RateKind
}

impl Kind for RateKind {
    type Value = Rate;

    fn read(&self, value: &Value<'_>) -> Result<Rate, Reported> {
        value.parse(parse)
    }

    fn shape(&self) -> Shape {
        let what = "rate, a number of requests in a second, minute or hour: `50/s`, `10/m`, `1000/h`";
        Shape::Text { what: what.to_owned(), pattern: Some("^[0-9]+/(s|m|h)$") }
    }

    fn show(&self, value: &Rate) -> Option<String> {
        Some(show_rate(*value))
    }
}

/// The fastest rate, in its period.
const MAX_REQUESTS: u32 = 1_000_000;

/// A number of requests in a second, minute or hour: `50/s`, `10/m`, `1000/h`.
fn parse(text: &str) -> Result<Rate, Fault> {
    if let Some(fault) = leading_zero(text) {
        return Err(fault);
    }
    let found = text.split_once('/').and_then(|(number, period)| {
        let (_, seconds) = PERIODS.iter().find(|(name, _)| *name == period)?;
        Some((digits::<u32>(number)?, Duration::from_secs(*seconds)))
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
    fn rates_have_a_period_and_print_as_written() {
        for (text, requests, seconds) in [("50/s", 50, 1), ("10/m", 10, 60), ("1000000/h", 1_000_000, 3600)] {
            let found = parse(text).expect(text);
            assert_eq!((found.requests.get(), found.per.as_secs()), (requests, seconds));
            assert_eq!(show_rate(found), text);
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
            let fault = parse(text).expect_err(text);
            assert!(fault.message.contains(part), "{text}: {fault:?}");
        }
    }
}
