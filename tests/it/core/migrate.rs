//! `migrate`: workers' configurations with the expected output next to them.

use std::fs;
use std::path::Path;

use approov_gateway::cli::migrate::{OutputPart, translate_text};
use approov_gateway::config::{Environment, load_text};

/// A secret that Approov publishes in its examples.
const SECRET: &str = "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzN";

fn text(name: &str) -> String {
    fs::read_to_string(Path::new("tests/migrate").join(name)).unwrap()
}

#[test]
fn workers_are_translated_as_expected() {
    for name in ["2024", "newer", "odd"] {
        let output = translate_text(&text(&format!("{name}.toml")), None, None).expect(name);
        assert!(!output.contains(SECRET), "{output}");
        let path = Path::new("tests/migrate").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            fs::write(&path, &output).unwrap();
        }
        assert_eq!(output, fs::read_to_string(&path).unwrap_or_default(), "{name}");
    }
}

#[test]
fn the_file_and_the_environment_are_those_that_the_gateway_takes() {
    for (name, env) in
        [("2024", None), ("newer", Some("staging")), ("newer", Some("production")), ("odd", None)]
    {
        let worker = text(&format!("{name}.toml"));
        let yaml = translate_text(&worker, env, Some(OutputPart::Yaml)).expect(name);
        let secret = Environment::from_pairs([("APPROOV_SECRET_BASE64", SECRET)]);
        let of_file = load_text(&yaml, Path::new("gateway.yaml"), &secret)
            .unwrap_or_else(|problems| panic!("{name} {env:?}: {problems}\n{yaml}"));
        let lines = translate_text(&worker, env, Some(OutputPart::Environment)).expect(name);
        let pairs = lines.lines().map(|line| line.split_once('=').expect(line));
        // The file of the secret does not exist here.
        let pairs = pairs.filter(|(name, _)| *name != "APPROOV_SECRET_BASE64_FILE");
        let environment = Environment::from_pairs(pairs.chain([("APPROOV_SECRET_BASE64", SECRET)]));
        let of_environment = approov_gateway::config::load(None, &environment)
            .unwrap_or_else(|problems| panic!("{name} {env:?}: {problems}\n{lines}"));
        let told = |settings: &approov_gateway::config::Settings| {
            let origin = &settings.origins[0];
            let approov = &settings.approov;
            let strategies: Vec<_> =
                settings.routes.routes().iter().map(|route| route.strategy).take(1).collect();
            let claim = approov.verifier.binding_claim().to_owned();
            let headers = (approov.token_header.clone(), approov.binding_headers.clone());
            (origin.host.clone(), origin.port, headers, claim, strategies)
        };
        assert_eq!(told(&of_file), told(&of_environment), "{name} {env:?}");
    }
}

#[test]
fn a_choice_is_asked_for_and_a_bad_file_is_not_repeated() {
    let worker = text("newer.toml");
    let error = translate_text(&worker, None, Some(OutputPart::Yaml)).unwrap_err();
    assert_eq!(error, "it has several environments; choose one with --env: production, staging");
    let with_top = format!("{worker}\n[vars]\nAPI_DOMAIN = \"top.example.com\"\n");
    let top = translate_text(&with_top, None, Some(OutputPart::Environment)).unwrap();
    assert!(top.contains("API_DOMAIN=top.example.com\n"), "{top}");
    let error = translate_text(&worker, Some("dev"), None).unwrap_err();
    assert_eq!(error, "there is no [env.dev]; there is production, staging");
    let error =
        translate_text(&format!("[vars]\nAPPROOV_SECRET_BASE64 = {SECRET}\n"), None, None).unwrap_err();
    assert_eq!(error, "line 2 is not TOML");
}
