//! The time to find a route in tables of several sizes, next to trying all routes; and the time to load
//! a configuration.
//!
//! Run it with `cargo bench --bench routes`. A time is the least of several rounds, because other work on
//! the machine only adds to it.

#![allow(clippy::expect_used, reason = "a bench stops where it cannot go on")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use approov_gateway::config::{Environment, load};
use approov_gateway::policy::{Route, RouteTable};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // `cargo test --benches` passes no `--bench`: one round shows that the bench runs.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    println!("{:>8} {:>14} {:>14} {:>14} {:>14}", "routes", "find, first", "find, last", "try all", "load");
    for count in [1, 3, 10, 32, 33, 100, 1000, 10_000] {
        let (file, routes) = configuration(count);
        let rounds = if is_bench { 9 } else { 1 };
        let table = RouteTable::new(routes.clone());
        let least = |work: &dyn Fn()| (0..rounds).map(|_| time(work)).min().unwrap_or_default();
        let many = if is_bench { 1 + 1_000_000 / (count + 100) } else { 1 };
        let find = |path: &str| {
            let found = least(&|| {
                for _ in 0..many {
                    let path = black_box(path.as_bytes());
                    black_box(table.find("GET", b"api.example.com", path, None).expect("a plain path"));
                }
            });
            per(found, many)
        };
        let (first, last) = (find("/v1/things-1/x"), find("/elsewhere/and/further"));
        let tried = least(&|| {
            for _ in 0..many {
                let path = black_box(b"/elsewhere/and/further");
                black_box(routes.iter().position(|route| takes(route, path)).expect("a route"));
            }
        });
        let loaded = least(&|| {
            let settings = load(Some(file.as_ref()), &Environment::default()).expect("a configuration");
            assert_eq!(settings.routes.routes().len(), count);
        });
        println!("{count:>8} {first:>14} {last:>14} {:>14} {:>14}", per(tried, many), per(loaded, 1));
        std::fs::remove_file(file).expect("ours");
    }
}

fn takes(route: &Route, path: &[u8]) -> bool {
    route.path.matches(path) && route.methods.is_empty() && route.hosts.is_empty()
}

/// A configuration file with `count` routes, and the routes themselves. The last route takes every path.
fn configuration(count: usize) -> (String, Vec<Route>) {
    let path = std::env::temp_dir().join(format!("approov-bench-routes-{}.yaml", std::process::id()));
    let secret = "azcrV3EyTHhKcDBkVnQ5c1JiNG1ZaDFuWmM2dUVhM2ZJSCtYaytJQUhoVlZIc3pqRHplR29iek4";
    let mut text = format!(
        "approov: {{ keys: [ {{ secret_base64: {secret} }} ] }}\norigins: {{ api: {{ domain: \"https://a.example\" }} }}\nroutes:\n"
    );
    for number in 1..count {
        let end = if number % 4 == 0 { "" } else { "/" };
        writeln!(text, "  - {{ path: /v1/things-{number}{end}, policy: protect, origin: api }}")
            .expect("writing to memory");
    }
    text += "  - { path: /, policy: protect, origin: api }\n";
    std::fs::write(&path, text).expect("written");
    let settings = load(Some(&path), &Environment::default()).expect("a configuration");
    (path.to_string_lossy().into_owned(), settings.routes.routes().to_vec())
}

fn time(work: &dyn Fn()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn per(total: Duration, count: usize) -> String {
    let nanoseconds = total.as_secs_f64() * 1e9 / count as f64;
    if nanoseconds < 1e5 { format!("{nanoseconds:.0} ns") } else { format!("{:.2} ms", nanoseconds / 1e6) }
}
