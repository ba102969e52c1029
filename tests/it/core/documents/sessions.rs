//! The commands that a page shows run as they are shown, and print what is shown.
//!
//! The blocks of a page are one session of a shell. A configuration that the page shows is
//! `gateway.yaml` for the commands after it, in front of an origin of the test. The folder of the session
//! stands for `/etc/approov-gateway`. A page that asks a gateway without starting one finds it running.
//! `session.sh` has what stands in for `approov` and `cargo`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering};

use rcgen::DnType;
use serde_yaml::{Mapping, Value};

use super::configurations::Files;
use super::page::{Block, Page};
use crate::harness::tls::{Authority, Identity};
use crate::harness::{Folder, Origin, has_program, run, tokens};

impl Block {
    /// Whether a test runs this block.
    fn is_run(&self) -> bool {
        match self.language.as_str() {
            "sh" => self.note.is_empty(),
            language => language == "console",
        }
    }

    /// The commands of a `console` block, each with the output that is shown.
    fn commands(&self) -> Vec<(String, String)> {
        let mut commands: Vec<(String, String)> = Vec::new();
        let mut goes_on = false;
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command.to_owned(), String::new())),
                (None, Some((command, _))) if goes_on => write!(command, "\n{line}").unwrap(),
                (None, Some((_, output))) => *output += &format!("{line}\n"),
                (None, None) => panic!("a console block begins with `$ `: {line}"),
            }
            goes_on = line.ends_with('\\');
        }
        commands
    }
}

/// One page in a folder, with an origin and addresses of its own.
struct Session<'p> {
    page: &'p Page,
    folder: Folder,
    origin: Origin,
    /// Stands for 127.0.0.1, so that ports can be those of the page.
    address: String,
}

impl<'p> Session<'p> {
    fn new(page: &'p Page) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = format!("127.{}.{}.{number}", process / 256 % 256, process % 256);
        Self { page, folder: Folder::new(), origin: Origin::new(), address }
    }

    /// Runs the page. Returns what differs from what is shown.
    fn differences(&self) -> Vec<String> {
        let exit = self.run();
        let mut differences = Vec::new();
        if !exit.status.success() {
            let at = fs::read_to_string(self.folder.path("at")).unwrap_or_default();
            let (line, output) = at.trim().split_once(' ').unwrap_or_default();
            let written = fs::read_to_string(self.folder.path(output)).unwrap_or_default();
            let errors = String::from_utf8_lossy(&exit.stderr);
            differences.push(format!(":{line}: {}\n{written}{errors}", exit.status));
            return differences;
        }
        for (block, number) in self.page.blocks.iter().zip(0..) {
            if block.language == "console" {
                for ((command, shown), part) in block.commands().iter().zip(0..) {
                    let output = self.as_shown(&self.folder.path(&output_of(number, part)));
                    if !is_like(&output, shown) {
                        let line = block.line;
                        differences.push(format!(":{line}: $ {command}\n{output}--- is shown as\n{shown}"));
                    }
                }
            } else if block.language == "json" {
                let log = self.as_shown(&self.folder.path("access.log"));
                if !log.lines().any(|line| is_like(line, &block.text)) {
                    differences.push(format!(":{}: the access log has no such line:\n{log}", block.line));
                }
            }
        }
        differences
    }

    fn run(&self) -> Output {
        self.write_files();
        let script = self.folder.write("session.sh", self.script());
        let gateway = Path::new(env!("CARGO_BIN_EXE_approov-gateway")).parent().unwrap().to_str().unwrap();
        // A page starts several gateways, which takes its time on a busy machine.
        let mut shell = Command::new("timeout");
        shell
            .args(["120", "bash"])
            .arg(script)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", format!("{gateway}:{}", std::env::var("PATH").unwrap()))
            .env("HOME", self.folder.as_ref())
            .env("XDG_RUNTIME_DIR", self.folder.as_ref())
            .env("SECRET", tokens::SECRET_BASE64);
        shell.env("LISTEN", format!("{}:8787", self.address));
        shell.env("GATEWAY_ADMIN_LISTEN", format!("{}:8788", self.address));
        // A page without these takes a configuration and a secret for granted.
        if !self.shows(&["export API_DOMAIN=", "> /etc/approov-gateway/secret"]) {
            shell.env("GATEWAY_CONFIG", "gateway.yaml").env("APPROOV_SECRET_BASE64", tokens::SECRET_BASE64);
        }
        shell.output().unwrap()
    }

    /// Whether commands of the page have one of these parts.
    fn shows(&self, parts: &[&str]) -> bool {
        let mut blocks = self.page.blocks.iter().filter(|block| block.is_run());
        blocks.any(|block| parts.iter().any(|part| block.text.contains(part)))
    }

    /// The shell script of the whole page.
    fn script(&self) -> String {
        let mut script = include_str!("session.sh").to_owned();
        let needs_gateway = self.shows(&["127.0.0.1:878", "approov-gateway reload"])
            && !self.shows(&["approov-gateway run", "demo"]);
        let mut is_missing = needs_gateway;
        for (block, number) in self.page.blocks.iter().zip(0..) {
            if block.is_configuration() {
                writeln!(script, "cp gateway.{number}.yaml gateway.yaml").unwrap();
                is_missing = needs_gateway;
            }
            if !block.is_run() {
                continue;
            }
            if std::mem::take(&mut is_missing) {
                writeln!(script, "echo '{} start' > at\nserve run -c gateway.yaml > start 2>&1", block.line)
                    .unwrap();
            }
            let mut step = |text: &str, part| {
                let (line, output) = (block.line, output_of(number, part));
                let text = self.as_run(text);
                writeln!(script, "echo '{line} {output}' > at\n{{\n{text}\n}} > {output} 2>&1").unwrap();
            };
            if block.language == "sh" {
                step(&block.text, 0);
            } else {
                for ((command, _), part) in block.commands().into_iter().zip(0..) {
                    // The output tells whether a command failed.
                    step(&format!("set +e\n{command}\nset -e"), part);
                }
            }
        }
        script
    }

    /// The configurations of the page, in front of the origin of the test, and other files.
    fn write_files(&self) {
        let files = Files::in_folder(&self.folder);
        let write = |name: &str, block: &str| {
            let mut file = files.complete(block).unwrap();
            for (_, origin) in file["origins"].as_mapping_mut().unwrap() {
                let own_keys = origin.get("approov").cloned();
                let mut replaced = Mapping::from_iter([("domain".into(), self.origin.url().into())]);
                replaced.extend(own_keys.map(|keys| (Value::from("approov"), keys)));
                *origin = replaced.into();
            }
            self.folder.write(name, serde_yaml::to_string(&file).unwrap());
        };
        write("gateway.yaml", "origins: { api: { domain: api.example.com } }");
        for (block, number) in self.page.blocks.iter().zip(0..) {
            if block.is_configuration() {
                write(&format!("gateway.{number}.yaml"), &block.text);
            } else if block.language == "toml" {
                self.folder.write(&block.note, &block.text);
            }
        }
        let authority = Authority::new();
        self.folder.identity("api", &Identity::new(&authority, &["api.example.com"]));
        self.folder.write(".curlrc", "silent\nshow-error\n");
        self.folder.identity("backup", &Identity::new(&authority, &["api.example.com"]));
        let till = Identity::with(&authority, &[], |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, "Example");
            params.distinguished_name.push(DnType::CommonName, "till 7");
        });
        self.folder.identity("till", &till);
    }

    /// A script with the addresses and files of this session.
    fn as_run(&self, script: &str) -> String {
        script
            .replace("127.0.0.1", &self.address)
            .replace("API_DOMAIN=api.example.com", &format!("API_DOMAIN={}", self.origin.url()))
            .replace("/etc/approov-gateway/", &format!("{}/", self.folder.as_ref().display()))
            // A token of the demo is shown by its beginning, between single quotes.
            .replace("eyJ…", "'\"$TOKEN\"'")
    }

    /// A file of this session with the addresses of the page.
    fn as_shown(&self, path: &Path) -> String {
        let text = String::from_utf8_lossy(&fs::read(path).unwrap()).replace('\r', "");
        let text = text.replace(&self.origin.url(), "https://api.example.com:443");
        let text = text.replace(&self.folder.as_ref().display().to_string(), "/etc/approov-gateway");
        text.replace(&self.address, "127.0.0.1")
    }
}

/// Name of the file with the output of a command: number of its block, and its number in the block.
fn output_of(block: usize, command: usize) -> String {
    format!("output.{block}.{command}")
}

/// Whether an output is what is shown.
fn is_like(output: &str, shown: &str) -> bool {
    fn lines_are_like(output: &[&str], shown: &[&str]) -> bool {
        match shown.split_first() {
            None => output.is_empty(),
            Some((&"…", rest)) => {
                (0..=output.len()).any(|skipped| lines_are_like(&output[skipped..], rest))
            }
            Some((line, rest)) => {
                output.first().is_some_and(|first| line_is_like(first, line))
                    && lines_are_like(&output[1..], rest)
            }
        }
    }
    fn line_is_like(output: &str, shown: &str) -> bool {
        let Some((start, rest)) = shown.split_once('…') else { return output == shown };
        output.strip_prefix(start).is_some_and(|tail| {
            tail.char_indices()
                .map(|(at, _)| at)
                .chain([tail.len()])
                .any(|at| line_is_like(&tail[at..], rest))
        })
    }
    let lines = |text: &str| text.trim().lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let (output, shown) = (lines(output), lines(shown));
    lines_are_like(&output.lines().collect::<Vec<_>>(), &shown.lines().collect::<Vec<_>>())
}

#[test]
fn commands_run_and_print_what_is_shown() {
    if !["bash", "curl", "jq"].into_iter().all(has_program) {
        return;
    }
    let (mut sessions, mut wrong) = (0, Vec::new());
    for page in Page::all().iter().filter(|page| page.blocks.iter().any(Block::is_run)) {
        sessions += 1;
        let name = page.path.strip_prefix(super::root()).unwrap().display();
        wrong.extend(Session::new(page).differences().iter().map(|difference| format!("{name}{difference}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(sessions >= 10, "only {sessions} pages have commands that run");
}

#[test]
fn commands_that_are_not_run_are_well_formed() {
    if !has_program("bash") {
        return;
    }
    let mut checked = 0;
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.language == "sh" && !block.is_run()) {
            let exit = run(Command::new("bash").args(["-n", "-c", &block.text]));
            assert!(exit.status.success(), "{}: {}", page.place(block), exit.stderr);
            checked += 1;
        }
    }
    assert!(checked >= 5, "only {checked} blocks");
}

#[test]
fn outputs_are_compared_up_to_their_placeholders() {
    for (output, shown) in [
        ("a\nb\n", "a\nb\n"),
        ("HTTP/1.1 200 OK\nDate: today\n\n{}\n", "HTTP/1.1 200 OK\n…\n{}\n"),
        ("took 12 ms, 3 lost", "took … ms, … lost"),
        ("a", "…\na"),
    ] {
        assert!(is_like(output, shown), "{output} {shown}");
    }
    for (output, shown) in
        [("a\nb", "a"), ("a", "a\nb"), ("took 12 s", "took … ms"), ("x\nb", "a\n…\nb"), ("a\nb", "a\n…\nc")]
    {
        assert!(!is_like(output, shown), "{output} {shown}");
    }
}
