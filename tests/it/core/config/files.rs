//! Whole files: the problems and warnings of each, large files, and damaged ones.

use std::fs;
use std::path::{Path, PathBuf};

use approov_gateway::config::load;
use proptest::prelude::*;

use super::{WITH_DOMAIN, WITH_SECRET, environment, environment_of, lines, loaded, refused};
use crate::harness::Folder;

/// The YAML files in a folder of `tests/config`, relative to the crate, as messages show them.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect(folder);
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

/// Compares with the text file next to `file`; an absent file is an empty text. `UPDATE_REFERENCE=1` writes the
/// file instead.
fn assert_told(file: &Path, told: &str) {
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(
            file.with_extension("txt"),
            if told.is_empty() { String::new() } else { format!("{told}\n") },
        )
        .expect("a golden file");
    }
    let expected = fs::read_to_string(file.with_extension("txt")).unwrap_or_default();
    assert_eq!(told, expected.trim_end(), "\n{} tells:\n{told}\n", file.display());
}

#[test]
fn bad_files_report_every_problem() {
    let files = files("tests/config/bad");
    assert!(files.len() >= 12, "{files:?}");
    for file in files {
        match load(Some(&file), &environment_of(&file)) {
            Ok(_) => panic!("{} loads", file.display()),
            Err(problems) => assert_told(&file, &problems.to_string()),
        }
    }
}

#[test]
fn good_files_load_with_the_expected_warnings() {
    let files = files("tests/config/good");
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        match load(Some(&file), &environment_of(&file)) {
            Ok(settings) => assert_told(&file, &lines(&settings.warnings)),
            Err(problems) => panic!("{problems}"),
        }
    }
}

#[test]
fn a_list_with_many_bad_lines_reports_the_first_ones() {
    let folder = Folder::new();
    folder.write("list", "192.0.2.1\n".to_owned() + &"x\n".repeat(1000));
    let text = "origins: { a: { domain: a.example } }\nlimits: { deny_files: [list] }\n";
    let told = refused(Some(&folder.write("gateway.yaml", text)), &[WITH_SECRET]);
    assert_eq!(told.lines().count(), 11, "{told}");
    assert!(
        told.lines().next().is_some_and(|line| line.contains("list:2: `x` is not an IP address")),
        "{told}"
    );
    assert!(told.lines().last().is_some_and(|line| line.contains("list:12: there are more lines")), "{told}");
    folder.write("list", b"\xff\n");
    let told = refused(Some(&folder.path("gateway.yaml")), &[WITH_SECRET]);
    assert!(told.contains("limits.deny_files[0]: ") && told.contains("is not UTF-8"), "{told}");
}

#[test]
fn a_file_that_is_not_text_is_reported() {
    let folder = Folder::new();
    let file = folder.write("latin1.yaml", b"log: {}\n# caf\xe9\n");
    assert!(refused(Some(&file), &[]).contains("latin1.yaml:2: this line is not UTF-8"));
    let file = folder.write("large.yaml", vec![b'#'; 4 * 1024 * 1024 + 1]);
    assert!(refused(Some(&file), &[]).contains("larger than 4 MiB"));
    assert!(refused(Some(folder.as_ref()), &[]).contains("cannot be read"));
}

#[test]
fn ten_thousand_routes_load_and_routes_that_never_match_are_reported() {
    let folder = Folder::new();
    let mut text = String::from("routes:\n");
    for number in 0..10_000 {
        let condition = "methods: [GET, HEAD, POST], hosts: [shop.example.com, \"*.shop.example.com\"]";
        text += &format!(
            "  - {{ name: a-name-of-some-length-{number}, path: /a/{number}/things/, {condition} }}\n"
        );
    }
    text += "  - { path: /a/77/things/x, methods: [GET], hosts: [a.shop.example.com] }\n";
    let settings = loaded(Some(&folder.write("routes.yaml", text)), &[WITH_SECRET, WITH_DOMAIN]);
    let find = |host: &str, path: &str| {
        let found =
            settings.routes.find("GET", host.as_bytes(), path.as_bytes(), None).expect("a plain path");
        found.map(|(_, route)| route.name.to_string())
    };
    for number in [0, 1, 9, 77, 4711, 9999] {
        let expected = Some(format!("a-name-of-some-length-{number}"));
        assert_eq!(find("SHOP.example.com:443", &format!("/a/{number}/things/x")), expected);
        assert_eq!(find("shop.example.org", &format!("/a/{number}/things/x")), None);
    }
    let told = lines(&settings.warnings);
    assert!(
        told.contains("routes[10000]: this route never matches: routes[77] takes all its requests"),
        "{told}"
    );
    assert_eq!(settings.warnings.len(), 1, "{told}");
}

fn sample() -> String {
    fs::read_to_string("conf/gateway.yaml").expect("the sample")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// A damaged file is loaded, or refused with a place and a reason.
    #[test]
    fn damaged_files_never_panic(
        cuts in prop::collection::vec((0.0..1.0f64, 0.0..0.02f64, "[-\\[\\]{}:,#&*!|>'\"%@`~?a \n\t0é\u{0}]{0,4}"), 1..6),
    ) {
        let mut text: Vec<char> = sample().chars().collect();
        for (at, length, put) in cuts {
            let start = (at * text.len() as f64) as usize;
            let end = (start + (length * text.len() as f64) as usize).min(text.len());
            text.splice(start..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        let folder = Folder::new();
        let file = folder.write("gateway.yaml", &text);
        match load(Some(&file), &environment(&[WITH_SECRET])) {
            Ok(settings) => prop_assert!(!settings.listeners.is_empty() && !settings.origins.is_empty()),
            Err(problems) => {
                prop_assert!(!problems.as_slice().is_empty());
                let last = text.lines().count().max(1);
                for problem in problems.as_slice() {
                    prop_assert!(!problem.message.is_empty() && !problem.hint.is_empty());
                    if let approov_gateway::config::Place::File(_, Some(line)) = &problem.place {
                        prop_assert!((1..=last).contains(line), "{line} of {last}: {problem}");
                    }
                }
            }
        }
    }

    #[test]
    fn truncated_files_never_panic(part in 0.0..1.0f64) {
        let text = sample();
        let end = text.floor_char_boundary((part * text.len() as f64) as usize);
        let folder = Folder::new();
        let file = folder.write("gateway.yaml", &text[..end]);
        // Both results are right: many beginnings of the file are complete files.
        if let Err(problems) = load(Some(&file), &environment(&[WITH_SECRET])) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }
}
