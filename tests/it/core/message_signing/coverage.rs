//! What a signature must cover, and the values of the components that it may cover.

use approov_gateway::approov::Rejection;

use super::{CREATED, Request, Signer, URI, at, default_lines, request, rules};

#[test]
fn the_method_the_target_and_the_token_must_be_covered() {
    let signer = Signer::install();
    let [method, uri, token] = default_lines("GET", URI);
    let (authority, path, query) =
        (("\"@authority\"", "api.example.com"), ("\"@path\"", "/v1/x"), ("\"@query\"", "?a=1"));
    for (lines, expected) in [
        (vec![method, uri, token], "valid"),
        (vec![token, uri, method], "valid"),
        (vec![method, authority, path, query, token], "valid"),
        (vec![method, uri], "insufficient_coverage"),
        (vec![method, token], "insufficient_coverage"),
        (vec![uri, token], "insufficient_coverage"),
        (vec![method, path, query, token], "insufficient_coverage"),
        (vec![method, authority, path, token], "insufficient_coverage"),
        (vec![method, authority, query, token], "insufficient_coverage"),
        (vec![], "insufficient_coverage"),
    ] {
        let request = request().signed(&signer, &lines);
        assert_eq!(request.verdict(&signer.claims()), expected, "{lines:?}");
    }
}

#[test]
fn every_implemented_component_has_the_value_of_the_rfc() {
    let signer = Signer::install();
    let mut lines = default_lines("GET", "http://api.example.com:8080/search?foo=bar&baz=1").to_vec();
    lines.extend([
        ("\"@authority\"", "api.example.com:8080"),
        ("\"@scheme\"", "http"),
        ("\"@request-target\"", "/search?foo=bar&baz=1"),
        ("\"@path\"", "/search"),
        ("\"@query\"", "?foo=bar&baz=1"),
        ("\"@query-param\";name=\"foo\"", "bar"),
        ("\"@query-param\";name=\"baz\"", "1"),
        ("\"x-list\"", "a, b, c"),
        ("\"x-empty\"", ""),
    ]);
    let mut request = Request::get("API.example.com:8080", "/search?foo=bar&baz=1")
        .with("X-List", " a ")
        .with("x-list", "b, c\t")
        .with("X-Empty", " ");
    request.is_secure = false;
    assert_eq!(request.signed(&signer, &lines).verdict(&signer.claims()), "valid");

    let lines =
        [default_lines("GET", "https://api.example.com/").as_slice(), &[("\"@query\"", "?")]].concat();
    let request = Request::get("api.example.com:443", "/").signed(&signer, &lines);
    assert_eq!(request.verdict(&signer.claims()), "valid");
}

#[test]
fn components_that_are_repeated_unknown_or_have_parameters_are_refused() {
    let signer = Signer::install();
    for (extra, value, expected) in [
        ("\"@method\"", "GET", "malformed_message_signature"),
        ("\"@status\"", "200", "malformed_message_signature"),
        ("\"@METHOD\"", "GET", "malformed_message_signature"),
        ("\"X-A\"", "1", "malformed_message_signature"),
        ("\"\"", "1", "malformed_message_signature"),
        ("x-a", "1", "malformed_message_signature"),
        ("\"x-a\";sf", "1", "malformed_message_signature"),
        ("\"x-a\";bs", ":MQ==:", "malformed_message_signature"),
        ("\"x-a\";key=\"b\"", "1", "malformed_message_signature"),
        ("\"x-a\";req", "1", "malformed_message_signature"),
        ("\"x-a\";tr", "1", "malformed_message_signature"),
        ("\"@query-param\"", "1", "malformed_message_signature"),
        ("\"@query-param\";name=a", "1", "malformed_message_signature"),
        ("\"@path\";name=\"a\"", "/v1/x", "malformed_message_signature"),
        ("\"x-absent\"", "", "bad_message_signature"),
        ("\"@query-param\";name=\"z\"", "", "bad_message_signature"),
        ("\"content-digest\"", "", "missing_content_digest"),
    ] {
        let lines = [default_lines("GET", URI).as_slice(), &[(extra, value)]].concat();
        let request = request().with("X-A", "1").signed(&signer, &lines);
        assert_eq!(request.verdict(&signer.claims()), expected, "{extra}");
    }
    let many: Vec<String> = (0..30).map(|number| format!("\"x-{number}\"")).collect();
    let mut lines = default_lines("GET", URI).to_vec();
    lines.extend(many.iter().map(|name| (&**name, "")));
    let request = request().signed(&signer, &lines);
    assert_eq!(request.verdict(&signer.claims()), "malformed_message_signature", "33 components");
}

#[test]
fn a_digest_must_be_covered_and_known_and_may_be_required() {
    const HELLO: &str = "sha-256=:k6I5cakU5erL8KjSUVTNownDwccvu5kU1Hxg88toFYg=:";
    let signer = Signer::install();
    let lines = default_lines("GET", URI);
    let covered = |digest| [lines.as_slice(), &[("\"content-digest\"", digest)]].concat();
    let unknown = "md5=:AA==:";
    let broken = "sha-256=:AA==:";
    for (name, request, has_body, requires, expected) in [
        ("none", request().signed(&signer, &lines), true, false, None),
        ("required", request().signed(&signer, &lines), true, true, Some("missing_content_digest")),
        ("no body", request().signed(&signer, &lines), false, true, None),
        (
            "covered",
            request().with("Content-Digest", HELLO).signed(&signer, &covered(HELLO)),
            true,
            true,
            None,
        ),
        (
            "not covered",
            request().with("Content-Digest", HELLO).signed(&signer, &lines),
            true,
            false,
            Some("insufficient_coverage"),
        ),
        (
            "unknown",
            request().with("Content-Digest", unknown).signed(&signer, &covered(unknown)),
            true,
            false,
            Some("missing_content_digest"),
        ),
        (
            "broken",
            request().with("Content-Digest", broken).signed(&signer, &covered(broken)),
            true,
            false,
            Some("content_digest_mismatch"),
        ),
    ] {
        let mut request = request;
        request.has_body = has_body;
        let mut rules = rules();
        rules.requires_digest = requires;
        let judgement = rules.verify(&request.message(), &signer.claims(), at(CREATED));
        assert_eq!(judgement.rejection.map(Rejection::label), expected, "{name}");
        assert_eq!(judgement.digest.is_some(), name == "covered", "{name}");
    }
}
