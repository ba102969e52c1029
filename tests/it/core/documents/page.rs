//! A page of the documents: prose and code blocks.
//!
//! The word behind the fence says what a block is, and so how a test judges it. The words are in
//! `docs/develop/testing.md`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One Markdown file, split into prose and fenced code blocks.
pub struct Page {
    pub path: PathBuf,
    pub prose: String,
    pub blocks: Vec<Block>,
}

/// A fenced code block.
#[derive(Default)]
pub struct Block {
    /// Number of the line with the fence.
    pub line: usize,
    pub language: String,
    /// What follows the language.
    pub note: String,
    pub text: String,
}

impl Page {
    pub fn read(path: PathBuf) -> Self {
        let (mut prose, mut blocks) = (String::new(), Vec::new());
        let mut open: Option<Block> = None;
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(info), None) => {
                    let (language, note) = info.split_once(' ').unwrap_or((info, ""));
                    let (language, note) = (language.to_owned(), note.to_owned());
                    open = Some(Block { line: number + 1, language, note, text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text += &format!("{line}\n"),
                (None, None) => prose += &format!("{line}\n"),
            }
        }
        assert!(open.is_none(), "{}: a code block is not closed", path.display());
        Self { path, prose, blocks }
    }

    /// Every Markdown file of the project.
    pub fn all() -> Vec<Self> {
        let mut found = Vec::new();
        collect(root(), &mut found);
        found.sort();
        assert!(found.len() >= 10, "only {} pages", found.len());
        found.into_iter().map(Self::read).collect()
    }

    /// The anchors of the headings.
    pub fn headings(&self) -> HashSet<String> {
        let headings = self.prose.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
        headings.map(anchor).collect()
    }

    /// The targets of `[text](target)`.
    pub fn links(&self) -> Vec<&str> {
        let after = self.prose.split("](").skip(1);
        after.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
    }

    /// Where a block is, for messages.
    pub fn place(&self, block: &Block) -> String {
        format!("{}:{}", self.path.strip_prefix(root()).unwrap().display(), block.line)
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && name != ".git" && name != "corpus" {
            collect(&entry, found);
        } else if name.ends_with(".md") {
            found.push(entry);
        }
    }
}

/// The anchor that forges give a heading: lower case, no punctuation, hyphens for blanks.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_code_block_says_what_it_is() {
    for page in Page::all() {
        for block in &page.blocks {
            let is_known = match (block.language.as_str(), block.note.as_str()) {
                ("yaml", note) => note.is_empty() || note.starts_with("for "),
                ("sh", note) => note.is_empty() || note.starts_with("not run: "),
                ("toml", name) => !name.is_empty() && !name.contains([' ', '/']),
                ("console" | "json" | "text" | "nginx" | "ini", note) => note.is_empty(),
                _ => false,
            };
            let place = page.place(block);
            assert!(is_known, "{place}: see \"Examples in documents\" in docs/develop/testing.md");
            let is_console =
                block.language == "text" && block.text.lines().any(|line| line.starts_with("$ "));
            assert!(!is_console, "{place}: this block has commands with output: write `console`");
        }
    }
}
