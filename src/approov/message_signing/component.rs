//! The components that a signature covers, and their values in a request (RFC 9421 §2).

use crate::http::structured::{Bare, Item};

use super::Message;
use super::deviations::{self, Deviation, Deviations};
use super::message::split_port;
use super::query_param;

/// One component that a signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component<'a> {
    Method,
    TargetUri,
    Authority,
    Scheme,
    RequestTarget,
    Path,
    Query,
    /// The query parameter with this percent-encoded name.
    QueryParam(&'a str),
    /// The header field with this name, in lower case.
    Field(&'a str),
}

impl<'a> Component<'a> {
    /// Reads a component identifier. `None` if its name or one of its parameters is not implemented.
    pub fn read(item: &Item<'a>) -> Option<Self> {
        let Bare::Text(name) = item.value else { return None };
        match (name, &item.parameters[..]) {
            ("@query-param", [("name", Bare::Text(name))]) => Some(Component::QueryParam(name)),
            ("@method", []) => Some(Component::Method),
            ("@target-uri", []) => Some(Component::TargetUri),
            ("@authority", []) => Some(Component::Authority),
            ("@scheme", []) => Some(Component::Scheme),
            ("@request-target", []) => Some(Component::RequestTarget),
            ("@path", []) => Some(Component::Path),
            ("@query", []) => Some(Component::Query),
            (name, []) if is_field_name(name) => Some(Component::Field(name)),
            _ => None,
        }
    }

    /// The value in a request, as a client with these deviations computes it. `None` if the request
    /// has no such field or parameter, or more than one of the parameter.
    pub fn value(self, message: &Message<'_>, deviations: Deviations) -> Option<Vec<u8>> {
        let (path, query) = message.path_and_query();
        Some(match self {
            Component::Method => message.method.to_vec(),
            Component::Scheme => message.scheme().into(),
            Component::RequestTarget => message.target.to_vec(),
            Component::Authority => {
                let mut authority = message.normal_authority();
                if deviations.has(Deviation::NoPort) {
                    let host = split_port(&authority).0.len();
                    authority.truncate(host);
                }
                authority
            }
            Component::TargetUri => {
                let mut uri = [message.scheme().as_bytes(), b"://", &message.normal_authority()].concat();
                if !(deviations.has(Deviation::EmptyPath) && path == b"/") {
                    deviations::push_path(&mut uri, path, deviations);
                }
                if let Some(query) = query {
                    uri.push(b'?');
                    deviations::push_query(&mut uri, query, deviations);
                }
                uri
            }
            Component::Path if path.is_empty() => b"/".to_vec(),
            Component::Path if deviations.has(Deviation::DecodedPath) => deviations::percent_decoded(path)?,
            Component::Path => path.to_vec(),
            Component::Query if deviations.has(Deviation::BareQuery) => query.unwrap_or_default().to_vec(),
            Component::Query => [b"?", query.unwrap_or_default()].concat(),
            Component::QueryParam(name) => query_param::value(query.unwrap_or_default(), name)?,
            Component::Field(name) => message.field(name)?,
        })
    }
}

fn is_field_name(name: &str) -> bool {
    let is_part =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_part)
}
