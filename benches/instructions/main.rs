//! Instructions of one verification and of one request, counted by valgrind, so that a review can hold a change to
//! them. The counts of verifications are always the same. Those of requests are not: runs on a busy machine have
//! differed by 16 %. Record them on an idle one.
//!
//! ```sh
//! cargo bench --bench instructions               # count, and compare with the record
//! cargo bench --bench instructions -- --record   # write benches/instructions/recorded.txt
//! ```
//!
//! Two ratios must hold: a message signature costs at most 1.3 times what the library's verification of the
//! same signature costs, and signing on one route costs the requests of another nothing.
//!
//! A count is the difference between a long and a short run, so that the start of the process does not
//! count. Valgrind has no SHA instructions, so hashes are computed in software. Instructions of the
//! kernel and cache misses do not show.

#![allow(clippy::expect_used, clippy::panic, reason = "a bench stops where it cannot go on")]

mod http2;
mod tokens;
mod verifications;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use approov_gateway::approov::Secret;
use approov_gateway::cli::token::{MintRequest, TokenKind, mint};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECRET: &str =
    "k7+Wq2LxJp0dVt9sRb4mYh1nZc6uEa3fIH+Xk+IAHhVVHszjDzeGobzNnqyRze3lw/WVyWrc2gZfh3XXfBOmww==";
const AUTHORIZATION: &str = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.user";

/// Requests of the two runs: fewer than one connection may carry.
const RUNS: [u64; 2] = [96, 896];

/// The share by which equal code can differ, because of memory addresses.
const TOLERANCE: f64 = 0.02;

/// An accepted request, where two routes are configured.
const TWO_ROUTES: &str = "accepted request of two routes";

/// The same request, where the other route asks for message signatures.
const NEXT_TO_SIGNED: &str = "accepted request next to signed ones";

/// What one count may be at most, as a multiple of another.
const RATIOS: [(&str, &str, f64); 2] =
    [(verifications::INSTALL, verifications::BARE, 1.3), (NEXT_TO_SIGNED, TWO_ROUTES, 1.005)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--role-verify", name, count] => verify(name, count.parse().expect("a number")),
        ["--bench", "--record"] | ["--record", "--bench"] | ["--record"] => {
            let counts = count_all();
            record(&counts);
            exit_unless(keeps_ratios(&counts));
        }
        ["--bench"] => {
            let counts = count_all();
            let is_as_recorded = is_as_recorded(&counts);
            exit_unless(keeps_ratios(&counts) && is_as_recorded);
        }
        // `cargo test --benches` passes no `--bench`: each verification once shows that the bench runs.
        _ => verifications::NAMES.iter().for_each(|name| verify(name, 1)),
    }
}

fn exit_unless(is_good: bool) {
    if !is_good {
        std::process::exit(1);
    }
}

/// Names and counts of instructions.
type Counts = Vec<(&'static str, u64)>;

fn count_all() -> Counts {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("valgrind is missing: install the package `valgrind`");
        std::process::exit(1);
    }
    let origin = origin();
    let verifications =
        verifications::NAMES.map(|name| (name, per_one(|count| count_verifications(name, count))));
    let accepted = |function| per_one(|count| count_http1(origin, TokenKind::Valid, count, function));
    let mut counts = Counts::from(verifications);
    counts.extend([
        ("accepted request", accepted(None)),
        (RECORDED, accepted(Some("*Shared>::record"))),
        (CORRELATED, accepted(Some("*Correlation::of"))),
        ("refused request", per_one(|count| count_http1(origin, TokenKind::Invalid, count, None))),
        ("accepted request over HTTP/2", per_one(|count| count_http2(origin, count))),
        (TWO_ROUTES, per_one(|count| count_next_to("off", origin, count))),
        (NEXT_TO_SIGNED, per_one(|count| count_next_to("required", origin, count))),
    ]);
    counts
}

/// Parts of an accepted request: the log line and the metrics, and the request id and trace context. Each is
/// a function with what it calls.
const RECORDED: &str = "  of it: log and metrics";
const CORRELATED: &str = "  of it: request id and trace";

/// The task of a connection with HTTP/1.
const CONNECTION: &str = "approov_gateway::downstream::http1::serve::{{closure}}";

fn per_one(count: impl Fn(u64) -> u64) -> u64 {
    let [short, long] = RUNS.map(&count);
    assert!(long > short, "no instructions: the function is inlined, or has another name");
    (long - short) / (RUNS[1] - RUNS[0])
}

/// Prints the counts next to the record. Returns whether each is recorded and none has grown.
fn is_as_recorded(counts: &Counts) -> bool {
    let recorded = std::fs::read_to_string(record_path()).unwrap_or_default();
    println!("{:<36} {:>10} {:>10} {:>7}", "instructions", "now", "recorded", "ratio");
    let (mut has_grown, mut is_missing) = (false, false);
    for (name, now) in counts {
        let of_line = |line: &str| line.strip_prefix(name)?.trim().parse::<u64>().ok();
        let Some(before) = recorded.lines().find_map(of_line) else {
            println!("{name:<36} {now:>10} {:>10}", "none");
            is_missing = true;
            continue;
        };
        let ratio = *now as f64 / before as f64;
        println!("{name:<36} {now:>10} {before:>10} {ratio:>7.3}");
        has_grown |= ratio > 1.0 + TOLERANCE;
    }
    if has_grown {
        println!("\nmore than recorded: find the reason, or renew the record in the same change");
    }
    if is_missing {
        println!("\nnot every count is recorded: renew the record with -- --record");
    }
    !has_grown && !is_missing
}

/// Prints the ratios that must hold. Returns whether all do.
fn keeps_ratios(counts: &Counts) -> bool {
    println!("\n{:<36} {:>42} {:>7}", "ratio", "to", "");
    let count = |wanted| {
        let found = counts.iter().find(|(name, _)| *name == wanted);
        found.map_or_else(|| panic!("there is no count {wanted:?}"), |(_, count)| *count)
    };
    let mut keeps = true;
    for (name, other, most) in RATIOS {
        let ratio = count(name) as f64 / count(other) as f64;
        let is_kept = ratio <= most;
        let verdict = if is_kept { "ok" } else { "MISSED" };
        println!("{name:<36} {other:>42} {ratio:>7.3}  at most {most}: {verdict}");
        keeps &= is_kept;
    }
    keeps
}

fn record(counts: &Counts) {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output().expect("it is there").stdout;
        String::from_utf8_lossy(&output).split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    let mut text = format!(
        "# Instructions in user space, by `cargo bench --bench instructions -- --record`\n# with {}, {}\n",
        version("rustc"),
        version("valgrind")
    );
    for (name, count) in counts {
        text += &format!("{name:<36} {count:>8}\n");
    }
    std::fs::write(record_path(), &text).expect("the record can be written");
    print!("{text}");
}

fn record_path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "instructions", "recorded.txt"].iter().collect()
}

/// Verifies `count` times.
fn verify(name: &str, count: u64) {
    let verifies = verifications::prepare(name);
    for _ in 0..count {
        assert!(verifies(), "{name}: a wrong verdict");
    }
}

fn count_verifications(name: &str, count: u64) -> u64 {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = valgrind();
    command.arg(program).args(["--role-verify", name, &count.to_string()]);
    collected(command.spawn().expect("valgrind starts"))
}

/// With the pattern of a function only the instructions of it and of what it calls.
fn count_http1(origin: SocketAddr, kind: TokenKind, count: u64, function: Option<&str>) -> u64 {
    let status = if kind == TokenKind::Valid { "HTTP/1.1 200 " } else { "HTTP/1.1 401 " };
    count_requests(origin, function, None, |address| ask(address, &token(kind), status, count))
}

/// Accepted requests where another route has this mode of message signing. Only what a connection does is counted: the
/// timers of the process would hide a difference of one in a thousand. A route that signs is stricter, so that other
/// paths are compared with its own, which is not signing and is left out.
fn count_next_to(mode: &str, origin: SocketAddr, count: u64) -> u64 {
    let config = config(&format!(
        "listeners: [ {{ address: \"127.0.0.1:0\" }} ]\n\
         routing: {{ look_alikes: exact }}\n\
         routes: [ {{ path: /signed/, message_signing: {mode} }}, {{ path: / }} ]\n"
    ));
    let token = token(TokenKind::Valid);
    count_requests(origin, Some(CONNECTION), Some(&config), |address| {
        ask(address, &token, "HTTP/1.1 200 ", count);
    })
}

/// A file with this configuration.
fn config(yaml: &str) -> PathBuf {
    let file: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "instructions.yaml"].iter().collect();
    std::fs::write(&file, yaml).expect("writable");
    file
}

fn count_http2(origin: SocketAddr, count: u64) -> u64 {
    let config = config("listeners: [ { address: \"127.0.0.1:0\", h2c: true } ]\n");
    let token = token(TokenKind::Valid);
    let fields = [
        ("user-agent", "app/1.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip"),
        ("authorization", AUTHORIZATION),
        ("approov-token", &token),
    ];
    count_requests(origin, None, Some(&config), |address| http2::ask(address, &fields, count))
}

/// Counts the instructions of a gateway that answers the requests of `ask`, which are sent over one
/// connection. Without a configuration file the gateway listens with HTTP/1.1.
fn count_requests(
    origin: SocketAddr,
    function: Option<&str>,
    config: Option<&Path>,
    ask: impl Fn(SocketAddr),
) -> u64 {
    let mut command = valgrind();
    command.args(function.map(|function| format!("--toggle-collect={function}")));
    match config {
        Some(file) => command.env("GATEWAY_CONFIG", file),
        None => command.env("GATEWAY_LISTEN", "127.0.0.1:0"),
    };
    command
        .args([env!("CARGO_BIN_EXE_approov-gateway"), "run"])
        .env("APPROOV_SECRET_BASE64", SECRET)
        .env("API_DOMAIN", format!("http://{origin}"))
        .env("APPROOV_VERIFICATION_STRATEGY", "token-binding")
        .env("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0")
        .env("GATEWAY_THREADS", "1");
    let mut child = command.spawn().expect("valgrind starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
    let address = loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).expect("readable") > 0, "the gateway never listened");
        if let Some((_, address)) = line.split_once("listening on http://") {
            break address.trim().parse::<SocketAddr>().expect("an address");
        }
    };
    ask(address);
    let pid = child.id().to_string();
    let stopped = Command::new("kill").args(["-s", "TERM", &pid]).status();
    assert!(stopped.is_ok_and(|status| status.success()), "the gateway cannot be stopped");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("readable");
    child.wait().expect("it ends");
    count_in(&rest)
}

fn valgrind() -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn collected(mut child: Child) -> u64 {
    let mut text = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut text).expect("readable");
    assert!(child.wait().expect("it ends").success(), "{text}");
    count_in(&text)
}

fn count_in(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.split_once("Collected :"));
    line.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or_else(|| panic!("no count in {text}"))
}

fn secret() -> Secret {
    Secret::from_base64(SECRET).expect("the secret is good")
}

fn token(kind: TokenKind) -> String {
    let request = MintRequest { kind, bind: vec![AUTHORIZATION.into()], ..MintRequest::default() };
    // A fixed time, so that the token always has the same length.
    mint(&secret(), &request, UNIX_EPOCH + Duration::from_secs(4_000_000_000)).expect("a token")
}

/// Sends `count` requests over one connection and reads the answers.
fn ask(address: SocketAddr, token: &str, status: &str, count: u64) {
    let request = format!(
        "GET /v1/posts/1?full=true HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: app/1.0\r\n\
         Accept: application/json\r\nAccept-Encoding: gzip\r\nAuthorization: {AUTHORIZATION}\r\n\
         Approov-Token: {token}\r\n\r\n"
    );
    let mut connection = TcpStream::connect(address).expect("the gateway accepts");
    connection.set_nodelay(true).expect("a TCP socket");
    let mut answer = vec![0; 4096];
    for _ in 0..count {
        connection.write_all(request.as_bytes()).expect("the gateway reads");
        let mut length = 0;
        // The answer of the origin and a refusal both end with the only `}` in them.
        while !answer[..length].ends_with(b"}") {
            let count = connection.read(&mut answer[length..]).expect("the gateway answers");
            assert!(count > 0, "the connection is kept");
            length += count;
        }
        assert!(answer.starts_with(status.as_bytes()), "{}", answer[..length].escape_ascii());
    }
}

/// An origin with a fixed answer to requests without a body.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let body = format!("{{\"id\":1,\"text\":\"{}\"}}", "x".repeat(270 - 18));
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let response = response.clone();
            std::thread::spawn(move || -> std::io::Result<()> {
                connection.set_nodelay(true)?;
                let (mut request, mut length) = (vec![0; 8192], 0);
                loop {
                    match connection.read(&mut request[length..])? {
                        0 => return Ok(()),
                        count => length += count,
                    }
                    if request[..length].ends_with(b"\r\n\r\n") {
                        connection.write_all(response.as_bytes())?;
                        length = 0;
                    }
                }
            });
        }
    });
    address
}
