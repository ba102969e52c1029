//! The source code as a graph: which file names items of which other file or crate.
//!
//! The code is read as tokens, so a rule about an item holds however the item is spelled: by its full path, by
//! an import, by an import under another name, or through `core` in place of `std`. Code under
//! `#[cfg(test)]` is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::tokens::{Token, tokens};

/// A path to an item, such as `["std", "env", "var"]`.
pub type ItemPath = Vec<String>;

/// One file of the library.
pub struct SourceFile {
    /// The path below `src`.
    pub name: String,
    /// The module of the file, such as `["proxy", "answer"]`.
    pub module: ItemPath,
    /// The items that the code names, of the library (with `crate` in front) and of other crates.
    pub items: BTreeSet<ItemPath>,
    /// The methods that the code calls.
    pub methods: BTreeSet<String>,
    /// The names of the types and traits that the code defines, without associated types.
    pub types: Vec<String>,
    /// What the file imports, by the name in the file. Re-exports are imports, too.
    imports: BTreeMap<String, ItemPath>,
}

/// The library's files.
pub struct Sources {
    pub files: Vec<SourceFile>,
}

impl SourceFile {
    /// The top-level module that the file belongs to.
    pub fn room(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }
}

impl Sources {
    /// Reads all files below `src`.
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files: Vec<_> = rust_files(&root).iter().map(|path| parse(&root, path)).collect();
        assert!(files.len() > 150, "{}", files.len());
        let modules: BTreeSet<ItemPath> = files.iter().map(|file| file.module.clone()).collect();
        for file in &mut files {
            file.imports = file
                .imports
                .iter()
                .map(|(name, path)| (name.clone(), file.absolute(path, &modules)))
                .collect();
            file.items = file.items.iter().map(|path| file.absolute(path, &modules)).collect();
        }
        Self { files }
    }

    /// The files whose items `file` names, without the file itself.
    pub fn known_by(&self, file: &SourceFile) -> BTreeSet<usize> {
        let found = file.items.iter().filter_map(|item| self.definition(item, 8));
        found.filter(|index| self.files[*index].name != file.name).collect()
    }

    /// The file that defines an item of the library. Follows re-exports.
    fn definition(&self, item: &[String], most: usize) -> Option<usize> {
        let (first, path) = item.split_first()?;
        if first != "crate" || path.is_empty() {
            return None;
        }
        for length in (0..=path.len()).rev() {
            let module = &path[..length];
            let Some(index) = self.files.iter().position(|file| file.module == module) else { continue };
            let Some(name) = path.get(length) else { return Some(index) };
            return match self.files[index].imports.get(name) {
                Some(target) if most > 0 && target != item => {
                    let target: ItemPath = target.iter().chain(&path[length + 1..]).cloned().collect();
                    if target[0] == "crate" { self.definition(&target, most - 1) } else { Some(index) }
                }
                _ => Some(index),
            };
        }
        None
    }
}

impl SourceFile {
    /// A path as it is known everywhere: with `crate` in front for items of the library, and with `std`
    /// for items of `core` and `alloc`.
    fn absolute(&self, path: &[String], modules: &BTreeSet<ItemPath>) -> ItemPath {
        let mut path = path.to_vec();
        if let Some(target) =
            self.imports.get(&path[0]).filter(|target| target[0] != path[0] || target.len() > 1)
        {
            path.splice(..1, target.iter().cloned());
        }
        let mut module = self.module.clone();
        match path[0].as_str() {
            "core" | "alloc" => path[0] = "std".into(),
            "approov_gateway" => path[0] = "crate".into(),
            "self" => drop(path.splice(..1, std::iter::once("crate".into()).chain(module))),
            "super" => {
                let count = path.iter().take_while(|segment| *segment == "super").count();
                module.truncate(module.len().saturating_sub(count));
                path.splice(..count, std::iter::once("crate".into()).chain(module));
            }
            first => {
                module.push(first.into());
                // A single word may be a variable.
                if path.len() > 1 && modules.contains(&module) {
                    path.splice(..1, std::iter::once("crate".into()).chain(module));
                }
            }
        }
        path
    }
}

/// The files of Rust code in a folder and below.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    folders.iter().flat_map(|folder| rust_files(folder)).chain(files).collect()
}

fn parse(root: &Path, path: &Path) -> SourceFile {
    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let module = match name.trim_end_matches(".rs") {
        "lib" => Vec::new(),
        module => module.trim_end_matches("/mod").split('/').map(str::to_owned).collect(),
    };
    let text = fs::read_to_string(path).unwrap();
    let mut found = Found::default();
    found.code(&tokens(&text));
    let Found { items, methods, types, imports } = found;
    SourceFile { name, module, items, methods, types, imports }
}

/// What the code of one file names, as it is spelled there.
#[derive(Default)]
struct Found {
    items: BTreeSet<ItemPath>,
    methods: BTreeSet<String>,
    types: Vec<String>,
    imports: BTreeMap<String, ItemPath>,
}

impl Found {
    /// Reads code outside of imports and items for tests.
    fn code(&mut self, tokens: &[Token]) {
        let (mut at, mut depth) = (0, 0);
        while at < tokens.len() {
            match &tokens[at..] {
                [Token::Mark('{'), ..] => depth += 1,
                [Token::Mark('}'), ..] => depth -= 1,
                [Token::Word(keyword), Token::Word(name), ..] if defines_type(keyword, depth) => {
                    self.types.push(name.clone());
                }
                _ => {}
            }
            at = match &tokens[at..] {
                [Token::Mark('#'), rest @ ..] if is_for_tests(rest) => end_of_item(tokens, at + 1),
                // A visibility such as `pub(super)` names no item.
                [Token::Word(word), Token::Mark('('), ..] if word == "pub" => {
                    at + position(&tokens[at..], ')')
                }
                // A precise capture, `use<'a>`.
                [Token::Word(word), Token::Mark('<'), ..] if word == "use" => at + 1,
                [Token::Word(word), ..] if word == "use" => {
                    let end = at + position(&tokens[at..], ';');
                    let before = self.items.clone();
                    self.import(&tokens[at + 1..end], &[]);
                    let is_pub = |token: &Token| {
                        matches!(token, Token::Mark(')')) || *token == Token::Word("pub".into())
                    };
                    if at > 0 && is_pub(&tokens[at - 1]) {
                        // A re-export hands on the name and does not use the item.
                        self.items = before;
                    }
                    end
                }
                // A declaration of a module.
                [Token::Word(word), Token::Word(_), ..] if word == "mod" => at + 2,
                [Token::Mark('.'), Token::Word(method), Token::Mark('('), ..] => {
                    self.methods.insert(method.clone());
                    at + 2
                }
                [Token::Word(_), ..] => {
                    let (path, length) = path(&tokens[at..]);
                    self.items.insert(path);
                    at + length
                }
                _ => at + 1,
            };
        }
    }

    /// Reads one tree of an import; `before` is the path in front of the tree.
    fn import(&mut self, tree: &[Token], before: &[String]) {
        let (mut path, length) = path(tree);
        let mut whole = before.to_vec();
        if whole.is_empty() && path.is_empty() && tree.first() != Some(&Token::Mark('{')) {
            return;
        }
        match &tree[length..] {
            _ if tree.first() == Some(&Token::Mark('{')) => self.group(tree, before),
            [Token::Mark(':'), Token::Mark(':'), Token::Mark('{'), ..] => {
                whole.append(&mut path);
                self.group(&tree[length + 2..], &whole);
            }
            [Token::Mark(':'), ..] => {
                whole.append(&mut path);
                self.items.insert(whole);
            }
            rest => {
                let is_self = path.last().is_some_and(|name| name == "self");
                path.truncate(path.len() - usize::from(is_self));
                whole.append(&mut path);
                let name = match rest {
                    [Token::Word(word), Token::Word(name), ..] if word == "as" => Some(name.clone()),
                    _ => whole.last().cloned(),
                };
                if let Some(name) = name {
                    self.items.insert(whole.clone());
                    self.imports.insert(name, whole);
                }
            }
        }
    }

    /// Reads the trees between the braces that `tree` begins with.
    fn group(&mut self, tree: &[Token], before: &[String]) {
        let (mut depth, mut start) = (0, 1);
        for (index, token) in tree.iter().enumerate() {
            match token {
                Token::Mark('{') => depth += 1,
                Token::Mark('}') => depth -= 1,
                _ => {}
            }
            let is_end = depth == 0 || depth == 1 && *token == Token::Mark(',');
            if is_end && start < index {
                self.import(&tree[start..index], before);
            }
            if is_end {
                start = index + 1;
            }
            if depth == 0 {
                return;
            }
        }
    }
}

/// Whether a name behind this keyword is that of a type. Associated types stand between braces.
fn defines_type(keyword: &str, depth: usize) -> bool {
    matches!(keyword, "struct" | "enum" | "trait" | "union") || keyword == "type" && depth == 0
}

/// The path that the tokens begin with, and its number of tokens.
fn path(tokens: &[Token]) -> (ItemPath, usize) {
    let mut path = ItemPath::new();
    let mut at = 0;
    while let Some(Token::Word(word)) = tokens.get(at) {
        path.push(word.clone());
        at += 1;
        match &tokens[at..] {
            [Token::Mark(':'), Token::Mark(':'), Token::Word(_), ..] => at += 2,
            _ => break,
        }
    }
    (path, at)
}

/// Whether an attribute, behind its `#`, is `[cfg(test)]`.
fn is_for_tests(attribute: &[Token]) -> bool {
    let words: Vec<_> = attribute.iter().take(6).collect();
    matches!(words[..], [Token::Mark('['), Token::Word(cfg), Token::Mark('('), Token::Word(test), Token::Mark(')'), ..]
        if cfg == "cfg" && test == "test")
}

/// The end of the item at `start`: behind its first `;` or its first closed brace.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(token, Token::Mark(';' | '}')) {
            return index + 1;
        }
    }
    tokens.len()
}

fn position(tokens: &[Token], mark: char) -> usize {
    tokens.iter().position(|token| *token == Token::Mark(mark)).unwrap_or(tokens.len())
}
