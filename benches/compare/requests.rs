//! What is sent: one request, to be sent many times.

use std::time::{Duration, SystemTime};

use approov_gateway::approov::Secret;
use approov_gateway::cli::token::{Kind, Request as Wanted, mint};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Result;
use super::modes::Shape;

/// The account's secret. Every peer can read it as text, though not every real secret is text.
pub const SECRET: &str = "ddxJ5L_Cl-7zjH_vat05JiIGZfFs79h_gL4Qa2Acrg6uE6eBSGOpweBy3-5pPZ2u";

/// What the tokens are bound to.
pub const AUTHORIZATION: &str = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.user";

/// A request, whole.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The answer it must get.
    pub status: u16,
}

impl Request {
    /// The request of a mode; `status` is what it must get.
    pub fn new(shape: &Shape, token: &str, status: u16) -> Self {
        let mut headers = vec![
            ("User-Agent", "app/1.0".to_owned()),
            ("Accept", "application/json".into()),
            ("Accept-Encoding", "gzip".into()),
            ("Authorization", AUTHORIZATION.into()),
            ("Approov-Token", token.into()),
        ];
        if shape.body > 0 {
            headers.push(("Content-Type", "application/octet-stream".into()));
        }
        let method = if shape.body > 0 { "POST" } else { "GET" };
        Self { method, path: shape.path, headers, body: vec![b'x'; shape.body], status }
    }

    /// As it goes over the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: api.example.com\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            bytes.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        bytes.push_str("\r\n");
        [bytes.as_bytes(), &self.body].concat()
    }
}

/// A token that lasts longer than a run, bound to the Authorization header.
pub fn token(kind: Kind) -> Result<String> {
    let secret = Secret::from_base64(&STANDARD.encode(SECRET))?;
    let day = Duration::from_secs(24 * 3600);
    let wanted = Wanted { kind, bind: vec![AUTHORIZATION.into()], ttl: day, ..Wanted::default() };
    Ok(mint(&secret, &wanted, SystemTime::now())?)
}
