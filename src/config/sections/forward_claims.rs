//! `forward_claims`: fields that tell the origin claims of verified tokens.

use http::HeaderName;

use crate::config::document::{Kind, Located, Report, Reported, Shape, Value, quoted};
use crate::config::values::{header_name, printable};

/// The kind of `forward_claims`: header names, each with the name of a claim.
pub struct ForwardClaims;

/// A field, and the claim that is its value.
pub type ForwardedClaim = Located<(HeaderName, Box<str>)>;

impl Kind for ForwardClaims {
    type Value = Vec<ForwardedClaim>;

    fn read(&self, value: &Value<'_>) -> Result<Self::Value, Reported> {
        let field = |(name, value): (&str, Value<'_>)| {
            let name = header_name(name).map_err(|fault| value.problem(fault.message, fault.hint))?;
            let claim = value.parse(printable)?;
            Ok(value.located((name, claim.into())))
        };
        // Every entry first, so that every problem is reported.
        let fields: Vec<_> = value.entries()?.into_iter().map(field).collect();
        fields.into_iter().collect()
    }

    fn shape(&self) -> Shape {
        Shape::Named(Box::new(Shape::text("name of a claim")))
    }
}

/// Reports a field that has another meaning already. `taken` are the headers that have one.
pub fn check(fields: &[ForwardedClaim], taken: &[HeaderName], report: &Report) {
    for Located { value: (name, _), at } in fields {
        if taken.contains(name) {
            let message = format!("{} has another meaning already", quoted(name.as_str()));
            report.problem(at, message, "choose another name");
        }
    }
}
