//! The choice of an address for a request.

use super::{at, counted, gateway, get, saying};
use crate::harness::{Gate, Message, Origin, tokens};

#[test]
fn each_address_gets_requests_by_its_weight() {
    let origins = [saying("one"), saying("two"), saying("three")];
    let ports = origins.each_ref().map(Origin::port);
    let gateway = gateway(&format!(
        "domain: \"http://api.test:{}\", addresses: [ {{ address: 127.0.0.1, weight: 2 }}, \
         \"127.0.0.1:{}\", {{ address: \"127.0.0.1:{}\", weight: 1 }} ]",
        ports[0], ports[1], ports[2],
    ));
    for _ in 0..12 {
        assert_eq!(gateway.ask(&get("/")).status, 200);
    }
    assert_eq!(origins.each_ref().map(|origin| origin.requests().len()), [6, 3, 3]);
    let host = format!("api.test:{}", ports[0]);
    for request in origins.iter().flat_map(Origin::requests) {
        assert_eq!(request.values("host"), [&host], "the same Host at every address");
    }
    assert_eq!(counted(&gateway, "addresses", &[("origin", "api")]), 3.0);
    assert_eq!(counted(&gateway, "healthy_addresses", &[("origin", "api")]), 3.0);
}

#[test]
fn every_address_of_a_name_is_used_even_if_only_one_answers() {
    // `localhost` may be ::1 too, where no process listens.
    let origin = Origin::new();
    let gateway = gateway(&format!("domain: \"http://localhost:{}\"", origin.port()));
    for target in ["/1", "/2", "/3", "/4", "/5", "/6"] {
        assert_eq!(gateway.ask(&get(target)).status, 200);
        assert_eq!(gateway.ask(&super::post(target)).status, 200);
    }
    assert_eq!(origin.requests().len(), 12);
}

#[test]
fn a_device_stays_with_its_address() {
    let origins = [saying("one"), saying("two"), saying("three")];
    let gateway = gateway(&format!("{}, balance: device", at(&origins.each_ref())));
    let mut used = Vec::new();
    for number in 0..64 {
        let message = Message::get("/").token(&tokens::of_device(&format!("device-{number}")));
        let answers: Vec<_> = (0..3).map(|_| gateway.ask(&message).text()).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        used.push(answers[0].clone());
    }
    for origin in ["one", "two", "three"] {
        assert!(used.iter().any(|answer| answer == origin), "{origin} was never used: {used:?}");
    }
}

#[test]
fn a_client_stays_with_an_address_whatever_its_device() {
    let origins = [saying("one"), saying("two"), saying("three")];
    let gateway = gateway(&format!("{}, balance: address", at(&origins.each_ref())));
    for number in 0..12 {
        let message = Message::get("/").token(&tokens::of_device(&format!("device-{number}")));
        assert_eq!(gateway.ask(&message).status, 200);
    }
    let mut counts = origins.each_ref().map(|origin| origin.requests().len());
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 12]);
}

#[test]
fn the_address_with_fewer_requests_in_progress_is_chosen() {
    let gate = Gate::default();
    let origins = [(); 2].map(|()| {
        let gate = gate.clone();
        Origin::scripted(move |exchange| {
            if exchange.request.target == "/slow" {
                gate.pass();
            }
            exchange.answer("200 OK", "hello")
        })
    });
    let gateway = gateway(&format!("{}, balance: least_loaded", at(&origins.each_ref())));
    let mut slow = gateway.connect();
    slow.send(get("/slow").bytes());
    let [one, two] = &origins;
    let busy = crate::harness::eventually("the slow request", || {
        [one, two].into_iter().position(|origin| origin.count("/slow") == 1)
    });
    for _ in 0..10 {
        assert_eq!(gateway.ask(&get("/")).status, 200);
    }
    let counts = [one, two].map(|origin| origin.count("/"));
    assert_eq!((counts[busy], counts[1 - busy]), (0, 10));
    gateway.wait_for_count("approov_gateway_upstream_in_flight", &[("origin", "api")], 1.0);
    gate.open();
    assert_eq!(slow.response().status, 200);
    gateway.wait_for_count("approov_gateway_upstream_in_flight", &[("origin", "api")], 0.0);
}
