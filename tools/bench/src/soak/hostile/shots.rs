//! Attempts at a rate, each over a new connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use super::attack::{Attack, ask, at_rate};
use super::tally::Outcome;
use crate::load::{Http1, Request, connect};
use crate::origin::REFUSED;
use crate::origin::hostile;
use crate::rig::token::{Kind, token};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shot {
    /// A valid token of a new device at a new address.
    NewKey,
    /// A wrong signature from one of four addresses that do not stop.
    Offender,
    /// A request to the admin listener, for metrics or for a path that does not exist.
    Admin,
    /// A head, target, field, token or body that is too large.
    Oversize,
    /// Bytes that are not HTTP, or only resemble it.
    Garbage,
    /// A request that a hostile origin answers. Every seventh answer of this origin is good, but may
    /// arrive over a pooled connection that holds a second answer.
    HostileOrigin,
}

struct Attempt {
    name: &'static str,
    from: Ipv4Addr,
    to: SocketAddr,
    bytes: Vec<u8>,
    /// The body of an answer with status 200.
    body: Option<String>,
}

/// Makes `rate` attempts a second.
pub async fn fire(attack: Rc<Attack>, shot: Shot, rate: u32) {
    at_rate(rate, |number| {
        let attack = attack.clone();
        async move {
            let attempt = attempt(&attack, shot, number);
            let outcome = match connect(attempt.from, attempt.to).await {
                Err(error) => Outcome::of(&error),
                Ok(stream) => {
                    let mut client = Http1::over(Box::new(stream)).with_body();
                    let outcome = ask(&mut client, &attempt.bytes).await;
                    let is_other = |body: String| client.answer().body() != body.as_bytes();
                    let is_poisoned = outcome == Outcome::Status(200) && attempt.body.is_some_and(is_other);
                    if is_poisoned { Outcome::Poisoned } else { outcome }
                }
            };
            attack.count(attempt.name, outcome);
        }
    })
    .await;
}

fn attempt(attack: &Attack, shot: Shot, number: usize) -> Attempt {
    let from = attack.address();
    let usual = |name, bytes| Attempt { name, from, to: attack.gateway, bytes, body: None };
    match shot {
        Shot::NewKey => {
            let token = token(Kind::Valid, (2 << 32) + number as u64);
            usual("new keys", Request::get("/new-key").with("Approov-Token", token).to_bytes())
        }
        Shot::Offender => {
            let from = Ipv4Addr::new(127, 2, 0, (number % 4) as u8 + 1);
            Attempt { from, ..usual("offenders", attack.refused("offender").to_bytes()) }
        }
        Shot::Admin => {
            let path = if number.is_multiple_of(2) { "/metrics" } else { "/no-such-path" };
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            Attempt { to: attack.admin, ..usual("admin requests", request.into_bytes()) }
        }
        Shot::Oversize => {
            let (name, request) = oversize(&attack.valid, number);
            usual(name, request.into_bytes())
        }
        Shot::Garbage => usual("garbage", garbage(number)),
        Shot::HostileOrigin => {
            let kind = hostile::Kind::ALL.get(number % (hostile::Kind::ALL.len() + 1));
            let name = kind.map_or("good-answer", |kind| kind.name());
            let path = format!("/hostile/{name}/{number}");
            let request = Request::get(&path).with("Approov-Token", &attack.valid);
            Attempt { body: Some(path), ..usual(name, request.to_bytes()) }
        }
    }
}

/// The token is valid where the size alone has to be the reason of the refusal.
fn oversize(valid: &str, number: usize) -> (&'static str, String) {
    let line = |target: &str| format!("{target} HTTP/1.1\r\nHost: a\r\n");
    let (get, post) = (line(&format!("GET {REFUSED}size")), line(&format!("POST {REFUSED}size")));
    let valid = format!("Approov-Token: {valid}\r\n");
    match number % 6 {
        0 => ("large heads", format!("{get}{valid}X: {}\r\n\r\n", "x".repeat(100_000))),
        1 => {
            let fields: String = (0..300).map(|number| format!("X-{number}: x\r\n")).collect();
            ("many fields", format!("{get}{valid}{fields}\r\n"))
        }
        2 => ("long targets", line(&format!("GET {REFUSED}{}", "x".repeat(16_000))) + &valid + "\r\n"),
        3 => ("long tokens", format!("{get}Approov-Token: {}\r\n\r\n", "x".repeat(32_000))),
        4 => ("large bodies", format!("{post}{valid}Content-Length: 3000000000\r\n\r\n")),
        _ => {
            let chunks = format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(64);
            ("bodies without a token", format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunks}"))
        }
    }
}

fn garbage(number: usize) -> Vec<u8> {
    let noise = |seed: u32| -> Vec<u8> {
        let next = |state: &u32| Some(state.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15));
        std::iter::successors(Some(seed), next).take(1500).map(|state| (state >> 24) as u8).collect()
    };
    match number % 7 {
        0 => noise(7),
        // The beginning of a TLS handshake, and then noise.
        1 => [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(1)].concat(),
        2 => b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        3 => b"\n\n\n\n\r\n\r\n".to_vec(),
        4 => b"GET /refused/\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        5 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        _ => vec![0; 2000],
    }
}
