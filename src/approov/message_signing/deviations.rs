//! The cases in which shipped clients compute a component differently from RFC 9421.
//!
//! The list is closed. A request is verified in the way of the RFC first, and then in the way of each
//! family of clients, if that differs: at most [`MAX_VERIFICATIONS`] times in all.

use super::component::Component;
use super::{Message, message::split_port};
use crate::http::hex_pair;

/// The most verifications of one signature.
pub(super) const MAX_VERIFICATIONS: usize = 4;

/// One way to compute a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Deviation {
    /// `@target-uri` leaves out the path `/`.
    EmptyPath = 1,
    /// `@target-uri` percent-encodes characters that `java.net.URI` does not take.
    JavaUri = 2,
    /// `@authority` leaves out any port.
    NoPort = 4,
    /// `@query` leaves out the `?`.
    BareQuery = 8,
    /// `@path` is percent-decoded.
    DecodedPath = 16,
}

/// A set of deviations that one family of clients has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deviations(u8);

impl Deviations {
    /// No deviation: the way of the RFC.
    pub const NONE: Self = Self(0);

    const fn of(deviations: &[Deviation]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < deviations.len() {
            set |= deviations[index] as u8;
            index += 1;
        }
        Self(set)
    }

    pub fn has(self, deviation: Deviation) -> bool {
        self.0 & deviation as u8 != 0
    }
}

/// The families of clients, in the order in which they are tried.
const CLIENTS: [Deviations; 5] = [
    // OkHttp up to 3.5.6.
    Deviations::of(&[Deviation::JavaUri, Deviation::NoPort, Deviation::BareQuery]),
    // URLSession.
    Deviations::of(&[Deviation::EmptyPath, Deviation::NoPort, Deviation::BareQuery, Deviation::DecodedPath]),
    // Flutter.
    Deviations::of(&[Deviation::EmptyPath, Deviation::BareQuery]),
    // React Native before 3.5.11, on iOS and on Android.
    Deviations::of(&[Deviation::EmptyPath, Deviation::NoPort, Deviation::DecodedPath]),
    Deviations::of(&[Deviation::EmptyPath, Deviation::NoPort]),
];

/// The ways in which this request may have been signed. Each leads to another signature base.
pub(super) fn to_try(
    message: &Message<'_>,
    components: &[(Component<'_>, &str)],
) -> impl Iterator<Item = Deviations> {
    let effective = effective(message, components);
    let mut ways = [None; 1 + CLIENTS.len()];
    ways[0] = Some(Deviations::NONE);
    for (index, client) in CLIENTS.iter().enumerate() {
        let way = Some(Deviations(client.0 & effective.0));
        if !ways.contains(&way) {
            ways[index + 1] = way;
        }
    }
    ways.into_iter().flatten().take(MAX_VERIFICATIONS)
}

/// The deviations that change the value of a covered component of this request.
fn effective(message: &Message<'_>, components: &[(Component<'_>, &str)]) -> Deviations {
    let covers = |wanted| components.iter().any(|(component, _)| *component == wanted);
    let (path, query) = message.path_and_query();
    let mut set = 0;
    let mut add = |deviation: Deviation, changes: bool| set |= if changes { deviation as u8 } else { 0 };
    if covers(Component::TargetUri) {
        add(Deviation::EmptyPath, path == b"/");
        let is_encoded = path.iter().any(|byte| is_java_path(*byte))
            || query.is_some_and(|query| query.iter().any(|byte| is_java_query(*byte)));
        add(Deviation::JavaUri, is_encoded);
    }
    add(
        Deviation::NoPort,
        covers(Component::Authority) && split_port(&message.normal_authority()).1.is_some(),
    );
    add(Deviation::BareQuery, covers(Component::Query));
    let decodes = || path.contains(&b'%') && percent_decoded(path).is_some();
    add(Deviation::DecodedPath, covers(Component::Path) && decodes());
    Deviations(set)
}

/// Characters that OkHttp encodes in a path when it makes a `java.net.URI`.
fn is_java_path(byte: u8) -> bool {
    matches!(byte, b'[' | b']')
}

/// Characters that OkHttp encodes in a query when it makes a `java.net.URI`.
fn is_java_query(byte: u8) -> bool {
    matches!(byte, b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

pub(super) fn push_path(uri: &mut Vec<u8>, path: &[u8], deviations: Deviations) {
    push_encoded(uri, path, |byte| deviations.has(Deviation::JavaUri) && is_java_path(byte));
}

pub(super) fn push_query(uri: &mut Vec<u8>, query: &[u8], deviations: Deviations) {
    push_encoded(uri, query, |byte| deviations.has(Deviation::JavaUri) && is_java_query(byte));
}

fn push_encoded(uri: &mut Vec<u8>, text: &[u8], is_encoded: impl Fn(u8) -> bool) {
    for byte in text {
        if is_encoded(*byte) {
            uri.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            uri.push(*byte);
        }
    }
}

/// `None` if the path hides a control character: a line feed would end a line of the signature base.
pub(super) fn percent_decoded(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        match (byte, hex_pair(tail)) {
            (b'%', Some(hidden)) => {
                decoded.push(hidden);
                rest = &tail[2..];
            }
            _ => {
                decoded.push(*byte);
                rest = tail;
            }
        }
    }
    (!decoded.iter().any(u8::is_ascii_control)).then_some(decoded)
}
