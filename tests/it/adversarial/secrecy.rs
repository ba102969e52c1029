//! Logs, metrics and error answers: no credentials, no broken lines, nothing about the inside.

use crate::harness::tokens::{self, SECRET_BASE64};
use crate::harness::{Gateway, Message, Origin, Setup, Then, eventually, gateway_before};

const AUTHORIZATION: &str = "Bearer aSecretOfTheUser0123456789";

/// An origin whose way of failing depends on the target.
fn failing() -> Origin {
    Origin::troubled(|exchange| match exchange.request.target.as_str() {
        "/reset" => Ok(Then::Reset),
        "/garbage" => {
            exchange.send("garbage\r\n\r\n")?;
            Ok(Then::Close)
        }
        "/echo" => {
            let head = String::from_utf8_lossy(&exchange.request.head).replace("\r\n", " ");
            exchange.send(format!("HTTP/1.1 200 OK\r\nX-Echo: {head}\r\nBad Header {head}\r\n\r\n"))?;
            Ok(Then::Close)
        }
        _ => {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")?;
            Ok(Then::Close)
        }
    })
}

/// Sends the bytes and ignores the result.
fn attack(gateway: &Gateway, bytes: &[u8]) {
    let mut client = gateway.connect();
    let _ = client.try_send(bytes);
    client.finish_sending();
    client.read_to_end();
}

/// Requests and malformed requests with `token` in every place.
fn attacks(token: &str) -> Vec<Vec<u8>> {
    let credentials = format!("Approov-Token: {token}\r\nAuthorization: {AUTHORIZATION}\r\n");
    let mut attacks: Vec<String> = ["/honest", "/reset", "/garbage", "/echo", "/cut"]
        .iter()
        .map(|target| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{credentials}\r\n"))
        .collect();
    for line in [
        format!("GET /{token} HTTP/1.1"),
        format!("GET /a/{token}/b HTTP/1.1"),
        format!("GET /?token={token} HTTP/1.1"),
        format!("GET /#{token} HTTP/1.1"),
        format!("GET {token} HTTP/1.1"),
        format!("{token} / HTTP/1.1"),
        format!("GET / {token}"),
        format!("GET /{token} \u{e9} HTTP/1.1"),
        format!("GET http://{token}/ HTTP/1.1"),
        "GET / HTTP/9.9".to_owned(),
        "garbage".to_owned(),
        "GET /\0 HTTP/1.1".to_owned(),
    ] {
        attacks.push(format!("{line}\r\nHost: a\r\n{credentials}\r\n"));
    }
    for lines in [
        format!("Host: {token}"),
        format!("Host: a\r\nHost: {token}"),
        format!("Host: a\r\nUser-Agent: {token}"),
        format!("Host: a\r\nX: {token}\0"),
        format!("Host: a\r\n{token}: x"),
        format!("Host: a\r\n{token}"),
        format!("Host: a\r\nContent-Length: {token}"),
        format!("Host: a\r\nTransfer-Encoding: {token}"),
        format!("Host: a\r\nExpect: {token}"),
        format!("Host: a\r\nConnection: Upgrade, {token}\r\nUpgrade: {token}"),
        format!("Host: a\r\nReferer: https://{token}/\r\nX-Forwarded-For: {token}"),
        format!("Host: a\r\nContent-Length: 5\r\n\r\n{token}\r\nX: y"),
        format!("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n{token}\r\n{token}\r\n"),
        format!("Host: a\r\n Approov-Token: {token}"),
        format!("Host: a\r\nApproov Token: {token}\r\nAuthorization : {AUTHORIZATION}"),
        format!("Host: a\r\n{}", "X: y\r\n".repeat(300)),
        format!("Host: a\r\nX: {}", "x".repeat(70_000)),
    ] {
        attacks.push(format!("POST / HTTP/1.1\r\n{credentials}{lines}\r\n\r\n"));
    }
    // The request ends in the middle.
    attacks.push(format!("GET / HTTP/1.1\r\nHost: a\r\n{credentials}"));
    attacks.push(format!("POST / HTTP/1.1\r\nHost: a\r\n{credentials}Content-Length: 10\r\n\r\nhal"));
    attacks.into_iter().map(String::into_bytes).collect()
}

#[test]
fn no_credential_is_in_logs_or_metrics_at_trace_level() {
    let origin = failing();
    let gateway = Setup::before(&origin)
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "1")
        .env("APPROOV_VERIFICATION_STRATEGY", "token-binding")
        .start();
    let tokens = [
        tokens::bound_to(AUTHORIZATION),
        tokens::valid(),
        tokens::expired(),
        tokens::wrongly_signed(),
        format!("{}!", tokens::valid()),
    ];
    for token in &tokens {
        for bytes in attacks(token) {
            attack(&gateway, &bytes);
        }
    }
    let honest = Message::get("/honest").token(&tokens[0]).field("Authorization", AUTHORIZATION);
    assert_eq!(gateway.ask(&honest.field("X-Last", "1")).status, 200);
    let metrics = gateway.metrics().text;
    let mut gateway = gateway;
    gateway.signal("TERM");
    gateway.wait_for_exit();
    let logs = String::from_utf8_lossy(&[gateway.stdout(), gateway.stderr()].concat()).into_owned();
    assert!(logs.contains("\"approov.reason\":\"expired\""), "the attacks are in the log");
    let mut forbidden = vec![SECRET_BASE64, &SECRET_BASE64[..20], AUTHORIZATION, &AUTHORIZATION[7..]];
    for token in &tokens {
        let segments: Vec<&str> = token.trim_end_matches('!').split('.').collect();
        forbidden.extend([token.as_str(), segments[1], segments[2], &segments[1][..24], &segments[2][..12]]);
    }
    for secret in forbidden {
        for (place, text) in [("logs", &logs), ("metrics", &metrics)] {
            if let Some(at) = text.find(secret) {
                let from = text[..at].rfind('\n').map_or(0, |from| from + 1);
                let line = text[from..].lines().next().unwrap();
                panic!("{secret:?} in the {place}: {}", line.chars().take(600).collect::<String>());
            }
        }
    }
}

#[test]
fn logged_values_cannot_break_a_line_or_control_a_terminal() {
    let origin = failing();
    let gateway = Setup::before(&origin).env("RUST_LOG", "trace").start();
    let long = "x".repeat(50_000);
    let evil = [
        "\u{1b}[2J\u{1b}[31mred",
        "%0a%0d",
        "a\\nb",
        "\"},{\"a\":\"",
        "\u{2028}\u{202e}",
        "\u{85}",
        "\u{9b}31m",
        &long,
    ];
    let mut sent = 0;
    for value in evil {
        for head in [
            format!("GET /{value} HTTP/1.1\r\nHost: a\r\n"),
            format!("GET /?{value} HTTP/1.1\r\nHost: a\r\n"),
            format!("{value} / HTTP/1.1\r\nHost: a\r\n"),
            format!("GET / {value}\r\nHost: a\r\n"),
            format!("GET / HTTP/1.1\r\nHost: {value}\r\n"),
            format!("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {value}\r\n"),
            format!("GET / HTTP/1.1\r\nHost: a\r\n{value}\r\n"),
            format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n"),
            format!("GET / HTTP/1.1\r\nHost: a\r\nApproov-Token: {value}\r\n"),
        ] {
            attack(&gateway, format!("{head}\r\n").as_bytes());
            attack(&gateway, format!("{}\n\r\n", head.replace("\r\n", "\n")).as_bytes());
            sent += 2;
        }
    }
    assert_eq!(sent, 144);
    for bytes in [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".as_slice(), b"\xff\xfe\0\0\r\n\r\n"]
    {
        attack(&gateway, bytes);
    }
    let message = Message::get("/last").field("User-Agent", &long);
    assert_eq!(gateway.ask(&message).status, 401);
    gateway.wait_for_entry(|entry| entry["url.path"] == "/last");
    let entries = gateway.entries();
    assert!(entries.len() > 30, "{}", entries.len());
    let is_unsafe =
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
    for (entry, line) in entries.iter().zip(String::from_utf8(gateway.stdout()).unwrap().lines()) {
        assert!(!line.contains(is_unsafe), "{line:?}");
        assert!(line.len() < 4096, "{} bytes", line.len());
        for (name, value) in entry.as_object().unwrap() {
            assert!(!value.as_str().is_some_and(|value| value.contains(is_unsafe)), "{name}: {value:?}");
        }
    }
    let stderr = String::from_utf8(gateway.stderr()).expect("standard error is UTF-8");
    for line in stderr.lines() {
        assert!(!line.contains(is_unsafe), "{line:?}");
        assert!(line.len() < 4096, "{} bytes: {line:.200}", line.len());
    }
}

#[test]
fn error_answers_reveal_nothing_about_the_inside() {
    let origin = failing();
    let gateway = gateway_before(&origin);
    let port = origin.port().to_string();
    for target in ["/reset", "/garbage", "/echo"] {
        let response = gateway.ask(&Message::get(target).token(&tokens::valid()));
        assert_eq!((response.status, response.text().as_str()), (502, "{}"), "{target}");
        assert!(!response.undated().contains(&port), "{}", response.undated());
        assert!(!response.undated().to_lowercase().contains("pingora"), "{}", response.undated());
    }
    for bytes in
        ["garbage\r\n\r\n", "GET /\0 HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"]
    {
        let mut client = gateway.connect();
        client.send(bytes);
        let response = client.response();
        assert_eq!(response.status, 400, "{bytes:?}");
        assert!(matches!(response.text().as_str(), "" | "{}"), "{}", response.text());
    }
    eventually("a log entry for each failure", || {
        (gateway.entries().iter().filter(|entry| entry["http.response.status_code"] == 502).count() == 3)
            .then_some(())
    });
}

#[test]
fn a_connect_gets_the_plain_answer_and_is_logged_and_counted() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (405, "{}"));
    assert_eq!(response.values("server"), [""; 0]);
    gateway.wait_for_requests(&[("verdict", "denied")], 1.0);
    gateway.wait_for_entry(|entry| entry["http.response.status_code"] == 405);
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn malformed_requests_get_the_plain_answer_and_are_logged_and_counted() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let long = "x".repeat(70_000);
    let fields = "X: y\r\n".repeat(101);
    let cases = [
        ("garbage\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nX\0: a\r\n\r\n".into(), 400),
        ("HEAD /a HTTP/1.1\r\n\r\n".into(), 400),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:80\r\n\r\n".into(), 400),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..9000]), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), 431),
    ];
    for (bytes, status) in &cases {
        let mut client = gateway.connect();
        // The gateway may answer and close before everything is sent.
        let _ = client.try_send(bytes.clone());
        let response = if bytes.starts_with("HEAD") { client.head() } else { client.response() };
        assert_eq!(response.status, *status, "{}", &bytes[..20]);
        assert_eq!(response.values("connection"), ["close"]);
        assert_eq!(response.values("date").len(), 1);
        assert_eq!(response.values("content-type"), ["application/json"]);
        if !bytes.starts_with("HEAD") {
            assert_eq!(response.text(), "{}");
        }
        assert_eq!(client.read_to_end(), b"");
    }
    gateway.wait_for_requests(&[("verdict", "denied")], cases.len() as f64);
    let entry = gateway.wait_for_entry(|entry| entry["http.request.method"] == "HEAD");
    assert_eq!((&entry["url.path"], &entry["error.type"]), (&"/a".into(), &"client_malformed".into()));
    assert_eq!(origin.requests().len(), 0);
    gateway.assert_serves(&origin);
}
