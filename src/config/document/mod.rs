//! A configuration document: YAML in, typed sections and a report of every problem out.
//!
//! Nothing here depends on the gateway. From bottom to top:
//!
//! - `report`: problems and warnings with file, line and dotted key;
//! - `yaml`: the file as a tree in which every node has its line;
//! - `value`: typed access to the tree;
//! - `kind`, `collection`: how a value is read and described;
//! - `written`, `declared_key`: a key, with what holds if it is not written;
//! - `section`: mappings whose keys are declared once;
//! - `shape`, `schema`, `reference`: JSON Schema and reference page of the declarations.
//!
//! # How to add a key
//!
//! A key is one entry of a [`section!`] in `config/sections`. The entry gives the struct field, the
//! known key, the reading, the default, the JSON Schema and the reference page:
//!
//! ```text
//! section! {
//!     /// The process.
//!     pub struct ServerSection {
//!         /// How long requests in flight may take to finish after SIGTERM.
//!         pub grace_period: Duration = default(duration(Duration::ZERO..=DAY), HALF_A_MINUTE),
//!         /// Where the process id is written. Default: next to the sockets.
//!         pub pid_file: Written<PathBuf> = file(),
//!         /// The kind of the process.
//!         pub kind as "type": Located<ProcessKind> = required(words(KINDS), "write type: worker"),
//!         /// Probes on silent TCP connections.
//!         pub tcp_keepalive: Keepalive = always::<Keepalive>(),
//!     }
//! }
//! ```
//!
//! 1. The doc comment is the text for operators in schema and reference page. The first sentence
//!    says what the key does. Defaults that are not declared are described with `Default: …`.
//! 2. `as "type"` gives the key's name where the name is not a Rust identifier.
//! 3. The right-hand side is a [`Kind`] (`boolean()`, `number(1..=9)`, `words([("a", A::A)])`,
//!    `text("host name", parse)`, `list(kind)`, `named("an origin", kind)`, `word_or("off", kind)`,
//!    `nested::<S>()`; `duration`, `size`, `rate`, `file` and others are in `config/values`), and it
//!    decides the type of the field:
//!
//! | right-hand side | field | not written | not usable |
//! |---|---|---|---|
//! | `kind` | [`Written<T>`](Written) | `Absent` | `Bad` |
//! | `default(kind, value)` | `T` | the default | the default |
//! | `required(kind, hint)` | [`Located<T>`](Located) | the section fails | the section fails |
//! | `always::<S>()` | `S` | read as an empty section | read as an empty section |
//!
//! 4. A section whose keys are the fields of a settings struct with a `Default` needs no struct of
//!    its own: `section! { settings Keepalive(keys) { /// … idle = duration(…), … } }`. The defaults
//!    are those of the struct; `burst = kind => other` computes a default from the fields before it.
//! 5. Checks that need several keys belong to the `resolve` function of the section, next to the
//!    declaration. They report with [`Report::problem`] or [`Report::warning`] and go on.
//! 6. Show the key in `conf/gateway.yaml`, then generate the files again and read the diff:
//!    `UPDATE_REFERENCE=1 cargo test --test it core::`. The golden files in `tests/config` hold the
//!    messages.

mod collection;
mod declared_key;
mod kind;
mod quote;
mod reference;
mod report;
mod schema;
mod section;
mod shape;
mod source_file;
mod value;
mod written;
mod yaml;

pub use collection::{Entries, list, named, usable, word_or};
pub use declared_key::{DeclaredKey, always, default, required};
pub use kind::{Kind, Text, boolean, custom, number, positive, text, whole_number, words};
pub use quote::{MAX_QUOTED, nearest, quoted, suggest};
pub use reference::reference;
pub use report::{Fault, Located, Location, Place, Problem, Problems, Report, Reported};
pub use schema::schema;
pub use shape::{KeySpec, Shape};
pub use source_file::{NO_WAIT, SourceFile, read_regular};
pub use value::{Mapping, Value, alternatives, digits, is_name, leading_zero, list_names, word};
pub use written::Written;
pub use yaml::parse;

pub(crate) use section::section;
pub use section::{Section, nested};
