//! Doc comments of the source code: a comment of a few words mostly repeats the name of its item.

use std::fs;
use std::path::Path;

use super::architecture::rust_files;

/// Comments of at most this many words are short.
const SHORT: usize = 4;

/// The largest share of short comments, in percent. Some items need no more words, such as the variants of
/// algorithms.
const MOST: usize = 5;

#[test]
fn few_doc_comments_are_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut short = Vec::new();
    let mut all = 0;
    for path in rust_files(&root) {
        for comment in doc_comments(&fs::read_to_string(&path).unwrap()) {
            all += 1;
            // Code, such as the name of an attribute in the access log, does not repeat the name of the item.
            if comment.split_whitespace().count() <= SHORT && !comment.trim_start().starts_with('`') {
                short.push(format!("{}: {comment}", path.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(all > 3000, "{all}");
    assert!(short.len() * 100 < all * MOST, "{} of {all} are short: {short:#?}", short.len());
}

/// The doc comments of a file, each as one text.
fn doc_comments(code: &str) -> Vec<String> {
    let mut comments: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in code.lines().map(str::trim_start) {
        match line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
            Some(text) if is_open => comments.last_mut().unwrap().push_str(text),
            Some(text) => comments.push(text.to_owned()),
            None => {}
        }
        is_open = line.starts_with("///") || line.starts_with("//!");
    }
    comments
}
