//! Honest requests: what reaches the origin, and what the client gets.

use std::sync::Mutex;
use std::sync::mpsc;

use crate::harness::{Message, Origin, Setup, Then, gateway_before, get, post, tokens};

#[test]
fn forwards_path_and_query_byte_for_byte() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let targets = [
        "/",
        "/a/b/c.json",
        "/?",
        "/a?",
        "/a?b?c",
        "/a?b=c&d=e&d=f&=",
        "/a?next=https://other.test/x?y",
        "/-._~!$&'()*+,;=:@",
        "/a%20b/%41%2f%2F%5c/%C3%A9/%ff",
        "/a//b///c/",
        "/./a/../b/.",
        "/a;v=1/b;c,d",
        "/%00%0d%0a",
        "/a?%00%0d%0a/../",
    ];
    for target in targets {
        assert_eq!(gateway.ask(&get(target)).status, 200, "{target}");
    }
    assert_eq!(origin.targets(), targets);
}

#[test]
fn forwards_every_method_unchanged() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH", "get"];
    let mut client = gateway.connect();
    for method in methods {
        let response = client.ask(&Message::new(method, "/x").token(&tokens::valid()));
        assert_eq!(response.status, 200, "{method}");
    }
    let arrived: Vec<String> = origin.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(arrived, methods);
}

#[test]
fn names_the_api_as_host_and_the_client_in_forwarding_fields() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    gateway.ask(&get("/").host("api.gateway.test:8443"));
    let request = origin.only_request();
    assert_eq!(request.values("host"), [origin.authority()]);
    assert_eq!(request.values("x-forwarded-host"), ["api.gateway.test:8443"]);
    assert_eq!(request.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.values("x-forwarded-proto"), ["http"]);
}

#[test]
fn end_to_end_fields_pass_in_both_directions() {
    let origin = Origin::scripted(|exchange| {
        exchange.send(
            "HTTP/1.1 201 Made Up\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nX-Odd: \"\\ \u{e9}\r\n\
             ETag: W/\"x\"\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
        )?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    let request = get("/")
        .field("Authorization", "Bearer abc")
        .field("Approov-TraceID", "trace")
        .field("Cookie", "a=1; b=2")
        .field("X-Many", "one")
        .field("X-Many", "two, three")
        .field("Keep-Alive", "timeout=1");
    let response = gateway.ask(&request);
    assert_eq!((response.status, response.text().as_str()), (201, "ok"));
    assert_eq!(response.values("set-cookie"), ["a=1; Path=/", "b=2"]);
    assert_eq!(response.values("etag"), ["W/\"x\""]);
    assert_eq!(response.values("x-odd").len(), 1);
    assert_eq!(response.values("keep-alive"), [""; 0]);
    let request = origin.only_request();
    assert_eq!(request.values("authorization"), ["Bearer abc"]);
    assert_eq!(request.values("approov-traceid"), ["trace"]);
    assert_eq!(request.values("cookie"), ["a=1; b=2"]);
    assert_eq!(request.values("x-many"), ["one", "two, three"]);
    assert_eq!(request.values("keep-alive"), [""; 0]);
}

#[test]
fn uploads_are_streamed() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let head = |framing: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nApproov-Token: {}\r\n{framing}\r\n\r\n", tokens::valid())
    };
    let mut client = gateway.connect();
    client.send(head("Content-Length: 6"));
    for sent in ["on", "ontw", "ontwth"] {
        client.send(&sent[sent.len() - 2..]);
        origin.wait_until(sent, |record| record.requests.first().is_some_and(|r| r.body == sent.as_bytes()));
    }
    assert_eq!(client.response().text(), "hello");
    client.send(head("Transfer-Encoding: chunked"));
    for sent in ["on", "ontw", "ontwth"] {
        client.send(format!("2\r\n{}\r\n", &sent[sent.len() - 2..]));
        origin.wait_until(sent, |record| record.requests.get(1).is_some_and(|r| r.body == sent.as_bytes()));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "hello");
    assert_eq!(origin.requests()[1].values("content-length"), [""; 0]);
}

#[test]
fn downloads_are_streamed() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::scripted(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for piece in ["one", "two", "six"] {
            exchange.send(format!("3\r\n{piece}\r\n"))?;
            wait.lock().unwrap().recv().unwrap();
        }
        exchange.send("0\r\n\r\n")?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(get("/").bytes());
    assert_eq!(client.head().status, 200);
    for piece in ["one", "two", "six"] {
        assert_eq!(client.chunk().unwrap(), piece.as_bytes());
        go_on.send(()).unwrap();
    }
    assert_eq!(client.chunk(), None);
}

#[test]
fn a_chunked_body_with_extensions_and_trailers_arrives_as_the_same_body() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nApproov-Token: {}\r\nTransfer-Encoding: Chunked\r\n\r\n\
         5;name=value\r\nhello\r\n0006\r\n world\r\n000\r\nX-Sum: 1\r\n\r\n",
        tokens::valid()
    ));
    assert_eq!(client.response().status, 200);
    assert_eq!(origin.only_request().body, b"hello world");
    assert_eq!(client.ask(&get("/next")).status, 200);
    assert_eq!(origin.targets(), ["/", "/next"]);
}

#[test]
fn an_answer_with_trailers_is_complete_and_the_connection_stays_open() {
    let origin = Origin::troubled(|exchange| {
        exchange.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        )?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.ask(&get("/"));
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    }
    assert_eq!(client.ask(&get("/honest")).status, 200);
}

#[test]
fn answers_without_a_body_keep_the_connection_open() {
    let origin = Origin::troubled(|exchange| {
        let status = exchange.request.target.trim_start_matches('/').to_owned();
        let length = if exchange.request.method == "HEAD" { "Content-Length: 5\r\n" } else { "" };
        exchange.send(format!("HTTP/1.1 {status} X\r\nETag: \"x\"\r\n{length}\r\n"))?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404), ("DELETE", 204)] {
        let response = client.ask(&Message::new(method, &format!("/{status}")).token(&tokens::valid()));
        assert_eq!(response.status, status, "{method} {status}");
        assert_eq!(response.values("etag"), ["\"x\""]);
        assert_eq!(response.values("transfer-encoding"), [""; 0], "{method} {status}");
        if method == "HEAD" {
            assert_eq!(response.values("content-length"), ["5"]);
        }
    }
    assert_eq!(client.ask(&get("/honest")).text(), "hello");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_answer_framed_by_the_end_of_the_connection_is_passed_on() {
    let origin = Origin::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\n\r\nuntil the end")?;
        Ok(Then::Close)
    });
    let gateway = gateway_before(&origin);
    let response = gateway.ask(&get("/"));
    assert_eq!((response.status, response.text().as_str()), (200, "until the end"));
}

#[test]
fn early_hints_arrive_before_the_answer() {
    let origin = Origin::scripted(|exchange| {
        exchange.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")?;
        exchange.answer("200 OK", "hello")
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(get("/").bytes());
    let hints = client.response();
    assert_eq!(hints.status, 103);
    assert_eq!(hints.values("link"), ["</style.css>; rel=preload"]);
    assert_eq!(client.response().text(), "hello");
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it_before_it_sends_the_body() {
    let origin = Origin::scripted(|exchange| {
        if exchange.request.has("expect") {
            exchange.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        exchange.body()?;
        exchange.answer("200 OK", "hello")
    });
    let gateway = gateway_before(&origin);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nApproov-Token: {}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        tokens::valid()
    );
    for index in 0..2 {
        let mut client = gateway.connect();
        client.send(&head);
        assert_eq!(client.response().status, 100);
        client.send("body");
        assert_eq!(client.response().text(), "hello");
        assert_eq!(origin.requests()[index].body, b"body");
    }
}

#[test]
fn connections_are_reused_on_both_sides() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.ask(&get("/")).status, 200);
        assert_eq!(client.ask(&post("/", "body")).status, 200);
    }
    for _ in 0..3 {
        assert_eq!(gateway.ask(&get("/")).status, 200);
    }
    assert_eq!(origin.requests().len(), 9);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_answer_without_a_body_has_no_framing_fields() {
    let origin = Origin::troubled(|exchange| {
        exchange.send(match exchange.request.target.as_str() {
            "/100" => {
                "HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n"
            }
            _ => {
                "HTTP/1.1 102 X\r\nTransfer-Encoding: chunked\r\n\r\n\
                  HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n"
            }
        })?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    for target in ["/100", "/102"] {
        client.send(get(target).bytes());
        for _ in 0..2 {
            let answer = client.response();
            let framing = [answer.values("content-length"), answer.values("transfer-encoding")].concat();
            assert_eq!(framing, [""; 0], "{target}: {}", answer.status);
        }
    }
    assert_eq!(client.ask(&get("/honest")).text(), "hello");
}

#[test]
fn a_websocket_is_a_tunnel_until_one_side_closes() {
    let origin = Origin::troubled(|exchange| {
        assert_eq!(exchange.request.values("upgrade"), ["websocket"]);
        exchange.switch_protocols()?;
        exchange.echo()
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    let response = client.ask(&get("/chat").websocket());
    assert_eq!(response.status, 101);
    assert_eq!(response.values("upgrade"), ["websocket"]);
    for frame in ["\u{81}\u{2}hi", "GET / HTTP/1.1\r\n\r\n", &"x".repeat(100_000)] {
        client.send(frame);
        assert_eq!(client.exactly(frame.len()), frame.as_bytes());
    }
    assert_eq!(origin.only_request().values("approov-token"), [""; 0]);
    drop(client);
    origin.wait_until("the end of the tunnel", |record| record.ended == 1);
    gateway.assert_serves(&origin);
}

#[test]
fn the_apis_domain_may_be_a_name() {
    let origin = Origin::new();
    let domain = format!("http://localhost:{}", origin.port());
    let gateway = Setup::before(&origin).env("API_DOMAIN", &domain).start();
    gateway.assert_serves(&origin);
    assert_eq!(origin.only_request().values("host"), [format!("localhost:{}", origin.port())]);
}
