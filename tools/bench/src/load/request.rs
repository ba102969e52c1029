//! One request, as it goes out over HTTP/1.1 and HTTP/2.

use bytes::Bytes;

pub const AUTHORITY: &str = "api.example.com";

#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Request {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    pub fn post(path: impl Into<String>, length: usize) -> Self {
        Self { method: "POST", body: vec![b'x'; length].into(), ..Self::get(path) }
    }

    /// Sets a header, in place of one with the same name.
    pub fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        let mut request = self.without(name);
        request.headers.push((name, value.into()));
        request
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(of, _)| *of != name);
        self
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {AUTHORITY}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if self.method != "GET" {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        head += "\r\n";
        [head.as_bytes(), &self.body].concat()
    }

    pub fn to_http2(&self, scheme: &str) -> http::Result<http::Request<()>> {
        let uri = format!("{scheme}://{AUTHORITY}{}", self.path);
        let mut request = http::Request::builder().method(self.method).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(name.to_ascii_lowercase(), value);
        }
        if self.method != "GET" {
            request = request.header("content-length", self.body.len());
        }
        request.body(())
    }
}
