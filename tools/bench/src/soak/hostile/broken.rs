//! Requests that are too large, and bytes that are not HTTP.

use std::rc::Rc;

use super::attack::{Attack, at_rate};
use crate::origin::REFUSED;

/// Heads, targets, fields, tokens and bodies that are too large. The token is valid where the size alone
/// has to be the reason.
pub async fn oversize(attack: Rc<Attack>, rate: u32) {
    let line = |target: &str| format!("{target} HTTP/1.1\r\nHost: a\r\n");
    let get = line(&format!("GET {REFUSED}size"));
    let valid = format!("Approov-Token: {}\r\n", attack.valid);
    let fields: String = (0..300).map(|number| format!("X-{number}: x\r\n")).collect();
    let requests: [(&str, String); 6] = [
        ("large heads", format!("{get}{valid}X: {}\r\n\r\n", "x".repeat(100_000))),
        ("many fields", format!("{get}{valid}{fields}\r\n")),
        ("long targets", line(&format!("GET {REFUSED}{}", "x".repeat(16_000))) + &valid + "\r\n"),
        ("long tokens", format!("{get}Approov-Token: {}\r\n\r\n", "x".repeat(32_000))),
        (
            "large bodies",
            line(&format!("POST {REFUSED}size")) + &valid + "Content-Length: 3000000000\r\n\r\n",
        ),
        (
            "bodies without a token",
            line(&format!("POST {REFUSED}size"))
                + "Transfer-Encoding: chunked\r\n\r\n"
                + &format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(64),
        ),
    ];
    send(attack, rate, requests.map(|(kind, request)| (kind, request.into_bytes())).into()).await;
}

/// Bytes that are not HTTP, or only resemble it.
pub async fn garbage(attack: Rc<Attack>, rate: u32) {
    let noise = |seed: u32| -> Vec<u8> {
        let next = |state: &u32| Some(state.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15));
        std::iter::successors(Some(seed), next).take(1500).map(|state| (state >> 24) as u8).collect()
    };
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(1)].concat();
    let pieces = [
        noise(7),
        hello,
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        b"\n\n\n\n\r\n\r\n".to_vec(),
        b"GET /refused/\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        vec![0; 2000],
    ];
    send(attack, rate, pieces.map(|piece| ("garbage", piece)).into()).await;
}

async fn send(attack: Rc<Attack>, rate: u32, requests: Vec<(&'static str, Vec<u8>)>) {
    let requests = Rc::new(requests);
    at_rate(rate, |number| {
        let (attack, requests) = (attack.clone(), requests.clone());
        async move {
            let (kind, request) = &requests[number % requests.len()];
            attack.count(kind, attack.attempt(request).await);
        }
    })
    .await;
}
