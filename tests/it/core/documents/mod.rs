//! The documents: links lead somewhere, named tests exist, examples work, sentences are short.

mod configurations;
mod page;
mod sessions;

use std::collections::{HashMap, HashSet};
use std::fs;

use approov_gateway::cli::Arguments;
use clap::Parser;

use page::{Page, root};

#[test]
fn every_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    let pages = Page::all();
    let headings: HashMap<_, _> =
        pages.iter().map(|page| (page.path.canonicalize().unwrap(), page.headings())).collect();
    let mut broken = Vec::new();
    for page in &pages {
        for link in page.links().into_iter().filter(|link| !link.contains(':')) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.path.clone(),
                file => page.path.parent().unwrap().join(file),
            };
            let Ok(target) = target.canonicalize() else {
                broken.push(format!("{}: no file for {link}", page.path.display()));
                continue;
            };
            let is_found =
                anchor.is_empty() || headings.get(&target).is_some_and(|headings| headings.contains(anchor));
            if !is_found {
                broken.push(format!("{}: no heading for {link}", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_document_is_linked_from_the_index_of_the_documents() {
    let pages = Page::all();
    let index = pages.iter().find(|page| page.path == root().join("docs/README.md")).unwrap();
    let decisions = pages.iter().find(|page| page.path.ends_with("decisions/README.md")).unwrap();
    let linked: HashSet<_> = [index, decisions]
        .into_iter()
        .flat_map(|page| page.links().into_iter().map(|link| page.path.parent().unwrap().join(link)))
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    for page in pages.iter().filter(|page| page.path.starts_with(root().join("docs"))) {
        let path = page.path.canonicalize().unwrap();
        assert!(page.path == index.path || linked.contains(&path), "{} is linked nowhere", path.display());
    }
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let mut named = 0;
    for file in ["SECURITY.md", "docs/security/threat-model.md"] {
        let page = Page::read(root().join(file));
        let mut is_promise = false;
        for line in page.prose.lines() {
            let Some(last) = line.trim_end_matches(" |").rsplit_once(" | ").map(|(_, last)| last) else {
                is_promise = is_promise && line.starts_with('|');
                continue;
            };
            is_promise |= last == "held by";
            for name in last.split('`').skip(1).step_by(2).filter(|_| is_promise) {
                let folders = ["", "core/", "gateway/", "adversarial/", "lifecycle/"];
                let exists = folders.iter().any(|folder| {
                    let module = root().join("tests/it").join(format!("{folder}{name}"));
                    module.is_dir() || module.with_extension("rs").is_file()
                });
                assert!(exists, "{file} names the tests {name}, which do not exist");
                named += 1;
            }
        }
    }
    assert!(named > 0, "no promise names a test");
}

#[test]
fn every_command_line_that_is_shown_is_one_that_the_program_takes() {
    let mut shown = 0;
    for page in Page::all() {
        let scripts = page.blocks.iter().filter(|block| matches!(block.language.as_str(), "sh" | "console"));
        for block in scripts {
            for command in commands(&block.text.replace("\\\n", " ")) {
                let parsed = Arguments::try_parse_from(&command);
                let is_fine = parsed.as_ref().map_or_else(|error| error.exit_code() == 0, |_| true);
                let error = parsed.err().map(|error| error.to_string());
                assert!(is_fine, "{}: {command:?}: {}", page.place(block), error.unwrap_or_default());
                shown += 1;
            }
        }
    }
    assert!(shown > 0, "no page shows a command");
}

/// The calls of the program in a shell script, each as its words.
fn commands(script: &str) -> Vec<Vec<String>> {
    let calls = script.lines().flat_map(|line| {
        line.match_indices("approov-gateway ").filter_map(move |(start, _)| {
            let before = line[..start].trim_end();
            let begins = before.is_empty()
                || before == "$"
                || before.ends_with("$(")
                || before.ends_with("&&")
                || before.ends_with('|')
                || before.ends_with(';')
                || before.ends_with("sudo");
            begins.then(|| &line[start..])
        })
    });
    calls.map(words).collect()
}

/// The words up to the end of the command, as a shell splits them. Variables stay as they are.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in command.chars() {
        match (character, quote) {
            ('\'' | '"', None) => quote = Some(character),
            (character, Some(open)) if character == open => quote = None,
            ('#', None) if word.is_empty() => break,
            (')' | '|' | ';' | '>' | '&', None) => break,
            (' ', None) => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            (character, _) => word.push(character),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[test]
fn readme_fits_on_a_screen_and_a_half() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 120, "README.md has {lines} lines");
}

#[test]
fn sentences_are_short() {
    // The lists of labels on this generated page are no sentences.
    for page in Page::all().into_iter().filter(|page| !page.path.ends_with("reference/configuration.md")) {
        let mut lengths = Vec::new();
        for sentence in sentences(&page.prose) {
            let length =
                sentence.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
            assert!(length <= 40, "{}: {length} words: {sentence}", page.path.display());
            lengths.extend((length > 1).then_some(length));
        }
        let average = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
        assert!(average <= 20.0, "{}: {average:.1} words a sentence", page.path.display());
    }
}

/// Sentences of paragraphs and list items, without headings, tables and link targets.
fn sentences(prose: &str) -> Vec<String> {
    let mut text = String::new();
    for line in prose.lines() {
        let line = line.trim();
        let is_item = line.starts_with("- ") || line.starts_with("* ");
        let is_step = line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        match line {
            "" => text.push('\n'),
            line if line.starts_with('#') || line.starts_with('|') => text.push('\n'),
            line if is_item || is_step => text += &format!("\n{line} "),
            line => text += &format!("{line} "),
        }
    }
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("](") {
        plain += before;
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain += rest;
    let ends = [". ", "? ", "! ", ": ", "; "];
    let mut sentences: Vec<String> = plain.lines().map(str::to_owned).collect();
    for end in ends {
        sentences = sentences.iter().flat_map(|line| line.split(end).map(str::to_owned)).collect();
    }
    sentences
}
