//! The direct exchange and Pingora's proxy are one gateway: the same requests and answers are sent through
//! both, and origin and client must see the same.
//!
//! Named differences, which the comparison leaves out:
//! - the order of fields, and the letter case of names that the gateway writes;
//! - the boundaries of chunks;
//! - `Date` and the random request id;
//! - fields for the next hop in interim answers, which the direct exchange removes;
//! - how much of a malformed body the origin gets before the gateway notices;
//! - an answer that begins before the whole request has arrived: the direct exchange closes the client's
//!   connection after it.

mod http2;
mod samples;

use std::sync::Arc;

use samples::{BODIES, FIELDS, answers, cut_answers, head_answers};

use crate::harness::{Client, Gateway, Message, Origin, Request, Response, Setup, Then, get, tokens};

/// Messages are cut at this many positions or at every byte, whichever is less.
const MOST_CUTS: usize = 80;

/// One way through the gateway.
struct Way {
    gateway: Gateway,
    origin: Origin,
}

/// What origin and client saw of one connection.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    at_origin: Vec<SeenRequest>,
    at_client: Vec<SeenAnswer>,
    /// Whether a further request on the connection was served.
    is_kept: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct SeenRequest {
    line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
struct SeenAnswer {
    line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
}

/// The two ways, with origins that answer by `answers`: the target `/3/17` asks for the fourth answer, cut
/// behind its 17th byte.
fn both_ways(answers: &Arc<Vec<Vec<u8>>>) -> [Way; 2] {
    ways(answers, Setup::before)
}

/// The two ways, each set up by `setup`.
fn ways(answers: &Arc<Vec<Vec<u8>>>, setup: impl Fn(&Origin) -> Setup) -> [Way; 2] {
    ["direct", "pingora"].map(|way| {
        let answers = Arc::clone(answers);
        let origin = Origin::troubled(move |exchange| {
            exchange.body()?;
            let mut numbers = exchange.request.target.split('/').skip(1).map(str::parse::<usize>);
            let (Some(Ok(answer)), Some(Ok(cut))) = (numbers.next(), numbers.next()) else {
                return exchange.answer("200 OK", "hello");
            };
            let answer = &answers[answer];
            let cut = cut.min(answer.len());
            exchange.send(&answer[..cut])?;
            exchange.send(&answer[cut..])?;
            let ends = answer.windows(17).any(|part| part.eq_ignore_ascii_case(b"connection: close"))
                || answer.starts_with(b"HTTP/1.0");
            Ok(if ends { Then::Close } else { Then::KeepAlive })
        });
        let gateway = setup(&origin).env("GATEWAY_HTTP1_EXCHANGE", way).start();
        Way { gateway, origin }
    })
}

impl Way {
    /// Sends `bytes` in two parts and watches both sides.
    fn see(&self, method: &str, bytes: &[u8], cut: usize, case: &str) -> Seen {
        let mut client = self.gateway.connect();
        client.send(&bytes[..cut]);
        // The gateway may have refused the first part and closed the connection.
        let _ = client.try_send(&bytes[cut..]);
        let mut at_client = Vec::new();
        let mut says_kept = false;
        while let Ok(response) = client.try_response_to(method) {
            let is_final = response.status >= 200;
            says_kept = response.values("connection") == ["keep-alive"];
            at_client.push(SeenAnswer::of(&response));
            if is_final {
                break;
            }
        }
        let is_kept = says_kept && is_served(&mut client);
        let is_malformed = at_client.last().is_some_and(|answer| answer.line.contains(" 400 "));
        let at_origin = if is_malformed { Vec::new() } else { self.at_origin(case) };
        Seen { at_origin, at_client, is_kept }
    }

    /// What the origin saw of this case. A request of an earlier case may arrive late, if its body was
    /// malformed.
    fn at_origin(&self, case: &str) -> Vec<SeenRequest> {
        let requests = self.origin.requests();
        let is_of_case = |request: &&Request| {
            request.fields.iter().any(|(name, value)| name.eq_ignore_ascii_case("x-case") && value == case)
        };
        let seen = requests.iter().filter(is_of_case).map(|request| {
            let line = request.head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let mut fields = without_differences(&request.fields, false);
            for (name, value) in &mut fields {
                if name == "host" && *value == self.origin.authority() {
                    *value = "the origin".to_owned();
                }
            }
            SeenRequest {
                line: String::from_utf8_lossy(line).into_owned(),
                fields,
                body: request.body.clone(),
                trailers: request.trailers.clone(),
            }
        });
        seen.collect()
    }
}

/// Whether an honest request on the connection is served.
fn is_served(client: &mut Client) -> bool {
    let honest = Message::get("/honest").token(&tokens::valid());
    let sent = client.try_send(honest.bytes());
    sent.is_ok() && client.try_response_to("GET").is_ok_and(|response| response.status == 200)
}

impl SeenAnswer {
    fn of(response: &Response) -> Self {
        let line = response.head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        Self {
            line: String::from_utf8_lossy(line).into_owned(),
            fields: without_differences(&response.fields, response.status < 200),
            body: response.body.clone(),
            trailers: response.trailers.clone(),
        }
    }
}

/// The fields, sorted by name, without those that may differ.
fn without_differences(fields: &[(String, String)], is_interim: bool) -> Vec<(String, String)> {
    let lower = fields.iter().map(|(name, value)| match name.to_ascii_lowercase() {
        name if name == "x-request-id" => (name, "random".to_owned()),
        name => (name, value.clone()),
    });
    let is_compared = |(name, _): &(String, String)| {
        name != "date" && !(is_interim && ["connection", "keep-alive", "host"].contains(&name.as_str()))
    };
    let mut fields: Vec<_> = lower.filter(is_compared).collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// Compares what both ways do with each request, cut at many positions.
fn compare(answers: Vec<Vec<u8>>, requests: &[(&str, Vec<u8>)], cuts: impl Fn(usize) -> Vec<usize>) -> usize {
    let ways = both_ways(&Arc::new(answers));
    let (mut compared, mut served) = (0, 0);
    for (method, request) in requests {
        for cut in cuts(with_case(request, "00000").len()) {
            let case = format!("{compared:05}");
            let request = with_case(request, &case);
            let [direct, pingora] = [&ways[0], &ways[1]].map(|way| way.see(method, &request, cut, &case));
            assert_eq!(direct, pingora, "cut at {cut}: {}", request.escape_ascii());
            compared += 1;
            served += usize::from(direct.at_client.iter().any(|answer| !answer.line.contains(" 4")));
        }
    }
    assert!(served > 0, "every request was refused");
    compared
}

#[test]
fn the_two_ways_are_two() {
    let names = both_ways(&Arc::default()).map(|way| {
        assert_eq!(way.gateway.ask(&get("/a")).status, 200);
        way.origin.only_request().fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    });
    assert_ne!(names[0], names[1], "order and letter case of fields are a named difference");
}

/// The request with a field by which the origin's record tells it from others.
fn with_case(request: &[u8], case: &str) -> Vec<u8> {
    let end = request.windows(2).position(|pair| pair == b"\r\n").expect("a first line") + 2;
    [&request[..end], format!("X-Case: {case}\r\n").as_bytes(), &request[end..]].concat()
}

/// Positions at which `length` bytes are cut.
fn many_cuts(length: usize) -> Vec<usize> {
    let step = length.div_ceil(MOST_CUTS);
    (0..=length).step_by(step.max(1)).collect()
}

fn whole(length: usize) -> Vec<usize> {
    vec![length]
}

fn request(line: &str, fields: &str, body: &str) -> Vec<u8> {
    let token = tokens::valid();
    format!("{line}\r\nHost: gateway.test\r\nApproov-Token: {token}\r\n{fields}\r\n{body}").into_bytes()
}

#[test]
fn requests_of_every_kind() {
    let mut requests = Vec::new();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "MADE-UP"] {
        for fields in FIELDS {
            let line = format!("{method} /a?b=%20{{}}|c HTTP/1.1");
            requests.push((method, request(&line, fields, "")));
        }
        for (framing, body) in BODIES {
            requests.push((method, request(&format!("{method} / HTTP/1.1"), framing, body)));
        }
    }
    for line in [
        "GET / HTTP/1.0",
        "GET  / HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET http://a/ HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "get / HTTP/1.1",
        "GET //a/../b/./%2e%2e/c HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "CONNECT gateway.test:443 HTTP/1.1",
    ] {
        requests.push(("GET", request(line, "", "")));
    }
    requests.push(("GET", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()));
    requests.push(("POST", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_vec()));
    let compared = compare(Vec::new(), &requests, whole);
    assert!(compared > 300, "{compared}");
}

#[test]
fn requests_cut_at_every_byte() {
    let mut requests = vec![("GET", request("GET /a HTTP/1.1", FIELDS[6], ""))];
    for (framing, body) in BODIES {
        requests.push(("POST", request("POST /a HTTP/1.1", framing, body)));
    }
    let compared = compare(Vec::new(), &requests, many_cuts);
    assert!(compared > 500, "{compared}");
}

#[test]
fn answers_of_every_kind() {
    let answers = answers();
    let mut requests = Vec::new();
    for (index, answer) in answers.iter().enumerate() {
        for method in ["GET", "POST"] {
            for cut in [0, answer.len() / 2] {
                let line = format!("{method} /{index}/{cut} HTTP/1.1");
                requests.push((method, request(&line, "Connection: keep-alive\r\n", "")));
            }
        }
    }
    let compared = compare(answers, &requests, whole);
    assert!(compared > 900, "{compared}");
}

#[test]
fn answers_to_head_requests() {
    let answers = head_answers();
    let count = answers.len();
    let requests: Vec<_> =
        (0..count).map(|index| ("HEAD", request(&format!("HEAD /{index}/0 HTTP/1.1"), "", ""))).collect();
    assert_eq!(compare(answers, &requests, whole), count);
}

#[test]
fn answers_cut_at_every_byte() {
    let answers = cut_answers();
    let mut requests = Vec::new();
    for (index, answer) in answers.iter().enumerate() {
        for cut in many_cuts(answer.len()) {
            requests.push(("GET", request(&format!("GET /{index}/{cut} HTTP/1.1"), "", "")));
        }
    }
    let compared = compare(answers, &requests, whole);
    assert!(compared > 300, "{compared}");
}
