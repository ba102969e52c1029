//! Key sets: from a URL, with a real server of key sets, and from a file that is watched.

mod early;
mod failures;
mod rotation;
mod starting;

use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::harness::tokens::in_seconds;
use crate::harness::{Exchange, Gateway, Message, Origin, Setup, Then};

/// An ES256 key with its id.
pub struct SigningKey {
    id: &'static str,
    private: Vec<u8>,
    point: Vec<u8>,
}

impl SigningKey {
    pub fn new(id: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let private = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
        Self { id, private, point: pair.public_key().as_ref().to_vec() }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.point[1..].split_at(32);
        let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": x, "y": y })
    }

    /// A valid token of this key.
    fn token(&self) -> String {
        self.token_with_id(self.id)
    }

    /// A token that this key signs and that names another one.
    fn token_with_id(&self, id: &str) -> String {
        let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::ES256) };
        let claims = json!({ "exp": in_seconds(3600), "did": "ExampleApproovTokenDID==" });
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(&self.private)).unwrap()
    }

    /// A GET with a valid token of this key.
    pub fn request(&self) -> Message {
        Message::get("/a").token(&self.token())
    }
}

/// The text of a set of these keys.
fn set_of(keys: &[&SigningKey]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// What a server of key sets does with a request.
#[derive(Clone)]
enum Answer {
    /// The set, with an entity tag, or 304 if the client has it.
    Set(String),
    /// These bytes.
    Bytes(String),
    /// A body that never ends.
    Endless,
    /// Nothing.
    Silence,
}

/// A server of key sets, whose answer a test can change.
pub struct KeyServer {
    server: Origin,
    answer: Arc<Mutex<Answer>>,
}

impl KeyServer {
    fn new(answer: Answer) -> Self {
        let answer = Arc::new(Mutex::new(answer));
        let server = Origin::scripted(Self::script(&answer));
        Self { server, answer }
    }

    /// Serves these keys.
    pub fn with_keys(keys: &[&SigningKey]) -> Self {
        Self::new(Answer::Set(set_of(keys)))
    }

    /// Closes the listening socket, as if the process had died.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// A server that refuses connections until [`KeyServer::open`].
    fn closed() -> Self {
        Self { server: Origin::refusing(), answer: Arc::new(Mutex::new(Answer::Silence)) }
    }

    fn open(&mut self, answer: Answer) {
        self.set(answer);
        self.server.open(Self::script(&self.answer));
    }

    fn script(
        answer: &Arc<Mutex<Answer>>,
    ) -> impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static {
        let answer = Arc::clone(answer);
        move |exchange| {
            let answer = answer.lock().unwrap().clone();
            respond(exchange, &answer)
        }
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn url(&self) -> String {
        format!("{}/jwks.json", self.server.url())
    }

    fn fetches(&self) -> usize {
        self.server.requests().len()
    }

    fn wait_for_fetches(&self, count: usize) {
        self.server.wait_until("another fetch", |record| record.requests.len() >= count);
    }
}

fn respond(exchange: &mut Exchange<'_>, answer: &Answer) -> io::Result<Then> {
    match answer {
        Answer::Set(text) => {
            let tag = format!("\"{}\"", text.len());
            if exchange.request.values("if-none-match").contains(&tag.as_str()) {
                exchange.send(format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n"))?;
                return Ok(Then::Close);
            }
            let length = text.len();
            exchange
                .send(format!("HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {length}\r\n\r\n{text}"))?;
            Ok(Then::Close)
        }
        Answer::Bytes(bytes) => {
            exchange.send(bytes)?;
            Ok(Then::Close)
        }
        Answer::Endless => {
            exchange.send("HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                exchange.send([b' '; 64 * 1024])?;
            }
        }
        Answer::Silence => exchange.wait_for_hangup(),
    }
}

/// A configuration with one key set, and `rest`.
fn config(origin: &Origin, entry: &str, rest: &str) -> String {
    format!(
        "approov: {{ keys: [ {{ {entry} }} ] }}\norigins: {{ api: {{ domain: \"{}\" }} }}\n{rest}",
        origin.url()
    )
}

/// A gateway whose keys are at this URL and fetched every second.
fn gateway(origin: &Origin, url: &str) -> Gateway {
    let entry = format!("jwks_uri: \"{url}\", refresh: 1s");
    Setup::bare().config(&config(origin, &entry, "")).start()
}

/// Waits until the key set in force has this many keys.
fn wait_for_keys(gateway: &Gateway, keys: usize) {
    gateway.wait_for_count("approov_gateway_key_set_keys", &[], keys as f64);
}
