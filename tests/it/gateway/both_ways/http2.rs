//! Clients with HTTP/2: each request is sent on a connection of its own, over both ways.

use std::sync::Arc;

use http::HeaderMap;

use super::samples::{FIELDS, answers, cut_answers, head_answers};
use super::{SeenAnswer, SeenRequest, Way, many_cuts, ways};
use crate::harness::{Http2Client, Message, Origin, Pending, Setup, config_before, get, tokens};

/// What origin and client saw of one request.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    at_origin: Vec<SeenRequest>,
    /// The answer, or the reason for which the stream was reset.
    at_client: Result<SeenAnswer, Option<h2::Reason>>,
}

/// A request with its body in parts.
struct Case {
    message: Message,
    /// The parts of the body; none if the head ends the stream.
    parts: Vec<&'static [u8]>,
    trailers: Option<HeaderMap>,
}

impl Case {
    fn of(message: Message) -> Self {
        Self { message, parts: Vec::new(), trailers: None }
    }

    /// Sends the request. The gateway may have ended the stream already.
    fn send(&self, client: &mut Http2Client, case: &str) -> Pending {
        let message = self.message.clone().field("x-case", case);
        let has_ended = self.parts.is_empty() && self.trailers.is_none();
        let mut pending = client.begin(&message, has_ended);
        let last = self.parts.len().wrapping_sub(usize::from(self.trailers.is_none()));
        for (index, part) in self.parts.iter().enumerate() {
            let _ = pending.body.send_data(part.to_vec().into(), index == last);
        }
        if let Some(trailers) = &self.trailers {
            let _ = pending.body.send_trailers(trailers.clone());
        }
        pending
    }
}

fn gateways(answers: Vec<Vec<u8>>) -> [Way; 2] {
    ways(&Arc::new(answers), |origin: &Origin| {
        let listeners = "listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n";
        Setup::bare().without("GATEWAY_LISTEN").config(&config_before(origin, listeners))
    })
}

impl Way {
    fn see_http2(&self, case: &Case, number: &str) -> Seen {
        let mut client = Http2Client::connect(self.gateway.address());
        let pending = case.send(&mut client, number);
        let answered = client.try_response(pending);
        // The stream ends alone: other requests of the connection are served.
        assert_eq!(client.ask(&get("/honest")).status, 200, "{:?}", case.message);
        let at_client = answered.map(|answer| SeenAnswer::of(&answer)).map_err(|error| error.reason());
        // A body that breaks off may reach the origin in part.
        let at_origin = if at_client.is_ok() { self.at_origin(number) } else { Vec::new() };
        Seen { at_origin, at_client }
    }
}

/// Compares what both ways do with each request.
fn compare(answers: Vec<Vec<u8>>, cases: &[Case]) -> usize {
    let ways = gateways(answers);
    let mut served = 0;
    for (index, case) in cases.iter().enumerate() {
        let number = format!("{index:05}");
        let [direct, pingora] = [&ways[0], &ways[1]].map(|way| way.see_http2(case, &number));
        assert_eq!(direct, pingora, "{:?} {:?}", case.message, case.parts);
        served += usize::from(direct.at_client.is_ok_and(|answer| !answer.line.contains(" 4")));
    }
    assert!(served > 0, "every request was refused");
    cases.len()
}

/// Whether an HTTP/2 client can send the field. The library refuses to send fields for one hop.
fn can_be_sent(name: &str) -> bool {
    let hop = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
    !hop.contains(&name.to_ascii_lowercase().as_str())
}

fn with_fields(mut message: Message, fields: &str) -> Message {
    for (name, value) in fields.lines().filter_map(|line| line.split_once(':')) {
        if can_be_sent(name) {
            message = message.field(name, value.trim_matches([' ', '\t']));
        }
    }
    message
}

#[test]
fn the_two_ways_are_two() {
    let names = gateways(Vec::new()).map(|way| {
        let answer = Http2Client::connect(way.gateway.address()).ask(&get("/a").field("X-Z", "1"));
        assert_eq!(answer.status, 200);
        way.origin.only_request().fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    });
    assert_ne!(names[0], names[1], "order and letter case of fields are a named difference");
}

#[test]
fn requests_of_every_kind() {
    let token = tokens::valid();
    let mut cases = Vec::new();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "MADE-UP"] {
        let message = || Message::new(method, "/a?b=%20{}|c").token(&token);
        for fields in FIELDS {
            cases.push(Case::of(with_fields(message(), fields)));
        }
        for (length, parts) in [
            (Some("5"), &[&b"hello"[..]][..]),
            (Some("5"), &[b"he", b"", b"llo"]),
            (Some("5"), &[b"hello", b""]),
            (Some("5"), &[b"hell"]),
            (Some("5"), &[b"hell", b"o!"]),
            (Some("5"), &[]),
            (Some("0"), &[]),
            (Some("0"), &[b""]),
            (Some("05"), &[b"hello"]),
            (Some("5, 5"), &[b"hello"]),
            (Some("+5"), &[b"hello"]),
            (None, &[b""]),
            (None, &[b"hello"]),
            (None, &[b"h", b"ell", b"", b"o"]),
        ] {
            let message = length.map_or(message(), |length| message().field("content-length", length));
            let sum = parts.iter().map(|part| part.len()).sum::<usize>();
            let is_wrong = length == Some("5") && sum != 5;
            let trailers = HeaderMap::from_iter([(
                http::HeaderName::from_static("x-trailer"),
                http::HeaderValue::from_static("y"),
            )]);
            for trailers in [None, Some(trailers)] {
                // A method that is refused may be refused before the end of the body shows its wrong length.
                let ends_later = !parts.is_empty() || trailers.is_some();
                if method == "TRACE" && is_wrong && ends_later {
                    continue;
                }
                cases.push(Case { message: message.clone(), parts: parts.to_vec(), trailers });
            }
        }
        cases.push(Case::of(message().field("expect", "100-continue")));
        cases.push(Case::of(message().field("te", "trailers").field("content-type", "application/grpc")));
        cases.push(Case::of(Message::new(method, "/without-a-token")));
    }
    for target in ["/", "//a/../b/./%2e%2e/c", "/a?", "/?%zz", "/\u{7e}"] {
        cases.push(Case::of(get(target)));
    }
    for host in ["a", "a_b.test:80", "A.test", "a:0", "[::1]:80"] {
        cases.push(Case::of(get("/").host(host)));
    }
    let compared = compare(Vec::new(), &cases);
    assert!(compared > 500, "{compared}");
}

#[test]
fn answers_of_every_kind() {
    let answers = answers();
    let mut cases = Vec::new();
    for (index, answer) in answers.iter().enumerate() {
        for cut in [0, answer.len() / 2] {
            cases.push(Case::of(get(&format!("/{index}/{cut}"))));
        }
    }
    let compared = compare(answers, &cases);
    assert!(compared > 400, "{compared}");
}

#[test]
fn answers_to_head_requests() {
    let answers = head_answers();
    let count = answers.len();
    let token = tokens::valid();
    let head = |index| Case::of(Message::new("HEAD", &format!("/{index}/0")).token(&token));
    let cases: Vec<_> = (0..count).map(head).collect();
    assert_eq!(compare(answers, &cases), count);
}

#[test]
fn answers_cut_at_every_byte() {
    let answers = cut_answers();
    let cases: Vec<_> = answers
        .iter()
        .enumerate()
        .flat_map(|(index, answer)| {
            many_cuts(answer.len()).into_iter().map(move |cut| Case::of(get(&format!("/{index}/{cut}"))))
        })
        .collect();
    let compared = compare(answers, &cases);
    assert!(compared > 200, "{compared}");
}
