//! Fetches a small document, such as a key set, over a connection that the gateway makes itself. The
//! answer is judged as strictly as that of an origin.

use std::net::SocketAddr;

use http::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, ETAG, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderValue, Method, StatusCode};
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::{Error, ErrorType};
use pingora_http::RequestHeader;

use super::address::{Address, Resolver, SystemResolver};
use super::dialer::Dialer;
use super::explain::{AskedServer, ServerKind, explain};
use super::next_request::NextRequest;
use super::peers::PeerTemplate;
use crate::origins::{Origin, Target};

/// The most addresses of a server that are tried.
const MAX_ADDRESSES: usize = 4;

/// Fetches one document. No redirect is followed.
pub struct Fetcher {
    server: Origin,
    /// Path and query.
    target: Box<str>,
    dialer: Dialer,
    template: PeerTemplate,
}

/// The answer of a server.
#[derive(Debug)]
pub struct Document {
    /// The status.
    pub status: StatusCode,
    /// The version of the document, to ask for a newer one.
    pub etag: Option<HeaderValue>,
    /// The body; `None` if it is longer than asked for.
    pub body: Option<Vec<u8>>,
}

impl Fetcher {
    /// Prepares fetching `target` (path and query) from `server`. A server without TLS must be on this
    /// machine.
    ///
    /// # Errors
    /// If TLS cannot be prepared.
    pub fn new(server: Origin, target: &str) -> Result<Self, rustls::Error> {
        let (dialer, template) = (Dialer::detached(&server)?, PeerTemplate::new(&server, None));
        Ok(Self { server, target: target.into(), dialer, template })
    }

    /// Asks each address in turn until one answers. `most` is the limit for the body in bytes, and
    /// `known` the version that the caller has.
    ///
    /// # Errors
    /// What is wrong and how to fix it, in words.
    pub async fn fetch(&self, known: Option<&HeaderValue>, most: usize) -> Result<Document, String> {
        let addresses = self.addresses().await?;
        let mut why = format!("the name {} has no address on this machine; write https://", self.server.host);
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match self.ask(address, known, most).await {
                Ok(document) => return Ok(document),
                Err(error) => why = self.explain(&error, &address.to_string()),
            }
        }
        Err(why)
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let mut addresses = Vec::new();
        for configured in &self.server.addresses {
            match &configured.target {
                Target::Socket(address) => addresses.push(*address),
                Target::Name { host, port } => match SystemResolver.resolve(host, *port).await {
                    Ok(found) => addresses.extend(found),
                    Err(_) => return Err(self.explain(&Error::new_up(ErrorType::new("NoAddress")), host)),
                },
                Target::Unix(_) => {}
            }
        }
        if self.server.tls.is_none() {
            addresses.retain(|address| address.ip().to_canonical().is_loopback());
        }
        Ok(addresses)
    }

    async fn ask(
        &self,
        address: SocketAddr,
        known: Option<&HeaderValue>,
        most: usize,
    ) -> pingora_core::Result<Document> {
        let peer = self.template.at(&Address::Inet(address));
        let peer = peer.ok_or_else(|| Error::new_up(ErrorType::new("NoAddress")))?;
        let mut session = HttpSession::new(Box::new(self.dialer.connect(&peer).await?));
        NextRequest::announce(session.digest(), &Method::GET);
        session.write_request_header(Box::new(self.request(known)?)).await?;
        session.read_response().await?;
        let missing = || Error::explain(ErrorType::InvalidHTTPHeader, "no answer");
        let response = session.resp_header().ok_or_else(missing)?;
        let (status, etag) = (response.status, response.headers.get(ETAG).cloned());
        let mut body = Some(Vec::new());
        while let (Some(read), Some(piece)) = (&mut body, session.read_body_bytes().await?) {
            if read.len() + piece.len() > most {
                body = None;
                break;
            }
            read.extend_from_slice(&piece);
        }
        Ok(Document { status, etag, body })
    }

    fn request(&self, known: Option<&HeaderValue>) -> pingora_core::Result<RequestHeader> {
        let mut request = RequestHeader::build(Method::GET, self.target.as_bytes(), Some(6))?;
        for (name, value) in self.server.own_fields() {
            request.insert_header(name.clone(), value.clone())?;
        }
        request.insert_header(USER_AGENT, concat!("approov-gateway/", env!("CARGO_PKG_VERSION")))?;
        request.insert_header(ACCEPT, "application/jwk-set+json, application/json")?;
        request.insert_header(ACCEPT_ENCODING, "identity")?;
        request.insert_header(CONNECTION, "close")?;
        if let Some(known) = known {
            request.insert_header(IF_NONE_MATCH, known.clone())?;
        }
        Ok(request)
    }

    fn explain(&self, error: &Error, address: &str) -> String {
        let asked = AskedServer {
            address,
            domain: self.server.authority.to_str().unwrap_or(&self.server.host),
            server: ServerKind::KeySets,
            is_tls: self.server.tls.is_some(),
            connect_timeout: Some(self.server.timeouts.connect),
        };
        explain(error, asked).message
    }
}
