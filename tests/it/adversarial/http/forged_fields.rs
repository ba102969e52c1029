//! Fields that only the gateway may set, and the fields on which its decisions depend.

use super::head_with_token;
use crate::harness::{
    Gateway, Message, Origin, Request, Setup, config_before, gateway_before, latin1, tokens,
};

const FORGED: &str = "203.0.113.66";

/// Names that the gateway sets, trusts or removes, and their look-alikes.
fn forged_names() -> Vec<String> {
    let names = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "Forwarded",
        "X-Real-IP",
        "CF-Connecting-IP",
        "True-Client-IP",
        "Fastly-Client-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "Forwarded-For",
        "X-Forwarded",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Original-URI",
        "X-Envoy-Original-Path",
        "X-HTTP-DestinationURL",
        "Client-IP",
        "X-ClientIP",
        "X-Remote-IP",
        "X-Remote-Addr",
        "X-Originating-IP",
        "X-Original-Forwarded-For",
        "Proxy-Client-IP",
        "WL-Proxy-Client-IP",
        "Fly-Client-IP",
        "X-Azure-ClientIP",
        "CF-Connecting-IPv6",
        "CF-Pseudo-IPv4",
        "X-Envoy-External-Address",
        "X-ProxyUser-Ip",
        "X-Original-Host",
        "X-Host",
        "Proxy",
        "Client-Cert",
        "SSL-Client-Cert",
        "X-SSL-Client-Verify",
        "X-Client-Cert",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
    ];
    let mut all: Vec<String> = Vec::new();
    for name in names {
        all.extend([name.to_owned(), name.to_uppercase(), name.to_lowercase()]);
        let odd = ["_", ".", "~", "!", "+", "*", "|"].map(|odd| name.replace('-', odd));
        for look_alike in odd.into_iter().chain([name.replacen('-', "_", 1)]) {
            if look_alike != name {
                all.push(look_alike);
            }
        }
    }
    all
}

fn assert_true_forwarding(request: &Request) {
    assert_eq!(request.values("x-forwarded-for"), ["127.0.0.1"], "{}", latin1(&request.head));
    assert_eq!(request.values("x-forwarded-proto"), ["http"]);
    assert_eq!(request.values("x-forwarded-host"), ["gateway.test"]);
    assert!(!latin1(&request.head).contains(FORGED), "{}", latin1(&request.head));
}

#[test]
fn forwarding_fields_of_a_client_never_reach_the_origin() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let names = forged_names();
    assert!(names.len() > 40);
    for name in &names {
        let one = Message::get("/").token(&tokens::valid()).field(name, FORGED);
        assert_eq!(gateway.ask(&one).status, 200, "{name}");
        assert_true_forwarding(&origin.requests().pop().unwrap());
    }
    let batches = names.chunks(80);
    let expected = names.len() + batches.len();
    for names in batches {
        let message = Message::get("/").token(&tokens::valid());
        let message = names.iter().fold(message, |message, name| message.field(name, FORGED));
        assert_eq!(gateway.ask(&message).status, 200);
        assert_true_forwarding(&origin.requests().pop().unwrap());
    }
    assert_eq!(origin.requests().len(), expected);
}

#[test]
fn a_client_cannot_remove_forwarding_fields_by_naming_them_in_connection() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for nominated in [
        "X-Forwarded-For",
        "x-forwarded-for, x-forwarded-proto, x-forwarded-host",
        "close, X-Forwarded-For, Host",
        "keep-alive, X-Forwarded-Host\r\nConnection: X-Forwarded-For",
    ] {
        let lines = format!("Connection: {nominated}\r\nX-Forwarded-For: {FORGED}\r\n");
        let mut client = gateway.connect();
        client.send(head_with_token("GET / HTTP/1.1", &lines));
        assert_eq!(client.response().status, 400, "{nominated}");
        assert_eq!(origin.bytes(), 0, "{nominated}");
    }
    let others = Message::get("/").token(&tokens::valid()).field("X-Real-IP", FORGED);
    let others = others.field("Connection", "X-Real-IP, X_Forwarded_For, X-Other").field("X-Other", "1");
    assert_eq!(gateway.ask(&others).status, 200);
    assert_true_forwarding(&origin.only_request());
}

#[test]
fn a_forged_address_is_not_logged_as_the_clients() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let message = Message::get("/forged")
        .token(&tokens::valid())
        .field("X-Forwarded-For", FORGED)
        .field("Forwarded", &format!("for={FORGED}"))
        .field("X-Real-IP", FORGED);
    assert_eq!(gateway.ask(&message).status, 200);
    let entry = gateway.wait_for_entry(|entry| entry["url.path"] == "/forged");
    assert_eq!(entry["client.address"], "127.0.0.1");
    assert!(!entry.to_string().contains(FORGED), "{entry}");
}

#[test]
fn a_token_named_in_connection_is_verified_and_removed() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for (token, status) in [(tokens::valid(), 200), (tokens::wrongly_signed(), 401), (String::new(), 401)] {
        let message = Message::get("/").token(&token).field("Connection", "Approov-Token");
        assert_eq!(gateway.ask(&message).status, status);
    }
    assert!(!origin.only_request().has("approov-token"));
}

fn binding_to_device(origin: &Origin) -> Gateway {
    let config = config_before(origin, "").replace(
        "approov:\n",
        "approov:\n  strategy: token-binding\n  binding: { headers: [Authorization, X-Device-Id] }\n",
    );
    Setup::bare().config(&config).start()
}

#[test]
fn look_alikes_of_the_token_and_of_bound_fields_are_ignored_and_removed() {
    let origin = Origin::new();
    let gateway = binding_to_device(&origin);
    let token = tokens::bound_to("Bearer abcone");
    let good =
        Message::get("/").token(&token).field("Authorization", "Bearer abc").field("X-Device-Id", "one");
    let look_alikes = [
        "Approov_Token",
        "approov.token",
        "X_Device_Id",
        "X.Device.Id",
        "X-Device_Id",
        "x_device-id",
        "X~Device!Id",
        "Approov+Token",
    ];
    for name in look_alikes {
        assert_eq!(gateway.ask(&good.clone().field(name, "two")).status, 200, "{name}");
        let request = origin.requests().pop().unwrap();
        assert!(!request.has(name), "{}", latin1(&request.head));
        assert_eq!(request.values("x-device-id"), ["one"]);
        assert_eq!(request.values("authorization"), ["Bearer abc"]);
    }
    assert_eq!(origin.requests().len(), look_alikes.len());
    for missing in ["Approov-Token", "X-Device-Id"] {
        for name in [missing.replace('-', "_"), missing.replace('-', ".")] {
            let swap = |field: &str| if field == missing { name.clone() } else { field.to_owned() };
            let message = Message::get("/")
                .field(&swap("Approov-Token"), &token)
                .field("Authorization", "Bearer abc")
                .field(&swap("X-Device-Id"), "one");
            assert_eq!(gateway.ask(&message).status, 401, "{name}");
        }
    }
    assert_eq!(origin.requests().len(), look_alikes.len());
}

#[test]
fn a_token_sent_twice_in_any_way_is_refused() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    let (valid, bad) = (tokens::valid(), tokens::wrongly_signed());
    let base = Message::get("/");
    let messages = [
        base.clone().token(&valid).token(&valid),
        base.clone().token(&valid).token(&bad),
        base.clone().token(&bad).token(&valid),
        base.clone().token(&valid).token(""),
        base.clone().token("").token(&valid),
        base.clone().token(&valid).field("approov-token", &valid),
        base.clone().field("APPROOV-TOKEN", &bad).field("X-Between", "1").token(&valid),
        base.clone().token(&format!("{valid},{valid}")),
        base.clone().token(&format!("{valid}, {bad}")),
        base.clone().token(&format!("{valid},")),
        base.clone().token(&format!(",{valid}")),
        base.clone().token(&format!("{valid} {valid}")),
        base.clone().token(&format!("{valid};{valid}")),
        base.token(&format!("\"{valid}\"")),
    ];
    for message in &messages {
        assert_eq!(gateway.ask(message).status, 401, "{message:?}");
    }
    gateway.wait_for_requests(&[("verdict", "rejected")], 14.0);
    gateway.assert_serves(&origin);
    assert_eq!(origin.targets(), ["/honest"]);
}

#[test]
fn a_bound_field_that_is_repeated_empty_or_joined_is_refused() {
    let origin = Origin::new();
    let gateway = binding_to_device(&origin);
    let good = || Message::get("/").token(&tokens::bound_to("Bearer abcone"));
    let messages = [
        good().field("Authorization", "Bearer abc").field("X-Device-Id", "one").field("x-device-id", "one"),
        good().field("Authorization", "Bearer abc").field("authorization", "x").field("X-Device-Id", "one"),
        good().field("Authorization", "").field("X-Device-Id", "Bearer abcone"),
        good().field("Authorization", "Bearer abcone").field("X-Device-Id", ""),
        good().field("Authorization", "Bearer abcone"),
        good().field("Authorization", "Bearer abc, x").field("X-Device-Id", "one"),
        good().field("Authorization", "bearer abc").field("X-Device-Id", "one"),
    ];
    for message in &messages {
        assert_eq!(gateway.ask(message).status, 401, "{message:?}");
    }
    assert_eq!(origin.bytes(), 0);
    let trimmed = good().field("Authorization", " \tBearer abc \t").field("X-Device-Id", "  one ");
    assert_eq!(gateway.ask(&trimmed).status, 200);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn bound_fields_reach_the_origin_even_if_named_in_connection() {
    let origin = Origin::new();
    let gateway = binding_to_device(&origin);
    let message = Message::get("/")
        .token(&tokens::bound_to("Bearer abcone"))
        .field("Authorization", "Bearer abc")
        .field("X-Device-Id", "one")
        .field("Connection", "X-Device-Id, Authorization");
    let status = gateway.ask(&message).status;
    // Without the bound field the origin would decide on less than was verified. A refusal is fine.
    assert!(matches!(status, 200 | 400), "{status}");
    for request in origin.requests() {
        assert_eq!(request.values("x-device-id"), ["one"], "{}", latin1(&request.head));
        assert_eq!(request.values("authorization"), ["Bearer abc"]);
    }
}

#[test]
fn trailers_of_a_client_add_no_field_to_its_request() {
    let origin = Origin::new();
    let gateway = gateway_before(&origin);
    for name in ["X-Forwarded-For", "Approov-Token", "Authorization", "Host", "Content-Length", "X-Other"] {
        let mut client = gateway.connect();
        let lines = format!("Transfer-Encoding: chunked\r\nTrailer: {name}\r\n");
        client.send(head_with_token("POST / HTTP/1.1", &lines));
        client.send(format!("5\r\nhello\r\n0\r\n{name}: {FORGED}\r\n\r\n"));
        let status = client.response().status;
        assert!(matches!(status, 200 | 400), "{name}: {status}");
        if status == 200 {
            let request = origin.requests().pop().unwrap();
            assert_eq!((request.body.as_slice(), request.trailers.len()), (b"hello".as_slice(), 0), "{name}");
            assert_true_forwarding(&request);
        }
        gateway.assert_serves(&origin);
    }
    // A token in the trailers does not count.
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let _ = client.try_send(format!("0\r\nApproov-Token: {}\r\n\r\n", tokens::valid()));
    assert_eq!(client.response().status, 401);
    assert_eq!(origin.count("/honest"), 6);
}

#[test]
fn a_field_that_the_operator_keeps_reaches_the_origin_in_its_own_spelling_only() {
    let origin = Origin::new();
    let config = config_before(&origin, "forward_headers: [X-HTTP-Method-Override, X-Client-Cert]\n");
    let gateway = Setup::bare().config(&config).start();
    let message = Message::get("/")
        .token(&tokens::valid())
        .field("x-http-METHOD-override", "PUT")
        .field("X_HTTP_Method_Override", "DELETE")
        .field("X-Client-Cert", "kept")
        .field("X.Client.Cert", FORGED)
        .field("X-Real-IP", FORGED);
    assert_eq!(gateway.ask(&message).status, 200);
    let request = origin.only_request();
    assert_eq!(request.values("x-http-method-override"), ["PUT"]);
    assert_eq!(request.values("x-client-cert"), ["kept"]);
    assert!(!latin1(&request.head).contains("DELETE"), "{}", latin1(&request.head));
    assert_true_forwarding(&request);
}
