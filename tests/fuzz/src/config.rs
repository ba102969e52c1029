//! Property: any text as a configuration is loaded or refused, with the same result each time and no part
//! of a secret in messages. A loaded configuration is consistent.
//!
//! An input begins with environment variables, one `NAME=value` for each line; the rest is the file.
//! `$SECRET` stands for a secret. No input causes other files to be read.

use std::path::Path;

use approov_gateway::config::{Environment, Settings, VARIABLES, load_text};
use approov_gateway::policy::{PathPattern, check_plain};
use http::uri::Authority;

const SECRET: &str =
    "p8Zr/1c+QWb0Yk7xTq2LhV5nGd9sJ3uA6eXoMfKyIwPtR4BvCzHlN8S0aDgjE+/mU1Fi7qOx9k2ZT5cW3rVhYQ==";

/// A part of the secret that must not appear.
const PIECE: usize = 12;

/// Keys that name files. A fuzzer must not read files.
const FILE_KEYS: [&str; 2] = ["file", "ticket_keys"];

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let (variables, text) = split(input);
    if may_read_a_file(text) {
        return;
    }
    let text = text.replace("$SECRET", SECRET);
    let environment = Environment::from_pairs(
        variables.into_iter().map(|(name, value)| (name, value.replace("$SECRET", SECRET))),
    );
    let name = Path::new("/nonexistent/gateway.yaml");
    let load = || match load_text(&text, name, &environment) {
        Ok(settings) => {
            make_sense(&settings);
            let warnings: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
            (format!("{settings:?}"), warnings.join("\n"))
        }
        Err(problems) => (String::new(), problems.to_string()),
    };
    let (settings, messages) = load();
    assert_eq!((&settings, &messages), (&load().0, &load().1));
    assert!(!settings.is_empty() || !messages.is_empty());
    assert!(!messages.contains("bug of the gateway"), "{messages}");
    assert!(!messages.contains(|c: char| c.is_control() && c != '\n'), "{messages:?}");
    assert!(!tells_the_secret(&messages), "{messages}");
}

/// Splits an input into its variables and its file.
fn split(input: &str) -> (Vec<(&str, &str)>, &str) {
    let mut variables = Vec::new();
    let mut rest = input;
    while let Some((line, behind)) = rest.split_once('\n') {
        match line.split_once('=') {
            // Variables that name files are covered by other tests.
            Some((name, value))
                if VARIABLES.iter().any(|variable| variable.name == name)
                    && !name.ends_with("_FILE")
                    && name != "GATEWAY_CONFIG" =>
            {
                variables.push((name, value));
            }
            _ => break,
        }
        rest = behind;
    }
    (variables, rest)
}

/// Whether the configuration could name an existing file. Escapes in keys and values are considered.
fn may_read_a_file(text: &str) -> bool {
    (text.contains('\\') || FILE_KEYS.iter().any(|key| text.contains(key))) && text.contains('/')
}

fn tells_the_secret(text: &str) -> bool {
    SECRET.as_bytes().windows(PIECE).any(|piece| {
        let piece = std::str::from_utf8(piece).expect("ASCII");
        text.contains(piece)
    })
}

fn make_sense(settings: &Settings) {
    assert!(!settings.listeners.is_empty() && !settings.origins.is_empty());
    let keys = settings.approov.verifier.keys();
    assert!(!keys.is_empty());
    assert!(
        keys.iter()
            .all(|key| key.id().is_some_and(tells_the_secret) || !tells_the_secret(&format!("{key:?}")))
    );
    for origin in &settings.origins {
        let authority = Authority::try_from(origin.authority.as_bytes()).expect("an authority");
        assert_eq!(authority.host().trim_matches(['[', ']']), &*origin.host);
        assert_eq!(authority.port_u16().unwrap_or(if origin.tls.is_some() { 443 } else { 80 }), origin.port);
    }
    for (index, route) in settings.routes.routes().iter().enumerate() {
        assert!(route.origin < settings.origins.len());
        let (PathPattern::Prefix(path) | PathPattern::Exact(path)) = &route.path;
        assert_eq!(check_plain(path.as_bytes()), Ok(()));
        let method = route.methods.first().map_or("GET", |method| &**method);
        if route.hosts.is_empty() {
            match settings.routes.find(method, b"", path.as_bytes(), None) {
                Ok(found) => assert!(found.is_some_and(|(first, _)| first <= index), "{path}"),
                // An earlier route matches the path with its escapes decoded.
                Err(_) => assert!(path.contains('%'), "{path}"),
            }
        }
    }
}
