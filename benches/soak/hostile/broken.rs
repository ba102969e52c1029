//! What no honest client sends.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::super::origin::REFUSED;
use super::attack::{Attack, ask, at_rate};
use super::tally::Outcome;

/// Streams that one connection opens and resets.
const STREAMS: u32 = 1000;

/// For how long an attacker waits to be cut off.
const PATIENCE: Duration = Duration::from_secs(5);

/// HTTP/2 connections on which each request is reset as soon as it is sent.
pub async fn rapid_resets(attack: Rc<Attack>, rate: u32) {
    let flood: Rc<[u8]> = resets(&attack.wrong).into();
    at_rate(rate, |_| {
        let (attack, flood) = (attack.clone(), flood.clone());
        async move {
            let outcome = match timeout(PATIENCE, until_the_end(&attack, &flood)).await {
                Ok(Ok(())) => Outcome::Closed,
                Ok(Err(error)) => Outcome::of(&error),
                Err(_) => Outcome::Ignored,
            };
            attack.count("rapid resets", outcome);
        }
    })
    .await;
}

/// Sends as much as is taken, and reads until the connection ends.
async fn until_the_end(attack: &Attack, bytes: &[u8]) -> io::Result<()> {
    let (mut reader, mut writer) = attack.connect().await?.into_split();
    let send = async {
        // The gateway may hang up at any point of it.
        let _ = writer.write_all(bytes).await;
    };
    let receive = async {
        let mut buffer = [0; 4096];
        while reader.read(&mut buffer).await? > 0 {}
        Ok(())
    };
    tokio::join!(send, receive).1
}

/// The preface, and then each stream opened and reset (RFC 9113 §6.4).
fn resets(token: &str) -> Vec<u8> {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const END_STREAM_AND_HEADERS: u8 = 5;
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let path = format!("{REFUSED}reset");
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path.as_str()),
        ("approov-token", token),
    ] {
        block.push(0); // A literal that is not indexed (RFC 7541 §6.2.2).
        for text in [name, value] {
            text_length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    for stream in (1..2 * STREAMS).step_by(2) {
        frame(&mut bytes, HEADERS, END_STREAM_AND_HEADERS, stream, &block);
        frame(&mut bytes, RST_STREAM, 0, stream, &CANCEL);
    }
    bytes
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn text_length(length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// Heads, targets, fields, tokens and bodies that are too large; the token is good where that is
/// needed to be refused for the size.
pub async fn oversize(attack: Rc<Attack>, rate: u32) {
    let line = |target: &str| format!("{target} HTTP/1.1\r\nHost: a\r\n");
    let get = line(&format!("GET {REFUSED}size"));
    let good = format!("Approov-Token: {}\r\n", attack.good);
    let fields: String = (0..300).map(|number| format!("X-{number}: x\r\n")).collect();
    let requests: [(&str, String); 6] = [
        ("large heads", format!("{get}{good}X: {}\r\n\r\n", "x".repeat(100_000))),
        ("many fields", format!("{get}{good}{fields}\r\n")),
        ("long targets", line(&format!("GET {REFUSED}{}", "x".repeat(16_000))) + &good + "\r\n"),
        ("long tokens", format!("{get}Approov-Token: {}\r\n\r\n", "x".repeat(32_000))),
        ("large bodies", line(&format!("POST {REFUSED}size")) + &good + "Content-Length: 3000000000\r\n\r\n"),
        (
            "bodies without a token",
            line(&format!("POST {REFUSED}size"))
                + "Transfer-Encoding: chunked\r\n\r\n"
                + &format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(64),
        ),
    ];
    let requests = Rc::new(requests);
    at_rate(rate, |number| {
        let (attack, requests) = (attack.clone(), requests.clone());
        async move {
            let (kind, request) = &requests[number % requests.len()];
            let outcome = match attack.connect().await {
                Ok(mut stream) => ask(&mut stream, request.as_bytes()).await,
                Err(error) => Outcome::of(&error),
            };
            attack.count(kind, outcome);
        }
    })
    .await;
}

/// Bytes that are no HTTP, or only look like it.
pub async fn garbage(attack: Rc<Attack>, rate: u32) {
    let noise = |seed: u32| -> Vec<u8> {
        let next = |state: &u32| Some(state.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15));
        std::iter::successors(Some(seed), next).take(1500).map(|state| (state >> 24) as u8).collect()
    };
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(1)].concat();
    let pieces = Rc::new([
        noise(7),
        hello,
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        b"\n\n\n\n\r\n\r\n".to_vec(),
        b"GET /refused/\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        vec![0; 2000],
    ]);
    at_rate(rate, |number| {
        let (attack, pieces) = (attack.clone(), pieces.clone());
        async move {
            let outcome = match attack.connect().await {
                Ok(mut stream) => ask(&mut stream, &pieces[number % pieces.len()]).await,
                Err(error) => Outcome::of(&error),
            };
            attack.count("garbage", outcome);
        }
    })
    .await;
}
