//! The claims of an accepted token, for what a route asks beyond acceptance.

use super::Rejection;
use super::json::{self, Scalar};
use super::message_signing::Label;

/// The payload of an accepted token: a JSON object whose signature is good.
#[derive(Debug, PartialEq, Eq)]
pub struct Payload(String);

/// A condition on one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimCondition {
    /// The name of the claim.
    pub claim: Box<str>,
    /// What must hold for the claim.
    pub demand: Demand,
}

/// What a route demands of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The token has the claim, and not as null.
    Present,
    /// The token does not have the claim, not even as null.
    Absent,
    /// The claim is one of these texts.
    OneOf(Vec<Box<str>>),
}

impl Demand {
    fn holds_for(&self, claim: Option<&Scalar<'_>>) -> bool {
        match (self, claim) {
            (Demand::Present, claim) => claim.is_some_and(|claim| *claim != Scalar::Null),
            (Demand::Absent, claim) => claim.is_none(),
            (Demand::OneOf(allowed), Some(Scalar::Text(text))) => allowed.iter().any(|one| **one == **text),
            (Demand::OneOf(_), _) => false,
        }
    }
}

/// The claims that determine which key must have signed a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigningClaims {
    install_key: Option<Option<Box<str>>>,
    account_key_id: Option<Option<Box<str>>>,
    device: Option<Box<str>>,
}

impl SigningClaims {
    /// The label of the signature that must be verified. `None` if the token names no key.
    pub(super) fn label(&self) -> Option<Label> {
        match (&self.install_key, &self.account_key_id) {
            (Some(_), _) => Some(Label::Install),
            (None, Some(_)) => Some(Label::Account),
            (None, None) => None,
        }
    }

    /// The claim `ipk`, if it is text.
    pub(super) fn install_key(&self) -> Option<&str> {
        self.install_key.as_ref()?.as_deref()
    }

    /// The claim `mskid`, if it is text.
    pub(super) fn account_key_id(&self) -> Option<&str> {
        self.account_key_id.as_ref()?.as_deref()
    }

    /// The claim `did`, if it is text.
    pub(super) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }
}

impl Payload {
    pub(super) fn new(json: String) -> Self {
        Self(json)
    }

    /// Checks the conditions of a route.
    ///
    /// # Errors
    /// [`Rejection::ClaimNotAllowed`] if a condition does not hold.
    pub fn check(&self, conditions: &[ClaimCondition]) -> Result<(), Rejection> {
        let mut held = vec![None; conditions.len()];
        self.each(|name, value| {
            for (condition, held) in conditions.iter().zip(&mut held) {
                if *condition.claim == *name {
                    *held = Some(condition.demand.holds_for(Some(&value)));
                }
            }
        });
        let all = conditions
            .iter()
            .zip(held)
            .all(|(condition, held)| held.unwrap_or_else(|| condition.demand.holds_for(None)));
        if all { Ok(()) } else { Err(Rejection::ClaimNotAllowed) }
    }

    /// The claims about message signatures.
    pub fn signing(&self) -> SigningClaims {
        let mut claims = SigningClaims::default();
        self.each(|name, value| {
            let text = match value {
                Scalar::Text(text) => Some((&*text).into()),
                _ => None,
            };
            match name {
                "ipk" => claims.install_key = Some(text),
                "mskid" => claims.account_key_id = Some(text),
                "did" => claims.device = text,
                _ => {}
            }
        });
        claims
    }

    /// The value of a claim, if it is text.
    pub fn text(&self, claim: &str) -> Option<String> {
        let mut found = None;
        self.each(|name, value| {
            if let (true, Scalar::Text(text)) = (name == claim, value) {
                found = Some(text.into_owned());
            }
        });
        found
    }

    fn each(&self, mut each: impl FnMut(&str, Scalar<'_>)) {
        let read = json::members(&self.0, |name, value| {
            each(name, value);
            Ok(())
        });
        debug_assert_eq!(read, Ok(()), "the payload was read before");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(claim: &str, demand: Demand) -> ClaimCondition {
        ClaimCondition { claim: claim.into(), demand }
    }

    #[test]
    fn conditions_hold_for_present_absent_and_listed_claims() {
        let payload = Payload::new(r#"{"did":"d","embed":{"hcap:x":1},"anno":null,"exp":1}"#.into());
        for (claim, demand, holds) in [
            ("did", Demand::Present, true),
            ("did", Demand::Absent, false),
            ("embed", Demand::Present, true),
            ("embed", Demand::Absent, false),
            ("anno", Demand::Present, false),
            ("anno", Demand::Absent, false),
            ("x", Demand::Present, false),
            ("x", Demand::Absent, true),
            ("did", Demand::OneOf(vec!["c".into(), "d".into()]), true),
            ("did", Demand::OneOf(vec!["c".into()]), false),
            ("exp", Demand::OneOf(vec!["1".into()]), false),
            ("x", Demand::OneOf(vec!["".into()]), false),
        ] {
            let found = payload.check(&[condition(claim, demand.clone())]);
            assert_eq!(found.is_ok(), holds, "{claim} {demand:?}");
        }
        let both = [condition("did", Demand::Present), condition("embed", Demand::Absent)];
        assert_eq!(payload.check(&both), Err(Rejection::ClaimNotAllowed));
        assert_eq!(payload.check(&[]), Ok(()));
    }

    #[test]
    fn the_installation_key_comes_before_the_account_key() {
        for (json, label) in [
            (r#"{"ipk":"a","mskid":"b"}"#, Some(Label::Install)),
            (r#"{"ipk":1,"mskid":"b"}"#, Some(Label::Install)),
            (r#"{"mskid":"b"}"#, Some(Label::Account)),
            (r#"{"did":"b"}"#, None),
        ] {
            assert_eq!(Payload::new(json.into()).signing().label(), label, "{json}");
        }
    }
}
