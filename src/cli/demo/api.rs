//! The example API of the demo: a small store of posts in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use parking_lot::Mutex;
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde_json::{Map, Value, json};

/// The largest request body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The largest number of posts that are stored.
const MAX_POSTS: usize = 1000;

/// Serves `/posts`, `/posts/1` …, `/me`, `/account`, and `/echo`, which shows what the origin received.
pub struct ExampleApi {
    posts: Mutex<BTreeMap<u64, Value>>,
}

impl ExampleApi {
    /// An API that has a few posts already.
    pub fn new() -> Self {
        let titles = ["Only genuine apps get here", "The token stays at the gateway", "Edit me with PUT"];
        let posts = (1..).zip(titles).map(|(id, title)| (id, json!({ "id": id, "title": title })));
        Self { posts: Mutex::new(posts.collect()) }
    }

    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> (StatusCode, Value) {
        match (method, path) {
            (&Method::GET | &Method::HEAD, "/") => {
                (StatusCode::OK, json!({ "try": ["/posts", "/posts/1", "/me", "/account", "/echo"] }))
            }
            (&Method::GET | &Method::HEAD, "/me") => {
                (StatusCode::OK, json!({ "name": "Ada", "plan": "genuine" }))
            }
            (&Method::GET | &Method::HEAD, "/account") => (StatusCode::OK, json!({ "balance": 42 })),
            (_, "/echo") => (StatusCode::OK, echo(method, headers)),
            (&Method::GET | &Method::HEAD, "/posts") => {
                (StatusCode::OK, self.posts.lock().values().cloned().collect())
            }
            (&Method::POST, "/posts") => self.create(body),
            (_, "/posts") => (StatusCode::METHOD_NOT_ALLOWED, json!({ "error": "GET or POST" })),
            _ => match path.strip_prefix("/posts/").and_then(|id| id.parse().ok()) {
                Some(id) => self.one(method, id, body),
                None => not_found(),
            },
        }
    }

    fn create(&self, body: &[u8]) -> (StatusCode, Value) {
        let mut posts = self.posts.lock();
        let id = posts.keys().next_back().map_or(1, |last| last + 1);
        match post(id, body) {
            None => invalid(),
            Some(_) if posts.len() >= MAX_POSTS => {
                (StatusCode::INSUFFICIENT_STORAGE, json!({ "error": "the demo keeps no more posts" }))
            }
            Some(post) => {
                posts.insert(id, post.clone());
                (StatusCode::CREATED, post)
            }
        }
    }

    fn one(&self, method: &Method, id: u64, body: &[u8]) -> (StatusCode, Value) {
        let mut posts = self.posts.lock();
        let Some(kept) = posts.get_mut(&id) else { return not_found() };
        match *method {
            Method::GET | Method::HEAD => (StatusCode::OK, kept.clone()),
            Method::PUT => match post(id, body) {
                Some(post) => {
                    *kept = post.clone();
                    (StatusCode::OK, post)
                }
                None => invalid(),
            },
            Method::DELETE => {
                posts.remove(&id);
                (StatusCode::OK, json!({}))
            }
            _ => (StatusCode::METHOD_NOT_ALLOWED, json!({ "error": "GET, PUT or DELETE" })),
        }
    }
}

#[async_trait]
impl ServeHttp for ExampleApi {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let mut body = Vec::new();
        while let Ok(Some(part)) = session.read_request_body().await {
            body.extend_from_slice(&part);
            if body.len() > MAX_BODY {
                return response(StatusCode::PAYLOAD_TOO_LARGE, json!({ "error": "too large" }), false);
            }
        }
        let request = session.req_header();
        let (status, value) = self.answer(&request.method, request.uri.path(), &request.headers, &body);
        response(status, value, request.method == Method::HEAD)
    }
}

/// Shows the request fields that arrived, among which the token is not.
fn echo(method: &Method, headers: &HeaderMap) -> Value {
    let headers: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    json!({ "method": method.as_str(), "headers": headers })
}

fn post(id: u64, body: &[u8]) -> Option<Value> {
    let mut post: Map<String, Value> = serde_json::from_slice(body).ok()?;
    post.insert("id".into(), id.into());
    Some(post.into())
}

fn not_found() -> (StatusCode, Value) {
    (StatusCode::NOT_FOUND, json!({ "error": "no such resource" }))
}

fn invalid() -> (StatusCode, Value) {
    (StatusCode::BAD_REQUEST, json!({ "error": "the body must be a JSON object" }))
}

fn response(status: StatusCode, value: Value, is_head: bool) -> Response<Vec<u8>> {
    let body = format!("{value}\n").into_bytes();
    let mut response = Response::new(Vec::new());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if !is_head {
        *response.body_mut() = body;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(api: &ExampleApi, method: Method, path: &str, body: &str) -> (u16, Value) {
        let (status, value) = api.answer(&method, path, &HeaderMap::new(), body.as_bytes());
        (status.as_u16(), value)
    }

    #[test]
    fn stores_changes_and_removes_posts() {
        let api = ExampleApi::new();
        assert_eq!(
            ask(&api, Method::POST, "/posts", r#"{"title":"x"}"#),
            (201, json!({"id": 4, "title": "x"}))
        );
        assert_eq!(
            ask(&api, Method::PUT, "/posts/4", r#"{"title":"y"}"#),
            (200, json!({"id": 4, "title": "y"}))
        );
        assert_eq!(ask(&api, Method::GET, "/posts/4", ""), (200, json!({"id": 4, "title": "y"})));
        assert_eq!(ask(&api, Method::DELETE, "/posts/4", ""), (200, json!({})));
        assert_eq!(ask(&api, Method::GET, "/posts/4", "").0, 404);
        assert_eq!(ask(&api, Method::GET, "/posts", "").1.as_array().map(Vec::len), Some(3));
        assert_eq!(ask(&api, Method::POST, "/posts", "[]").0, 400);
        assert_eq!(ask(&api, Method::PATCH, "/posts", "").0, 405);
    }
}
