//! An index of routes, so that a request is not compared with all of them.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{HostPattern, PathPattern, Route, host_name};

/// Positions of routes, in ascending order.
type Positions = Vec<usize>;

/// Finds the few routes that may take a request, by host and path. It may find too many: the caller asks
/// the route itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    any_host: Paths,
    /// By host name, in lower case.
    hosts: HashMap<Box<[u8]>, Paths>,
    /// By the end of a host name, which begins with a dot, in lower case.
    suffixes: HashMap<Box<[u8]>, Paths>,
    longest_suffix: usize,
}

impl Index {
    /// An index of these routes.
    pub fn new(routes: &[Route]) -> Self {
        let mut index = Self::default();
        for (position, route) in routes.iter().enumerate() {
            if route.hosts.is_empty() {
                index.any_host.add(&route.path, position);
            }
            for host in &route.hosts {
                index.paths_of(host).add(&route.path, position);
            }
        }
        let named = index.hosts.values_mut().chain(index.suffixes.values_mut());
        named.chain([&mut index.any_host]).for_each(Paths::arrange);
        index
    }

    fn paths_of(&mut self, host: &HostPattern) -> &mut Paths {
        match host {
            HostPattern::Exact(name) => self.hosts.entry(lower(name)).or_default(),
            HostPattern::Suffix(end) if end.starts_with('.') => {
                self.longest_suffix = self.longest_suffix.max(end.len());
                self.suffixes.entry(lower(end)).or_default()
            }
            // A suffix that begins inside a label.
            HostPattern::Suffix(_) => &mut self.any_host,
        }
    }

    /// The first route for this host and path that `takes` accepts.
    pub fn find(&self, host: &[u8], path: &[u8], takes: impl Fn(usize) -> bool) -> Option<usize> {
        let mut search = Search { found: None, takes };
        search.path(&self.any_host, path);
        if !self.hosts.is_empty() || !self.suffixes.is_empty() {
            let name = host_name(host);
            let is_lower = !name.iter().any(u8::is_ascii_uppercase);
            let name = if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) };
            if let Some(paths) = self.hosts.get(&*name) {
                search.path(paths, path);
            }
            for paths in self.ends_of(&name) {
                search.path(paths, path);
            }
        }
        search.found
    }

    /// The first earlier route that may take every request of `route` and that `covers` accepts.
    pub fn find_covering(&self, route: &Route, covers: impl Fn(usize) -> bool) -> Option<usize> {
        let mut search = Search { found: None, takes: covers };
        search.pattern(&self.any_host, &route.path);
        // A route that covers this one is indexed under every host of this one, so looking up the first host
        // is enough.
        match route.hosts.first() {
            None => {}
            Some(HostPattern::Exact(name)) => {
                if let Some(paths) = self.hosts.get(name.as_bytes()) {
                    search.pattern(paths, &route.path);
                }
                for paths in self.ends_of(name.as_bytes()) {
                    search.pattern(paths, &route.path);
                }
            }
            Some(HostPattern::Suffix(end)) => {
                for paths in self.ends_of(end.as_bytes()) {
                    search.pattern(paths, &route.path);
                }
            }
        }
        search.found
    }

    /// The paths of every indexed suffix of `name`.
    fn ends_of<'i>(&'i self, name: &'i [u8]) -> impl Iterator<Item = &'i Paths> {
        // At most the longest suffix, or a long name of dots would cost time without limit.
        let name = &name[name.len().saturating_sub(self.longest_suffix)..];
        let dots = name.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        dots.filter_map(|(dot, _)| self.suffixes.get(&name[dot..]))
    }
}

fn lower(name: &str) -> Box<[u8]> {
    name.to_ascii_lowercase().into_bytes().into()
}

/// The first position found so far.
struct Search<T> {
    found: Option<usize>,
    takes: T,
}

impl<T: Fn(usize) -> bool> Search<T> {
    fn path(&mut self, paths: &Paths, path: &[u8]) {
        if let Some(positions) = paths.exact.get(path) {
            self.look(positions);
        }
        for prefix in paths.prefixes_of(path) {
            self.look(&prefix.positions);
        }
    }

    fn pattern(&mut self, paths: &Paths, pattern: &PathPattern) {
        match pattern {
            PathPattern::Exact(path) => self.path(paths, path.as_bytes()),
            PathPattern::Prefix(prefix) => {
                for prefix in paths.prefixes_of(prefix.as_bytes()) {
                    self.look(&prefix.positions);
                }
            }
        }
    }

    fn look(&mut self, positions: &Positions) {
        let end = self.found.unwrap_or(usize::MAX);
        let mut earlier = positions.iter().copied().take_while(|position| *position < end);
        self.found = earlier.find(|position| (self.takes)(*position)).or(self.found);
    }
}

/// An index of routes by their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Paths {
    exact: HashMap<Box<[u8]>, Positions>,
    /// Sorted by text, each text once.
    prefixes: Vec<Prefix>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix {
    text: Box<[u8]>,
    positions: Positions,
    /// The longest of the other prefixes that this one begins with.
    parent: Option<usize>,
}

impl Paths {
    /// Adds a route. Routes are added in order.
    fn add(&mut self, path: &PathPattern, position: usize) {
        match path {
            PathPattern::Exact(path) => {
                self.exact.entry(path.as_bytes().into()).or_default().push(position);
            }
            PathPattern::Prefix(prefix) => {
                let positions = vec![position];
                self.prefixes.push(Prefix { text: prefix.as_bytes().into(), positions, parent: None });
            }
        }
    }

    /// Sorts and links the prefixes after the last route was added.
    fn arrange(&mut self) {
        // The sort is stable, so positions stay in order.
        self.prefixes.sort_by(|one, other| one.text.cmp(&other.text));
        self.prefixes.dedup_by(|later, kept| {
            let is_same = later.text == kept.text;
            if is_same {
                kept.positions.append(&mut later.positions);
            }
            is_same
        });
        for index in 1..self.prefixes.len() {
            let text = self.prefixes[index].text.clone();
            let parent = self.begins(Some(index - 1), &text);
            self.prefixes[index].parent = parent;
        }
    }

    /// All prefixes of `path`, the longest first.
    fn prefixes_of<'p>(&'p self, path: &'p [u8]) -> impl Iterator<Item = &'p Prefix> {
        // Texts that sort between the longest prefix of `path` and `path` itself begin with that prefix. So
        // the prefix is an ancestor of the last text that sorts before `path`.
        let behind = self.prefixes.partition_point(|prefix| &*prefix.text <= path);
        let longest = self.begins(behind.checked_sub(1), path);
        std::iter::successors(longest, |index| self.prefixes[*index].parent)
            .map(|index| &self.prefixes[index])
    }

    /// The first prefix of `path` among the one at `index` and its ancestors.
    fn begins(&self, index: Option<usize>, path: &[u8]) -> Option<usize> {
        std::iter::successors(index, |index| self.prefixes[*index].parent)
            .find(|index| path.starts_with(&self.prefixes[*index].text))
    }
}
