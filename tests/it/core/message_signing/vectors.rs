//! Approov's published requests, signed by its own scripts.

use approov_gateway::approov::Rejection;
use approov_gateway::approov::message_signing::SignatureResult;
use serde_json::{Value, json};

use super::{CREATED, Request, Signer, at, claims, default_lines, rules};

const VECTORS: &str = include_str!("../../../vectors/message-signing.json");

fn request(vector: &Value, alternative: bool) -> Request {
    let uri = vector["target_uri"].as_str().expect("a URI").strip_prefix("http://").expect("http");
    let (authority, path) = uri.split_once('/').expect("a path");
    let mut request = Request::get(authority, &format!("/{path}")).without("Approov-Token");
    request.is_secure = false;
    request.method = vector["method"].as_str().expect("a method").into();
    request.has_body = vector["body"].is_string();
    for (name, value) in vector["headers"].as_object().expect("headers") {
        let value = value.as_str().expect("text");
        match (&**name, alternative) {
            ("Signature", true) => {}
            (name, true) if name.starts_with("Signature(") => request = request.with("Signature", value),
            (name, false) if name.starts_with("Signature(") => {}
            (name, _) => request = request.with(name, value),
        }
    }
    request
}

#[test]
fn published_requests_verify_and_a_signature_without_the_target_does_not_suffice() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).expect("the file is JSON");
    for vector in vectors.iter().filter(|vector| vector["target_uri"].is_string()) {
        for alternative in [false, true] {
            let request = request(vector, alternative);
            let judgement = rules().verify(
                &request.message(),
                &claims(json!({ "ipk": vector["public_key_spki_base64"] })),
                at(CREATED + 5),
            );
            let context = format!("{} {alternative}: {judgement:?}", vector["source"]);
            if vector["headers"]["Signature-Input"].as_str().expect("text").contains("@target-uri") {
                assert_eq!(judgement.result, SignatureResult::Valid, "{context}");
                assert_eq!(judgement.digest.is_some(), request.has_body, "{context}");
                if let (Some(digest), Some(body)) = (judgement.digest, vector["body"].as_str()) {
                    let mut verifier = digest.verifier();
                    verifier.update(body.as_bytes());
                    assert!(verifier.matches(), "{context}");
                }
            } else {
                assert_eq!(judgement.rejection, Some(Rejection::InsufficientCoverage), "{context}");
            }
        }
    }
}

#[test]
fn the_published_account_signature_verifies_in_a_request() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).expect("the file is JSON");
    let vector = vectors.iter().find(|vector| vector["account_key_ascii"].is_string()).expect("the vector");
    let field = |name: &str| vector["headers"][name].as_str().expect("text");
    let template = vectors.iter().find(|vector| vector["method"] == "GET").expect("a GET request");
    let request = request(template, false)
        .without("Signature-Input")
        .without("Signature")
        .with("Signature-Input", field("Signature-Input"))
        .with("Signature", field("Signature"));
    assert_eq!(request.verdict(&Signer::account().claims()), "valid");
}

/// Characters that apps send and that must not be written anew.
#[test]
fn urls_of_apps_verify_as_they_are_on_the_wire() {
    let signer = Signer::install();
    for target in [
        "/maps/api/staticmap?path=color:red|weight:5&markers=size:mid|label:A",
        "/caf%C3%A9/x?q=a%20b&pct=100%25&name=caf%C3%A9&pipe=x|y",
        "/s?f={%22a%22:1}&c=^\\`&p=x|y",
    ] {
        let uri = format!("https://api.example.com{target}");
        let request = Request::get("api.example.com", target).signed(&signer, &default_lines("GET", &uri));
        assert_eq!(request.verdict(&signer.claims()), "valid", "{target}");
    }
}
