//! The heads that a direct exchange sends, made without sockets: for tests that send it any bytes.

use std::net::{IpAddr, Ipv4Addr};

use http::Version;

use super::head::{RequestView, ResponseView};
use super::write::{self, Next};
use crate::http::{AnswerHead, Body, HeadView};
use crate::origins::Origin;
use crate::proxy::client::Client;
use crate::proxy::correlation::Correlation;
use crate::proxy::forward::{Forwarding, OwnFields};
use crate::proxy::response::ResponseEdits;
use crate::proxy::settings::SnapshotSettings;

/// Writes the heads of exchanges between one client and one origin.
#[derive(Debug)]
pub struct OfflineHeads {
    forwarding: Forwarding,
    client: Client,
    correlation: Correlation,
    origin: Origin,
}

impl OfflineHeads {
    /// The heads for the first origin of a configuration. `None` if it has no origin.
    pub fn new(settings: &SnapshotSettings) -> Option<Self> {
        let client = Client {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
            is_told_by_proxy: false,
            is_secure: true,
            host: None,
        };
        Some(Self {
            forwarding: Forwarding::new(settings),
            client,
            correlation: Correlation::default(),
            origin: settings.origins.first()?.clone(),
        })
    }

    /// The head that the origin gets for a request with this head. `None` if a direct exchange does not serve
    /// the request.
    pub fn request(&self, head: HeadView<'_>, body: Body) -> Option<Vec<u8>> {
        let head = RequestView::plain(head)?;
        let own = OwnFields::new(&head, &self.client, &self.correlation, &[], &self.origin);
        let mut out = Vec::new();
        write::request(&head, body, &own, &self.forwarding, &mut out);
        Some(out)
    }

    /// Appends the head that a client with HTTP/1.1 gets for a response with this head. `is_last`: the gateway
    /// closes the connection after the response.
    pub fn response(&self, head: &ResponseView<'_>, answer: AnswerHead, is_last: bool, out: &mut Vec<u8>) {
        let authority = self.origin.authority.as_bytes();
        let edits = ResponseEdits::new(head, authority, Version::HTTP_11, None, None, None);
        let next = match is_last {
            _ if answer.is_interim() => Next::Response,
            true => Next::Close,
            false => Next::Request,
        };
        write::response(head, answer.body, &edits, next, out);
    }
}
