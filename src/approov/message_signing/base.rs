//! The signature base (RFC 9421 §2.5): the text that is signed.

use super::component::Component;
use super::deviations::{self, Deviations};
use super::input::Input;
use super::{Label, Message};
use crate::approov::Rejection;
use crate::http::structured::{Bare, Item};

const PARAMETERS: &str = "\"@signature-params\"";

/// The base for one way to compute the components. `None` if a covered field is absent, or if a value
/// could pass for two lines.
pub(super) fn build(message: &Message<'_>, input: &Input<'_>, deviations: Deviations) -> Option<Vec<u8>> {
    let mut base = Vec::with_capacity(1024);
    for (component, identifier) in &input.components {
        push_line(&mut base, identifier, &component.value(message, deviations)?)?;
    }
    push_parameters(&mut base, input.bytes);
    Some(base)
}

fn push_line(base: &mut Vec<u8>, identifier: &str, value: &[u8]) -> Option<()> {
    if value.contains(&b'\n') {
        return None;
    }
    base.extend_from_slice(identifier.as_bytes());
    base.extend_from_slice(b": ");
    base.extend_from_slice(value);
    base.push(b'\n');
    Some(())
}

fn push_parameters(base: &mut Vec<u8>, bytes: &str) {
    base.extend_from_slice(PARAMETERS.as_bytes());
    base.extend_from_slice(b": ");
    base.extend_from_slice(bytes.as_bytes());
}

/// The member of `Signature-Input` and the base for a request that is to be signed. `components` are
/// names without parameters, `parameters` begin with `;`. `None` if the request has no such component.
pub fn base_to_sign(
    message: &Message<'_>,
    components: &[&str],
    parameters: &str,
) -> Option<(String, Vec<u8>)> {
    let mut base = Vec::with_capacity(1024);
    let mut identifiers = Vec::with_capacity(components.len());
    for name in components {
        let identifier = format!("\"{name}\"");
        let item = Item { value: Bare::Text(name), parameters: Vec::new(), bytes: &identifier };
        let value = Component::read(&item)?.value(message, Deviations::NONE)?;
        push_line(&mut base, &identifier, &value)?;
        identifiers.push(identifier);
    }
    let input = format!("({}){parameters}", identifiers.join(" "));
    push_parameters(&mut base, &input);
    Some((input, base))
}

/// A signature base, for tools that compare it with a client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownBase {
    /// The lines as the RFC defines them, with the line of the parameters.
    pub lines: Vec<BaseLine>,
    /// The texts over which the signature is tried: the one of the RFC, then those of clients that deviate
    /// from it. Empty if a covered field is absent.
    pub texts: Vec<Vec<u8>>,
}

/// One line of a signature base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseLine {
    /// The component identifier as received, with its quotes.
    pub component: String,
    /// The value in this request. `None` if the request has none.
    pub value: Option<Vec<u8>>,
}

/// The base for the signature with this label.
///
/// # Errors
/// Why the signature fields cannot be read.
pub fn shown_base(message: &Message<'_>, label: Label) -> Result<ShownBase, Rejection> {
    let (Some(input), Some(signature)) = (message.field("signature-input"), message.field("signature"))
    else {
        return Err(Rejection::MissingMessageSignature);
    };
    let input = Input::read(label, &input, &signature)?;
    let line = |(component, identifier): &(Component<'_>, &str)| BaseLine {
        component: (*identifier).to_owned(),
        value: component.value(message, Deviations::NONE),
    };
    let parameters = BaseLine { component: PARAMETERS.into(), value: Some(input.bytes.into()) };
    let ways = deviations::to_try(message, &input.components);
    Ok(ShownBase {
        lines: input.components.iter().map(line).chain([parameters]).collect(),
        texts: ways.map_while(|way| build(message, &input, way)).collect(),
    })
}
