//! The fields `Signature-Input` and `Signature` (RFC 9421 §4).

use crate::http::structured::{self, Bare, DictionaryLimits, Member, MemberValue};

use super::Label;
use super::component::Component;
use crate::approov::Rejection;

/// The longest value of each of the two fields, all lines together, in bytes.
pub(super) const MAX_FIELD: usize = 4096;

const LIMITS: DictionaryLimits = DictionaryLimits { members: 8, items: 32, parameters: 8 };

/// One signature of a request: the covered components, the parameters and the signature itself.
#[derive(Debug)]
pub(super) struct Input<'a> {
    /// The components, each with its identifier as received.
    pub components: Vec<(Component<'a>, &'a str)>,
    /// Components and parameters as received: the value of `@signature-params`.
    pub bytes: &'a str,
    /// The signature itself, in base64.
    pub signature: &'a str,
    /// The time of creation, in seconds since 1970.
    pub created: i64,
    /// The time of expiry, in seconds since 1970.
    pub expires: Option<i64>,
    /// The text between the quotes, as received.
    pub nonce: Option<&'a str>,
}

impl<'a> Input<'a> {
    /// Reads the signature with this label from the two fields.
    ///
    /// # Errors
    /// `missing_message_signature` if neither field has the label. `malformed_message_signature` if only one
    /// field has it, or if anything about this label is malformed, repeated, unknown or contradicts the
    /// label.
    pub fn read(label: Label, input: &'a [u8], signature: &'a [u8]) -> Result<Self, Rejection> {
        let inputs = dictionary(input)?;
        let signatures = dictionary(signature)?;
        let is_in = |list: &[Member<'_>], key: &str| list.iter().any(|member| member.key == key);
        if inputs.len() != signatures.len() || inputs.iter().any(|member| !is_in(&signatures, member.key)) {
            return Err(Rejection::MalformedMessageSignature);
        }
        let own = |list: Vec<Member<'a>>| list.into_iter().find(|member| member.key == label.label());
        let (Some(input), Some(signature)) = (own(inputs), own(signatures)) else {
            return Err(Rejection::MissingMessageSignature);
        };
        Self::of_members(label, input, signature).ok_or(Rejection::MalformedMessageSignature)
    }

    fn of_members(label: Label, input: Member<'a>, signature: Member<'a>) -> Option<Self> {
        let signature = match (signature.value, &signature.parameters[..]) {
            // Older clients write a string in place of a byte sequence.
            (MemberValue::Bare(Bare::Bytes(text) | Bare::Text(text)), []) => text,
            _ => return None,
        };
        let MemberValue::List(items) = &input.value else { return None };
        let mut components = Vec::with_capacity(items.len());
        for item in items {
            let component = Component::read(item)?;
            if components.iter().any(|(other, _)| *other == component) {
                return None;
            }
            components.push((component, item.bytes));
        }
        let (mut created, mut expires, mut nonce) = (None, None, None);
        for (name, value) in &input.parameters {
            match (*name, *value) {
                ("created", Bare::Integer(seconds)) => created = Some(seconds),
                ("expires", Bare::Integer(seconds)) => expires = Some(seconds),
                ("nonce", Bare::Text(text)) => nonce = Some(text),
                ("alg", Bare::Text(algorithm)) if algorithm == label.algorithm() => {}
                ("keyid" | "tag", Bare::Text(_)) => {}
                ("created" | "expires" | "nonce" | "alg" | "keyid" | "tag", _) => return None,
                // RFC 9421 §2.3 lets signers add parameters. They are signed like the others.
                _ => {}
            }
        }
        // Without a time of creation nothing limits the life of the signature.
        let created = created?;
        if expires.is_some_and(|expires| expires < created) {
            return None;
        }
        Some(Self { components, bytes: input.bytes, signature, created, expires, nonce })
    }

    pub fn covers(&self, wanted: Component<'_>) -> bool {
        self.components.iter().any(|(component, _)| *component == wanted)
    }
}

fn dictionary(field: &[u8]) -> Result<Vec<Member<'_>>, Rejection> {
    if field.len() > MAX_FIELD {
        return Err(Rejection::MalformedMessageSignature);
    }
    structured::dictionary(field, &LIMITS)
        .map_err(|structured::MalformedDictionary| Rejection::MalformedMessageSignature)
}
