//! Requests and answers.

use super::wire::{latin1, split_head, values};

/// A request that a client sends.
#[derive(Clone, Debug)]
pub struct Message {
    method: String,
    target: String,
    host: Option<String>,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    /// A request without a body, to the host `gateway.test`.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: Some("gateway.test".to_owned()),
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST with a Content-Length.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds `Approov-Token`.
    pub fn token(self, token: &str) -> Self {
        self.field("Approov-Token", token)
    }

    /// Sets the body and adds `Content-Length`.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.field("Content-Length", &length)
    }

    /// Sets the bytes after the head, without a field for them.
    pub fn raw_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn method(&self) -> &str {
        &self.method
    }

    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// The head as a request of the `h2` library.
    pub fn to_http2(&self, scheme: &str) -> http::Request<()> {
        let host = self.host.as_deref().unwrap_or_default();
        let mut request = http::Request::builder()
            .version(http::Version::HTTP_2)
            .method(self.method.as_str())
            .uri(format!("{scheme}://{host}{}", self.target));
        for (name, value) in &self.fields {
            request = request.header(name, value.as_bytes());
        }
        request.body(()).unwrap()
    }

    /// The bytes of the request in HTTP/1.1.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if let Some(host) = &self.host {
            text += &format!("Host: {host}\r\n");
        }
        for (name, value) in &self.fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        [text.as_bytes(), &self.body].concat()
    }
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The bytes of the head.
    pub head: Vec<u8>,
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Response {
    pub(super) fn from_head(head: Vec<u8>) -> Self {
        let (line, fields) = split_head(&head);
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line of HTTP/1.1: {line:?}"));
        Self { head, status, fields, body: Vec::new(), trailers: Vec::new() }
    }

    /// An answer of HTTP/2. `head` has the form of HTTP/1.
    pub fn from_http2(head: &http::response::Parts, body: Vec<u8>, trailers: http::HeaderMap) -> Self {
        let list = |fields: &http::HeaderMap| -> Vec<(String, String)> {
            fields.iter().map(|(name, value)| (name.to_string(), latin1(value.as_bytes()))).collect()
        };
        let fields = list(&head.headers);
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Self {
            head: format!("HTTP/2 {}\r\n{lines}\r\n", head.status.as_str()).into_bytes(),
            status: head.status.as_u16(),
            fields,
            body,
            trailers: list(&trailers),
        }
    }

    /// The values of a field, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    pub fn text(&self) -> String {
        latin1(&self.body)
    }

    /// Head and body without the fields in which equal answers differ: `Date` and `X-Request-Id`.
    pub fn undated(&self) -> String {
        let head = latin1(&self.head);
        let differs = |line: &&str| {
            let line = line.to_ascii_lowercase();
            line.starts_with("date:") || line.starts_with("x-request-id:")
        };
        let lines = head.split_inclusive("\r\n").filter(|line| !differs(line));
        lines.collect::<String>() + &self.text()
    }
}
