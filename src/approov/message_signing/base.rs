//! The signature base (RFC 9421 §2.5): the text that is signed.

use super::component::Component;
use super::deviations::Deviations;
use super::input::Input;
use super::{Label, Message};
use crate::approov::Rejection;

const PARAMETERS: &str = "\"@signature-params\": ";

/// The base for one way to compute the components. `None` if a covered field is absent, or if a value
/// could pass for two lines.
pub(super) fn build(message: &Message<'_>, input: &Input<'_>, deviations: Deviations) -> Option<Vec<u8>> {
    let mut base = Vec::with_capacity(1024);
    for (component, identifier) in &input.components {
        let value = component.value(message, deviations)?;
        if value.contains(&b'\n') {
            return None;
        }
        base.extend_from_slice(identifier.as_bytes());
        base.extend_from_slice(b": ");
        base.extend_from_slice(&value);
        base.push(b'\n');
    }
    base.extend_from_slice(PARAMETERS.as_bytes());
    base.extend_from_slice(input.bytes.as_bytes());
    Some(base)
}

/// One line of a signature base, for tools that compare it with a client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseLine {
    /// The component identifier as received, quotes included.
    pub component: String,
    /// The value in this request. `None` if the request has none.
    pub value: Option<Vec<u8>>,
    /// Whether the value is that of a secret field.
    pub is_token: bool,
}

/// The lines of the base that `label` signs in `message`, as the RFC says.
///
/// # Errors
/// The reason why the signature fields cannot be read.
pub fn signature_base(
    message: &Message<'_>,
    label: Label,
    token_header: &str,
) -> Result<Vec<BaseLine>, Rejection> {
    let (Some(input), Some(signature)) = (message.field("signature-input"), message.field("signature"))
    else {
        return Err(Rejection::MissingMessageSignature);
    };
    let input = Input::read(label, &input, &signature)?;
    let line = |(component, identifier): &(Component<'_>, &str)| BaseLine {
        component: (*identifier).to_owned(),
        value: component.value(message, Deviations::NONE),
        is_token: *component == Component::Field(token_header),
    };
    let parameters = BaseLine {
        component: "\"@signature-params\"".into(),
        value: Some(input.bytes.into()),
        is_token: false,
    };
    Ok(input.components.iter().map(line).chain([parameters]).collect())
}
