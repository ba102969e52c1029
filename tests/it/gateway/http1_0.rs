//! Clients with HTTP/1.0.

use crate::harness::{Origin, Then, gateway_before, tokens};

#[test]
fn an_http_1_0_client_is_served_and_its_connection_closed() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for host in ["", "Host: a\r\n", "Connection: close\r\n"] {
        let mut client = gateway.connect();
        client.send(format!("GET / HTTP/1.0\r\n{host}Approov-Token: {}\r\n\r\n", tokens::valid()));
        assert_eq!(client.response().text(), "hello", "{host:?}");
        client.assert_closed();
        assert_eq!(origin.requests().pop().unwrap().values("host"), [origin.authority()]);
    }
    assert_eq!(origin.requests().len(), 3);
}

#[test]
fn an_http_1_0_client_gets_no_chunked_body() {
    let origin = Origin::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    client.send(format!("GET / HTTP/1.0\r\nApproov-Token: {}\r\n\r\n", tokens::valid()));
    let answer = String::from_utf8(client.read_to_end()).unwrap();
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("transfer-encoding"), "{answer}");
}

#[test]
fn an_http_1_0_client_gets_no_interim_answer() {
    let origin = Origin::scripted(|exchange| {
        assert!(!exchange.request.has("expect"));
        exchange.body()?;
        exchange.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")?;
        exchange.answer("200 OK", "hello")
    });
    let gateway = gateway_before(&origin);
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send(format!(
            "POST / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nApproov-Token: {}\r\n\
             Content-Length: 4\r\n\r\nbody",
            tokens::valid()
        ));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    }
}
