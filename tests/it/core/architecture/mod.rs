//! Who may know whom: the rules of `src/lib.rs`, held against the source code.

mod source;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

pub use source::rust_files;
use source::{SourceFile, Sources};

/// Items that have to do with sockets, tasks, files, the environment or the log. A path stands for all
/// items below it.
const IMPURE: [&str; 26] = [
    "env_logger",
    "eprint",
    "eprintln",
    "listenfd",
    "log",
    "nix",
    "pingora",
    "pingora_core",
    "pingora_http",
    "pingora_proxy",
    "print",
    "println",
    "rustix",
    "socket2",
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "tokio",
];

/// Types whose values come from a clock. Pure rooms have their own types for times.
const CLOCKS: [&str; 5] = [
    "std::time::Instant",
    "std::time::SystemTime",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "crate::clock",
];

/// Functions that read a clock.
const READS_CLOCK: [&str; 5] = [
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "tokio::time::Instant::now",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];

/// Methods that read a clock.
const READS_CLOCK_METHODS: [&str; 1] = ["elapsed"];

/// The largest circle of files within one room.
const LARGEST_CIRCLE: usize = 3;

/// The lines of the drawing in `src/lib.rs`: each room with the rooms that it knows.
fn drawn() -> BTreeMap<String, BTreeSet<String>> {
    let lines = lib_lines();
    let arrows = lines.iter().filter_map(|line| line.split_once('→'));
    let rooms = |text: &str| text.split(',').map(|room| room.trim().to_owned()).collect();
    let drawn: BTreeMap<_, _> = arrows.map(|(room, known)| (room.trim().to_owned(), rooms(known))).collect();
    assert!(drawn.len() > 10, "{drawn:?}");
    drawn
}

/// The rooms that `src/lib.rs` calls pure.
fn pure() -> BTreeSet<String> {
    let lines = lib_lines();
    let line = lines.iter().find_map(|line| line.trim().strip_prefix("pure:")).expect("a line of pure rooms");
    let pure: BTreeSet<_> = line.split(',').map(|room| room.trim().to_owned()).collect();
    assert!(pure.len() > 4, "{pure:?}");
    pure
}

fn lib_lines() -> Vec<String> {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    lib.lines().filter_map(|line| Some(line.strip_prefix("//!")?.to_owned())).collect()
}

fn names(file: &SourceFile, item: &str) -> bool {
    let item: Vec<&str> = item.split("::").collect();
    file.items
        .iter()
        .any(|path| path.len() >= item.len() && path.iter().zip(&item).all(|(one, other)| one == other))
}

#[test]
fn every_arrow_between_rooms_is_drawn_and_every_drawn_arrow_exists() {
    let sources = Sources::read();
    let mut real: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut examples = BTreeMap::new();
    for file in &sources.files {
        for known in sources.known_by(file) {
            let known = &sources.files[known];
            // Every room may use the macro for closed sets, and the items of the crate's root.
            if known.room() != file.room()
                && !file.room().is_empty()
                && !["", "closed_set"].contains(&known.room())
            {
                real.entry(file.room().into()).or_default().insert(known.room().into());
                examples.insert(
                    (file.room(), known.room()),
                    format!("{} names items of {}", file.name, known.name),
                );
            }
        }
    }
    let drawn = drawn();
    let mut missing = Vec::new();
    for (room, known) in &real {
        for other in known {
            if !drawn.get(room).is_some_and(|drawn| drawn.contains(other)) {
                missing.push(format!("{room} → {other}: {}", examples[&(&**room, &**other)]));
            }
        }
    }
    assert!(missing.is_empty(), "src/lib.rs does not draw {missing:#?}");
    for (room, known) in &drawn {
        for other in known {
            let is_real = real.get(room).is_some_and(|real| real.contains(other));
            assert!(
                is_real,
                "src/lib.rs draws {room} → {other}, and no file of {room} names an item of {other}"
            );
        }
    }
}

#[test]
fn every_room_knows_only_rooms_on_lower_lines_of_the_drawing() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/develop/architecture.md");
    let page = fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once("\n### Now\n").expect("a section with the present drawing");
    let drawing = section.split("```").nth(1).expect("a drawing").trim_start_matches("text");
    let drawn = drawn();
    let rooms: BTreeSet<&String> =
        drawn.iter().flat_map(|(room, known)| known.iter().chain([room])).collect();
    let is_room = |word: &&str| rooms.iter().any(|room| room == word);
    let lines: Vec<Vec<&str>> =
        drawing.lines().map(|line| line.split_whitespace().take_while(is_room).collect()).collect();
    let line_of = |room: &str| lines.iter().position(|line| line.contains(&room));
    for room in &rooms {
        let count = lines.iter().flatten().filter(|word| *word == room).count();
        assert_eq!(count, 1, "{room} in {lines:?}");
    }
    for (room, known) in &drawn {
        for other in known {
            assert!(line_of(other) > line_of(room), "{room} knows {other}, which is not on a lower line");
        }
    }
}

#[test]
fn no_circle_ties_files_of_two_rooms_or_more_than_three_files_of_one() {
    let sources = Sources::read();
    let known: Vec<_> = sources.files.iter().map(|file| sources.known_by(file)).collect();
    let reached: Vec<BTreeSet<usize>> = (0..known.len()).map(|file| reached(&known, file)).collect();
    for file in 0..known.len() {
        let circle: Vec<usize> =
            reached[file].iter().copied().filter(|other| reached[*other].contains(&file)).collect();
        let rooms: BTreeSet<_> = circle.iter().map(|file| sources.files[*file].room()).collect();
        let files: Vec<_> = circle.iter().map(|file| &*sources.files[*file].name).collect();
        assert!(rooms.len() <= 1, "a circle ties {files:?}");
        assert!(files.len() <= LARGEST_CIRCLE, "a circle ties {files:?}");
    }
}

/// All files that can be reached from `file` by arrows.
fn reached(known: &[BTreeSet<usize>], file: usize) -> BTreeSet<usize> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
    while let Some(file) = next.pop() {
        next.extend(known[file].iter().copied().filter(|other| reached.insert(*other)));
    }
    reached
}

#[test]
fn pure_rooms_know_no_sockets_tasks_files_environment_log_or_clock() {
    let sources = Sources::read();
    let pure = pure();
    let mut files = 0;
    for file in sources.files.iter().filter(|file| pure.contains(file.room())) {
        for item in IMPURE.iter().chain(&CLOCKS) {
            assert!(!names(file, item), "{} names {item}", file.name);
        }
        for method in READS_CLOCK_METHODS {
            assert!(!file.methods.contains(method), "{} calls {method}()", file.name);
        }
        files += 1;
    }
    assert!(files > 30, "{files}");
}

#[test]
fn only_the_clock_reads_the_time() {
    for file in Sources::read().files.iter().filter(|file| file.name != "clock.rs") {
        for item in READS_CLOCK {
            assert!(!names(file, item), "{} names {item}; ask crate::clock", file.name);
        }
        for method in READS_CLOCK_METHODS {
            assert!(!file.methods.contains(method), "{} calls {method}(); ask crate::clock", file.name);
        }
    }
}

#[test]
fn every_type_has_a_name_of_its_own() {
    let sources = Sources::read();
    let mut defined: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in &sources.files {
        for name in &file.types {
            defined.entry(name).or_default().push(&file.name);
        }
    }
    assert!(defined.len() > 300, "{}", defined.len());
    defined.retain(|_, files| files.len() > 1);
    assert!(defined.is_empty(), "one name, several types: {defined:#?}");
}

#[test]
fn the_rules_see_an_item_however_it_is_spelled() {
    let clock = Sources::read().files.into_iter().find(|file| file.name == "clock.rs").expect("the clock");
    // `clock.rs` imports the types and calls functions of the imported names.
    for item in ["std::time::Instant::now", "std::time::SystemTime::now", "tokio::time::Instant::now"] {
        assert!(names(&clock, item), "{item}: {:?}", clock.items);
    }
    assert!(!names(&clock, "std::env"));
}
