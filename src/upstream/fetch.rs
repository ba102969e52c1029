//! Small exchanges with servers that are not origins: a key set is fetched, spans are sent to a collector.
//! The connections are the gateway's own, and answers are judged as strictly as those of an origin.

use std::net::SocketAddr;

use http::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, ETAG, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::{Error, ErrorType};
use pingora_http::RequestHeader;

use super::address::{Address, Resolver, SystemResolver};
use super::dialer::Dialer;
use super::explain::{AskedServer, ServerKind, explain};
use super::next_request::NextRequest;
use super::peers::PeerTemplate;
use super::read_ahead::CommonShare;
use super::stream::OriginStream;
use crate::origins::{Origin, Target};

/// The most addresses of a server that are tried.
const MAX_ADDRESSES: usize = 4;

/// Asks one server for one document, or sends it documents. No redirect is followed.
pub struct Fetcher {
    server: Origin,
    /// Path and query, as they are sent.
    target: Box<str>,
    kind: ServerKind<'static>,
    dialer: Dialer,
    template: PeerTemplate,
}

/// The answer of a server.
#[derive(Debug)]
pub struct Document {
    /// The status of the response. Any status is possible: the caller decides which ones it takes.
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
        Self::of_kind(server, target, ServerKind::KeySets)
    }

    /// Prepares sending spans to `target` (path and query) of `server`.
    ///
    /// # Errors
    /// If TLS cannot be prepared.
    pub fn to_collector(server: Origin, target: &str) -> Result<Self, rustls::Error> {
        Self::of_kind(server, target, ServerKind::Collector)
    }

    fn of_kind(server: Origin, target: &str, kind: ServerKind<'static>) -> Result<Self, rustls::Error> {
        let (dialer, template) = (Dialer::detached(&server)?, PeerTemplate::new(&server, None));
        Ok(Self { server, target: target.into(), kind, dialer, template })
    }

    /// Asks each address in turn until one answers. `most` is the limit for the body in bytes, and
    /// `known` the version that the caller has.
    ///
    /// # Errors
    /// What is wrong and how to fix it, in words.
    pub async fn fetch(&self, known: Option<&HeaderValue>, most: usize) -> Result<Document, String> {
        let mut fields = vec![
            (ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json")),
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        ];
        fields.extend(known.map(|known| (IF_NONE_MATCH, known.clone())));
        self.ask_each(Method::GET, &fields, &[], most).await
    }

    /// Sends `body` with these fields to each address in turn until one answers. `most` is the limit for
    /// the body of the answer in bytes.
    ///
    /// # Errors
    /// What is wrong and how to fix it, in words.
    pub async fn post(
        &self,
        fields: &[(HeaderName, HeaderValue)],
        body: &[u8],
        most: usize,
    ) -> Result<Document, String> {
        self.ask_each(Method::POST, fields, body, most).await
    }

    async fn ask_each(
        &self,
        method: Method,
        fields: &[(HeaderName, HeaderValue)],
        body: &[u8],
        most: usize,
    ) -> Result<Document, String> {
        let addresses = self.addresses().await?;
        let mut why = format!("the name {} has no address on this machine; write https://", self.server.host);
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match self.ask(address, self.request(&method, fields, body.len()), body, most).await {
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
        if self.server.tls.is_none() && matches!(self.kind, ServerKind::KeySets) {
            addresses.retain(|address| address.ip().to_canonical().is_loopback());
        }
        Ok(addresses)
    }

    async fn ask(
        &self,
        address: SocketAddr,
        request: pingora_core::Result<RequestHeader>,
        body: &[u8],
        most: usize,
    ) -> pingora_core::Result<Document> {
        let request = Box::new(request?);
        let peer = self.template.at(&Address::Inet(address));
        let peer = peer.ok_or_else(|| Error::new_up(ErrorType::new("NoAddress")))?;
        let connection = self.dialer.connect(&peer, Some(self.server.timeouts.connect)).await?;
        let mut session = HttpSession::new(Box::new(OriginStream::new(connection, CommonShare::default())?));
        // The answer is read here, as it arrives.
        let _ = NextRequest::announce(session.digest(), &request.method);
        session.write_request_header(request).await?;
        if !body.is_empty() {
            session.write_body(body).await?;
            session.finish_body().await?;
        }
        let response = loop {
            session.read_response().await?;
            let missing = || Error::explain(ErrorType::InvalidHTTPHeader, "no answer");
            let response = session.resp_header().ok_or_else(missing)?;
            match response.status {
                // No switch was asked for.
                StatusCode::SWITCHING_PROTOCOLS => return Err(missing()),
                // The final response follows. The caller's time limit and the cap of interim responses end the loop.
                status if status.is_informational() => {}
                _ => break response,
            }
        };
        let (status, etag) = (response.status, response.headers.get(ETAG).cloned());
        let mut read_body = Some(Vec::new());
        while let (Some(read), Some(piece)) = (&mut read_body, session.read_body_bytes().await?) {
            if read.len() + piece.len() > most {
                read_body = None;
                break;
            }
            read.extend_from_slice(&piece);
        }
        Ok(Document { status, etag, body: read_body })
    }

    fn request(
        &self,
        method: &Method,
        fields: &[(HeaderName, HeaderValue)],
        length: usize,
    ) -> pingora_core::Result<RequestHeader> {
        let mut request = RequestHeader::build(method.clone(), self.target.as_bytes(), Some(8))?;
        for (name, value) in self.server.own_fields() {
            request.insert_header(name.clone(), value.clone())?;
        }
        request.insert_header(USER_AGENT, concat!("approov-gateway/", env!("CARGO_PKG_VERSION")))?;
        request.insert_header(CONNECTION, "close")?;
        if method == Method::POST {
            request.insert_header(CONTENT_LENGTH, HeaderValue::from(length))?;
        }
        for (name, value) in fields {
            request.insert_header(name.clone(), value.clone())?;
        }
        Ok(request)
    }

    fn explain(&self, error: &Error, address: &str) -> String {
        let asked = AskedServer {
            address,
            domain: self.server.authority.to_str().unwrap_or(&self.server.host),
            server: self.kind,
            is_tls: self.server.tls.is_some(),
            has_own_authorities: self.server.tls.as_ref().is_some_and(|tls| tls.roots.is_some()),
            timeouts: &self.server.timeouts,
            passed_total: None,
        };
        explain(error, asked).message
    }
}
