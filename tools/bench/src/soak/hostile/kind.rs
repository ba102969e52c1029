//! What each kind of attacker sends.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::attempt::{Attempt, Then};
use super::{Means, resets};
use crate::load::Request;
use crate::origin::{REFUSED, hostile};
use crate::rig::token;
use crate::rig::token::token;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wrong signatures over kept connections, from addresses that stop before they are banned.
    WrongSignatures,
    /// HTTP/2 connections that each open and reset a thousand streams.
    RapidResets,
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
    /// One byte of a header a second.
    SlowHead,
    /// One byte of a body a second, with a valid token.
    SlowBody,
    /// A large answer that is hardly read, with a valid token.
    SlowReader,
    Silent,
    /// Silent, at the admin listener.
    SilentAdmin,
}

impl Kind {
    pub fn attempt(self, means: &Means, number: usize) -> Attempt {
        let from = means.address();
        let to = if matches!(self, Self::Admin | Self::SilentAdmin) { means.admin } else { means.gateway };
        let one = |name, opening, then| Attempt { name, from, to, opening, then };
        let asked = |name, opening| one(name, opening, Then::Answer(None));
        let valid = |request: Request| request.with("Approov-Token", &means.valid).to_bytes();
        match self {
            Self::WrongSignatures => {
                one("wrong signatures", means.refused("signature").to_bytes(), Then::AnswerKept)
            }
            Self::RapidResets => {
                one("rapid resets", resets::bytes(&means.wrong), Then::End(Duration::from_secs(5)))
            }
            Self::NewKey => {
                let token = token(token::Kind::Valid, (2 << 32) + number as u64);
                asked("new keys", Request::get("/new-key").with("Approov-Token", token).to_bytes())
            }
            Self::Offender => {
                let from = Ipv4Addr::new(127, 2, 0, (number % 4) as u8 + 1);
                Attempt { from, ..asked("offenders", means.refused("offender").to_bytes()) }
            }
            Self::Admin => {
                let path = if number.is_multiple_of(2) { "/metrics" } else { "/no-such-path" };
                let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
                asked("admin requests", request.into_bytes())
            }
            Self::Oversize => {
                let (name, request) = oversize(&means.valid, number);
                asked(name, request.into_bytes())
            }
            Self::Garbage => asked("garbage", garbage(number)),
            Self::HostileOrigin => {
                let name = hostile::NAMES[number % hostile::NAMES.len()];
                let path = format!("/hostile/{name}/{number}");
                one(name, valid(Request::get(&path)), Then::Answer(Some(path)))
            }
            Self::SlowHead => {
                let mut head = valid(Request::get(format!("{REFUSED}slow-head")));
                head.truncate(head.len() - 2);
                one("slow heads", [&head, &b"X-Slow: "[..]].concat(), Then::Drip)
            }
            Self::SlowBody => {
                let mut request = valid(Request::post("/slow-body", 100_000));
                request.truncate(request.len() - 100_000);
                one("slow bodies", request, Then::Drip)
            }
            Self::SlowReader => one("slow readers", valid(Request::get("/v1/large/8192")), Then::Sip),
            Self::Silent => one("silence", Vec::new(), Then::End(Duration::MAX)),
            Self::SilentAdmin => one("silent admin", Vec::new(), Then::End(Duration::MAX)),
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
