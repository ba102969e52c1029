//! What nodes with the same configuration have in common without telling each other.

use crate::harness::{Client, Gateway, Message, Origin, Setup, config_before, tokens};

const DEVICES: usize = 300;

/// Three nodes that refuse 5 % of the devices, in front of three addresses of one origin.
fn nodes(origins: &[Origin; 3]) -> [Gateway; 3] {
    let addresses = origins.each_ref().map(|origin| format!("\"127.0.0.1:{}\"", origin.port())).join(", ");
    let config = format!(
        "approov:\n  keys: [ {{ algorithm: HS256, secret_base64: \"{}\" }} ]\n\
         origins:\n  api: {{ domain: \"http://api.test\", addresses: [{addresses}], balance: device }}\n\
         routes: [ {{ path: /, enforce: 5% }} ]\n",
        tokens::SECRET_BASE64,
    );
    [(); 3].map(|()| Setup::bare().config(&config).start())
}

/// For each device, the status and the body of the answer to this message.
fn answers(client: &mut Client, message: impl Fn(&str) -> Message) -> Vec<(u16, String)> {
    let answers = (0..DEVICES).map(|number| client.ask(&message(&format!("device {number}"))));
    answers.map(|answer| (answer.status, answer.text())).collect()
}

#[test]
fn a_device_gets_the_same_verdict_and_the_same_address_from_every_node() {
    let origins = ["one", "two", "three"].map(|name| {
        Origin::scripted(move |exchange| {
            exchange.body()?;
            exchange.answer("200 OK", name)
        })
    });
    let nodes = nodes(&origins);
    let seen = nodes.each_ref().map(|node| {
        let mut client = node.connect();
        let expired = answers(&mut client, |did| Message::get("/").token(&tokens::expired_of_device(did)));
        let valid = answers(&mut client, |did| Message::get("/").token(&tokens::of_device(did)));
        (expired, valid)
    });
    assert!(seen.iter().all(|of_node| *of_node == seen[0]), "{seen:?}");

    let (expired, valid) = &seen[0];
    let refused = expired.iter().filter(|(status, _)| *status == 401).count();
    // 15 of 300 devices on average; 4 standard deviations are 15.
    assert!((1..=30).contains(&refused), "{refused}");
    for ((status, at), (_, valid_at)) in expired.iter().zip(valid) {
        assert!(*status == 401 || (*status, at) == (200, valid_at), "an observed device has one address");
    }
    for name in ["one", "two", "three"] {
        let count = valid.iter().filter(|answer| **answer == (200, name.to_owned())).count();
        // 100 on average; 5 standard deviations are 41.
        assert!((59..=141).contains(&count), "{name}: {count}");
    }
    let of_origins: usize = origins.iter().map(|origin| origin.requests().len()).sum();
    assert_eq!(of_origins, 3 * (2 * DEVICES - refused));
}

/// The lines of `/metrics` that tell nodes apart.
fn identity(node: &Gateway) -> Vec<String> {
    let page = node.admin("/metrics").text();
    let lines = page.lines().filter(|line| {
        ["approov_gateway_config_info{", "approov_gateway_build_info{"]
            .iter()
            .any(|name| line.starts_with(name))
    });
    lines.map(str::to_owned).collect()
}

#[test]
fn metrics_show_which_nodes_have_another_configuration() {
    let origin = Origin::new();
    let node = |rate: &str| {
        let limits = format!("limits: {{ rate: [ {{ by: device, rate: {rate} }} ] }}\n");
        Setup::bare().config(&config_before(&origin, &limits)).start()
    };
    let [one, two, other] = ["10/s", "10/s", "20/s"].map(|rate| identity(&node(rate)));
    assert_eq!(one.len(), 2, "{one:?}");
    assert_eq!(one, two);
    assert_ne!(one, other);
    assert_eq!(one[0], other[0], "the same build");
}
