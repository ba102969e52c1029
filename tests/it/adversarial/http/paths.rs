//! Paths that the route table and the origin could read differently.

use super::{assert_malformed, head_with_token};
use crate::harness::{Gateway, Message, Origin, Setup, config_before, gateway_before, tokens};

const ROUTES: &str = "routes:
  - { path: /public/, policy: open, origin: api }
  - { path: /internal/, policy: deny, origin: api }
  - { path: /honest, policy: protect, origin: api }
  - { path: /, policy: protect, origin: api }
";

fn routed(origin: &Origin) -> Gateway {
    Setup::bare().config(&config_before(origin, ROUTES)).start()
}

/// Paths that some servers read as another path.
const AMBIGUOUS: [&str; 46] = [
    "//internal/x",
    "/public//internal/x",
    "/public/../internal/x",
    "/public/./x",
    "/public/..",
    "/public/.",
    "/public/..%20/internal/x",
    "/public/.%20%20/x",
    "/./internal/x",
    "/public/%2e%2e/internal/x",
    "/public/%2E%2E/internal/x",
    "/public/.%2e/internal/x",
    "/public/..%2finternal/x",
    "/public/..%2Finternal/x",
    "/public%2f..%2finternal/x",
    "/public/%2e./internal/x",
    "/public/..\\internal\\x",
    "/public\\..\\internal",
    "/public/..%5cinternal/x",
    "/public/..%5Cinternal/x",
    "/public/..;/internal/x",
    "/public/;/../internal/x",
    "/public;x/../internal/x",
    "/internal;x/y",
    "/public/x;y=z",
    "/public/%3b/x",
    "/%69nternal/x",
    "/int%65rnal/x",
    "/%49nternal/x",
    "/public/%252e%252e/internal/x",
    "/public/%25%32%65/x",
    "/public/%2%65/x",
    "/public/%",
    "/public/%4",
    "/public/%zz",
    "/public/%00/x",
    "/public/x%00.png",
    "/public/%0d%0aX:y",
    "/public/%7f",
    "/public/%c0%ae%c0%ae/internal/x",
    "/public/%c0%af/x",
    "/public/%e0%80%ae/x",
    "/public/%ff",
    "/public/%u002e%u002e/x",
    "/public/\u{ff0e}\u{ff0e}/internal/x",
    "/public/..%00/internal/x",
];

#[test]
fn ambiguous_paths_are_refused_if_a_route_depends_on_the_path() {
    let origin = Origin::new();
    let gateway = routed(&origin);
    for query in ["", "?a=b"] {
        let line = |path| format!("GET {path}{query} HTTP/1.1");
        assert_malformed(&gateway, &origin, AMBIGUOUS.map(|path| head_with_token(&line(path), "")));
        assert_malformed(&gateway, &origin, AMBIGUOUS.map(|path| line(path) + "\r\nHost: a\r\n\r\n"));
    }
}

#[test]
fn plain_paths_are_routed_and_forwarded_unchanged() {
    let origin = Origin::new();
    let gateway = routed(&origin);
    let cases = [
        ("/public/x", 200),
        ("/public/a%20b", 200),
        ("/public/caf%C3%A9?../../internal/x;%00//", 200),
        ("/public/x?a=//b/../c", 200),
        ("/internal/x", 401),
        ("/internal/?/public/", 401),
        ("/internal", 401),
        ("/publicx", 401),
        ("/Public/x", 401),
    ];
    for (target, status) in cases {
        assert_eq!(gateway.ask(&Message::get(target)).status, status, "{target}");
    }
    let forwarded: Vec<&str> =
        cases.iter().filter(|(_, status)| *status == 200).map(|(target, _)| *target).collect();
    assert_eq!(origin.targets(), forwarded);
    assert!(forwarded.len() > 3);
}

#[test]
fn ambiguous_paths_are_forwarded_unchanged_if_no_route_depends_on_the_path() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut expected = Vec::new();
    for path in AMBIGUOUS.into_iter().filter(|path| path.is_ascii()) {
        assert_eq!(gateway.ask(&Message::get(path).token(&tokens::valid())).status, 200, "{path}");
        assert_eq!(gateway.ask(&Message::get(path)).status, 401, "{path}");
        expected.push(path);
    }
    assert_eq!(origin.targets(), expected);
}

#[test]
fn targets_that_are_not_paths_are_refused() {
    let origin = Origin::new();
    let single = gateway_before(&origin);
    let routed = routed(&origin);
    let targets: [&[u8]; 16] = [
        b"http://gateway.test/public/x",
        b"https://gateway.test/public/x",
        b"http://evil.test/public/x",
        b"HTTP://gateway.test",
        b"http:///public/x",
        b"file:///etc/passwd",
        b"gateway.test:443",
        b"*",
        b"public/x",
        b"?x",
        b"\\public\\x",
        b"/public/x#internal",
        b"/public/#",
        b"/public/\xff",
        b"/public/\xc3\xa9",
        b"/public/x?a\xffb",
    ];
    let rest = format!(" HTTP/1.1\r\nHost: gateway.test\r\nApproov-Token: {}\r\n\r\n", tokens::valid());
    for gateway in [&single, &routed] {
        let cases = targets.map(|target| [b"GET ", target, rest.as_bytes()].concat());
        assert_malformed(gateway, &origin, cases);
    }
}

#[test]
fn malformed_request_lines_are_refused() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let lines = [
        "GET  /x HTTP/1.1",
        " GET /x HTTP/1.1",
        "GET\t/x\tHTTP/1.1",
        "GET /x",
        "GET /x HTTP/1.1 ",
        "GET /x HTTP/1.1 extra",
        "GET /x HTTP/1.2",
        "GET /x HTTP/2.0",
        "GET /x HTTP/0.9",
        "GET /x HTTP/1.10",
        "GET /x http/1.1",
        "GET /x HTTP/11",
        "GET HTTP/1.1",
        "G\u{e9}T /x HTTP/1.1",
        "G(T /x HTTP/1.1",
        "GET /x HTTP/1.1\0",
        "",
    ];
    assert_malformed(&gateway, &origin, lines.map(|line| head_with_token(line, "")));
}

/// Targets with illegal characters, and the form in which they are forwarded.
const ILLEGAL: [(&str, &str); 8] = [
    ("/public/a b", "/public/a%20b"),
    ("/public/a\tb", "/public/a%09b"),
    ("/public/ HTTP/1.1", "/public/%20HTTP/1.1"),
    ("/public/x ", "/public/x%20"),
    ("/public/\0", "/public/%00"),
    ("/public/\u{7f}", "/public/%7F"),
    ("/public/../ internal", "/public/../%20internal"),
    ("/internal /../public/x", "/internal%20/../public/x"),
];

#[test]
fn illegal_characters_in_a_target_are_routed_in_their_forwarded_form() {
    let origin = Origin::new();
    let mut forwarded = Vec::new();
    for (gateway, looks_at_paths) in [(gateway_before(&origin), false), (routed(&origin), true)] {
        for (target, escaped) in ILLEGAL {
            let before = origin.requests().len();
            let mut client = gateway.connect();
            client.send(head_with_token(&format!("GET {target} HTTP/1.1"), ""));
            let status = client.response().status;
            let ambiguous = ["%00", "%7F", "/.."].iter().any(|mark| escaped.contains(mark));
            assert!(status == 400 || status == 200 && !(looks_at_paths && ambiguous), "{target:?}: {status}");
            let arrived = origin.targets().split_off(before);
            assert_eq!(arrived, vec![escaped; usize::from(status == 200)], "{target:?}");
            forwarded.extend(arrived);
            gateway.assert_serves(&origin);
        }
    }
    assert!(
        forwarded.iter().all(|target| target.bytes().all(|byte| byte.is_ascii_graphic())),
        "{forwarded:?}"
    );
}
