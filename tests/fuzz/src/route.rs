//! Property: for any path and any routes, the first matching route is found, and every way in which an
//! origin could normalise the path leads to the same route.
//!
//! The first line of an input has method, host and path, separated by spaces. Each further line is a
//! route: `^` (prefix) or `=` (exact), methods, hosts, path. `-` stands for any.

use approov_gateway::approov::Strategy;
use approov_gateway::policy::{
    HostPattern, PathFault, PathPattern, Policy, Route, RouteOptions, RouteTable, check_plain,
};

const MAX_ROUTES: usize = 12;

/// A number of routes above which the table uses an index.
const MANY: usize = 40;

/// Checks the property of this module.
///
/// # Panics
/// If the property does not hold.
pub fn holds(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut request = lines.next().unwrap_or_default().splitn(3, |byte| *byte == b' ');
    let (Some(method), Some(host), Some(path)) = (request.next(), request.next(), request.next()) else {
        return;
    };
    let Ok(method) = std::str::from_utf8(method) else { return };
    if check_plain(path).is_ok() {
        let decoded = decode(path);
        assert!(std::str::from_utf8(&decoded).is_ok());
        for (server, reading) in readings(path) {
            assert_eq!(reading.escape_ascii().to_string(), decoded.escape_ascii().to_string(), "{server}");
        }
    }
    let routes: Vec<Route> =
        lines.filter_map(|line| route(std::str::from_utf8(line).ok()?)).take(MAX_ROUTES).collect();
    let scan = |path: &[u8]| routes.iter().position(|route| takes(route, method, host, path));
    let looks_at_paths = routes.iter().any(|route| route.path != PathPattern::Prefix("/".into()));
    let table = RouteTable::new(routes.clone());
    has_an_index_that_finds_the_same(&routes, method, host, path);
    match table.find(method, host, path, None) {
        Ok(found) => {
            assert_eq!(found.map(|(index, _)| index), scan(path));
            assert!(found.is_none_or(|(index, route)| *route == routes[index]));
            if looks_at_paths {
                assert_eq!(check_plain(path), Ok(()));
                assert!(readings(path).iter().all(|(_, reading)| scan(reading) == scan(path)));
            }
        }
        Err(fault) => {
            assert!(looks_at_paths, "{fault}");
            match check_plain(path) {
                Ok(()) => {
                    assert_eq!(fault, PathFault::TwoRoutes);
                    assert_ne!(scan(&decode(path)), scan(path));
                }
                Err(form) => assert_eq!(fault, form),
            }
        }
    }
}

/// Enough routes for the index: the given routes, and copies of them below other paths.
fn has_an_index_that_finds_the_same(routes: &[Route], method: &str, host: &[u8], path: &[u8]) {
    let other = |index| route(&format!("= - - /other/{index}"));
    let others = (0..MANY).filter_map(other);
    let mut all: Vec<Route> = routes.to_vec();
    all.extend(others);
    all.extend_from_slice(routes);
    let table = RouteTable::new(all.clone());
    let first = all.iter().position(|route| takes(route, method, host, path));
    if let Ok(found) = table.find(method, host, path, None) {
        assert_eq!(found.map(|(index, _)| index), first);
    }
    for (index, route) in all.iter().enumerate() {
        let covering = table.covering(index);
        assert!(index < routes.len() + MANY || covering.is_some_and(|earlier| earlier < routes.len()));
        if let Some(earlier) = covering.filter(|_| takes(route, method, host, path)) {
            assert!(earlier < index && takes(&all[earlier], method, host, path));
        }
    }
}

/// A route that the configuration accepts: its path is unambiguous.
fn route(line: &str) -> Option<Route> {
    let [kind, methods, hosts, path] = line.splitn(4, ' ').collect::<Vec<_>>().try_into().ok()?;
    check_plain(path.as_bytes()).ok()?;
    let list = |text: &str| text.split(',').filter(|entry| *entry != "-").map(str::to_owned).collect();
    let (methods, hosts): (Vec<String>, Vec<String>) = (list(methods), list(hosts));
    let host = |host: String| match host.to_ascii_lowercase().strip_prefix('*') {
        Some(suffix) if suffix.starts_with('.') => Some(HostPattern::Suffix(suffix.into())),
        Some(_) => None,
        None => Some(HostPattern::Exact(host.to_ascii_lowercase().into())),
    };
    Some(Route {
        name: line.into(),
        path: match kind {
            "^" => PathPattern::Prefix(path.into()),
            "=" => PathPattern::Exact(path.into()),
            _ => return None,
        },
        methods: methods.into_iter().map(Into::into).collect(),
        hosts: hosts.into_iter().map(host).collect::<Option<_>>()?,
        client_certificate: None,
        policy: Policy::Protect,
        strategy: Strategy::Token,
        options: RouteOptions::default(),
        origin: 0,
    })
}

fn takes(route: &Route, method: &str, host: &[u8], path: &[u8]) -> bool {
    let is_path = match &route.path {
        PathPattern::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
        PathPattern::Exact(exact) => path == exact.as_bytes(),
    };
    let host = String::from_utf8_lossy(host).to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => &host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_host = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(exact) => name == &**exact,
        HostPattern::Suffix(suffix) => name.len() > suffix.len() && name.ends_with(&**suffix),
    };
    is_path
        && (route.methods.is_empty() || route.methods.contains(&method.into()))
        && (route.hosts.is_empty() || route.hosts.iter().any(is_host))
}

/// The paths that various servers read from a path.
fn readings(path: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let decoded = decode(path);
    let slashed: Vec<u8> = decoded.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
    let mut merged = decoded.clone();
    merged.dedup_by(|second, first| *first == b'/' && *second == b'/');
    vec![
        ("decodes", decoded.clone()),
        ("decodes twice", decode(&decoded)),
        ("resolves dots, then decodes", decode(&without_dots(path))),
        ("decodes, then resolves dots", without_dots(&decoded)),
        ("takes a backslash for a slash", without_dots(&slashed)),
        ("merges slashes", merged),
        ("drops parameters", without_parameters(&decoded)),
        ("decodes, then drops parameters, then resolves dots", without_dots(&without_parameters(&decoded))),
        ("leaves control characters out", decoded.iter().copied().filter(|byte| *byte >= 0x20).collect()),
        ("ends at NUL", decoded.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
    ]
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let digits = path.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match digits.filter(|_| path[at] == b'%') {
            Some(digits) => {
                let digits = std::str::from_utf8(digits).expect("ASCII");
                decoded.push(u8::from_str_radix(digits, 16).expect("two digits"));
                at += 3;
            }
            None => {
                decoded.push(path[at]);
                at += 1;
            }
        }
    }
    decoded
}

/// Removes dot segments (RFC 3986 §5.2.4). Spaces at the end of a segment are ignored, as on Windows.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut all = path.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = all.next() {
        let is_last = all.peek().is_none();
        match segment.trim_ascii_end() {
            b"." => {}
            b".." => {
                if segments.len() > 1 {
                    segments.pop();
                }
            }
            _ => {
                segments.push(segment);
                continue;
            }
        }
        if is_last {
            segments.push(b"");
        }
    }
    segments.join(&b'/')
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let name = |segment: &[u8]| segment.split(|byte| *byte == b';').next().unwrap_or_default().to_vec();
    path.split(|byte| *byte == b'/').map(name).collect::<Vec<_>>().join(&b'/')
}
