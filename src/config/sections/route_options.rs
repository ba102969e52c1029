//! What a route asks beyond policy and strategy: conditions on claims, and the share that is enforced.

use crate::approov::{ClaimCondition, Demand};
use crate::config::document::{Fault, Kind, Reported, Shape, Value, quoted};
use crate::config::values::printable;
use crate::policy::Share;

/// The kind of `require_claims`: names of claims, each with a demand.
pub struct RequiredClaims;

impl Kind for RequiredClaims {
    type Value = Vec<ClaimCondition>;

    fn read(&self, value: &Value<'_>) -> Result<Self::Value, Reported> {
        let condition = |(claim, value): (&str, Value<'_>)| {
            let claim = printable(claim)
                .map_err(|_| value.problem("this is not the name of a claim", "write one such as did"))?;
            Ok(ClaimCondition { claim: claim.into(), demand: demand(&value)? })
        };
        // Every entry first, so that every problem is reported.
        let conditions: Vec<_> = value.entries()?.into_iter().map(condition).collect();
        let conditions = conditions.into_iter().collect::<Result<Vec<_>, _>>()?;
        if conditions.is_empty() {
            return Err(
                value.problem("there is no condition", "write one such as did: present, or remove the key")
            );
        }
        Ok(conditions)
    }

    fn shape(&self) -> Shape {
        let texts = Shape::List { of: Box::new(Shape::text("text")), may_be_empty: false };
        Shape::Named(Box::new(Shape::Either(vec![Shape::text("`present`, `absent` or a text"), texts])))
    }
}

fn demand(value: &Value<'_>) -> Result<Demand, Reported> {
    if !value.is_list() {
        return Ok(match value.text()? {
            "present" => Demand::Present,
            "absent" => Demand::Absent,
            text => Demand::OneOf(vec![text.into()]),
        });
    }
    let allowed: Vec<_> = value.list()?.iter().map(|entry| entry.text().map(Into::into)).collect();
    let allowed = allowed.into_iter().collect::<Result<Vec<Box<str>>, _>>()?;
    if allowed.is_empty() {
        return Err(value.problem("the list is empty", "write the texts that are allowed"));
    }
    Ok(Demand::OneOf(allowed))
}

/// A percentage with at most two decimals: `5%`, `0.5%`.
pub fn share(text: &str) -> Result<Share, Fault> {
    let fault = || {
        Fault::new(
            format!("{} is not a percentage", quoted(text)),
            "write one from 0% to 100%, such as 5% or 0.5%",
        )
    };
    let number = text.strip_suffix('%').ok_or_else(fault)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_plain = |digits: &str, most: usize| {
        (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_plain(whole, 3) || !is_plain(decimals, 2) {
        return Err(fault());
    }
    let hundredths = format!("{whole}{decimals:0<2}").parse().map_err(|_| fault())?;
    Share::from_hundredths(hundredths).ok_or_else(fault)
}

/// A share as the configuration writes it.
pub fn show_share(share: &Share) -> String {
    let (whole, rest) = (share.hundredths() / 100, share.hundredths() % 100);
    match rest {
        0 => format!("{whole}%"),
        rest if rest % 10 == 0 => format!("{whole}.{}%", rest / 10),
        rest => format!("{whole}.{rest:02}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages_and_print_as_written() {
        for (text, hundredths) in
            [("0%", 0), ("5%", 500), ("0.5%", 50), ("0.05%", 5), ("12.34%", 1234), ("100%", 10_000)]
        {
            let found = share(text).expect(text);
            assert_eq!(found.hundredths(), hundredths, "{text}");
            assert_eq!(show_share(&found), text);
        }
        for text in ["", "5", "%", "101%", "100.01%", "-1%", "5 %", "1.234%", ".5%", "5.%", "0x5%", "9999%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
