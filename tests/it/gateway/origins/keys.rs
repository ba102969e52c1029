//! Several APIs behind one gateway, each with its own keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::saying;
use crate::harness::{Folder, Message, Setup, tokens};

#[test]
fn a_token_for_one_api_is_refused_by_another() {
    let (shop, bank) = (saying("shop"), saying("bank"));
    let secrets = [0, 100].map(|first| (first..first + 64).collect::<Vec<u8>>());
    let folder = Folder::new();
    let files = ["shop", "bank"].map(|name| name.to_owned());
    let keys: Vec<_> = files
        .iter()
        .zip(&secrets)
        .map(|(name, secret)| {
            let file = folder.write(name, STANDARD.encode(secret));
            format!(
                "approov: {{ keys: [ {{ secret_base64_file: \"{}\" }} ], audiences: [{name}] }}",
                file.display()
            )
        })
        .collect();
    let config = format!(
        "origins:\n  shop: {{ domain: \"{}\", {} }}\n  bank: {{ domain: \"{}\", {} }}\n\
         routes:\n  - {{ path: /, hosts: [shop.test], origin: shop }}\n  - {{ path: /bank/, origin: bank }}\n",
        shop.url(),
        keys[0],
        bank.url(),
        keys[1],
    );
    let gateway = Setup::bare().config(&config).start();
    let token = |secret: usize, audience: &str| {
        tokens::signed_with(&secrets[secret], &json!({ "exp": tokens::in_seconds(3600), "aud": audience }))
    };
    for (index, (host, target, token, status, reason)) in [
        ("shop.test", "/", token(0, "shop"), 200, "ok"),
        ("shop.test", "/", token(1, "bank"), 401, "bad_signature"),
        ("shop.test", "/", token(1, "shop"), 401, "bad_signature"),
        ("shop.test", "/", token(0, "bank"), 401, "wrong_audience"),
        ("bank.test", "/bank/", token(1, "bank"), 200, "ok"),
        ("bank.test", "/bank/", token(0, "shop"), 401, "bad_signature"),
        ("bank.test", "/bank/", tokens::valid(), 401, "bad_signature"),
    ]
    .into_iter()
    .enumerate()
    {
        let response = gateway.ask(&Message::get(target).host(host).token(&token));
        assert_eq!(response.status, status, "{host}{target} {reason}");
        gateway.wait_for_log(|stdout, _| {
            let lines = String::from_utf8_lossy(stdout).into_owned();
            lines.lines().nth(index).is_some_and(|line| line.contains(reason))
        });
    }
    assert_eq!((shop.requests().len(), bank.requests().len()), (1, 1));
}
