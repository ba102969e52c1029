//! A log in the store, which all nodes write and read.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Value;

use crate::fleet::store::{StoreConnection, StoreScript, SyncFailure};

/// The most entries that are written at once. More wait for the next exchange.
const MOST_ENTRIES: usize = 1000;

/// The most bytes of entries that wait while the store is lost. What comes then stays with this node.
const MOST_WAITING: usize = 1 << 20;

static SCRIPT: LazyLock<StoreScript> = LazyLock::new(|| StoreScript::new(include_str!("log.lua")));

/// What this node has written and read of a log.
#[derive(Default)]
pub(super) struct StoreLog {
    /// Sealed entries that the store does not have.
    waiting: Vec<String>,
    /// The score from which to read.
    from: u64,
}

/// How much a log keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    /// The age after which an entry is removed.
    pub age: Duration,
    /// The most entries.
    pub entries: usize,
}

/// What one exchange reads of a log: up to 1000 entries or 1 MiB.
pub(super) struct Page {
    pub entries: Vec<Vec<u8>>,
    /// Whether the log had more.
    pub has_more: bool,
}

impl StoreLog {
    /// Writes these entries with the next exchange.
    pub fn write(&mut self, entries: impl IntoIterator<Item = String>) {
        let mut bytes = self.waiting.iter().map(String::len).sum::<usize>();
        self.waiting.extend(entries.into_iter().take_while(|entry| {
            bytes += entry.len();
            bytes <= MOST_WAITING
        }));
    }

    /// Reads everything with the next exchange.
    pub fn read_again(&mut self) {
        self.from = 0;
    }

    /// Writes what waits, and reads what all nodes have written since the last exchange, and some of it again.
    pub async fn exchange(
        &mut self,
        store: &StoreConnection,
        name: String,
        keep: Keep,
    ) -> Result<Page, SyncFailure> {
        let told = self.waiting.len().min(MOST_ENTRIES);
        let age = u64::try_from(keep.age.as_millis()).unwrap_or(u64::MAX);
        let mut arguments = vec![self.from.to_string(), age.to_string(), keep.entries.to_string()];
        arguments.extend_from_slice(&self.waiting[..told]);
        let answer = store.run(&SCRIPT, &[name], &arguments).await?;
        let (from, page) = read(answer).ok_or(SyncFailure::Garbage)?;
        self.waiting.drain(..told);
        self.from = from;
        Ok(page)
    }
}

/// The answer of the script: the score from which to read next, and what was read.
fn read(answer: Value) -> Option<(u64, Page)> {
    let Value::Array(parts) = answer else { return None };
    let Ok([Value::BulkString(from), Value::Int(has_more), Value::Array(entries)]) =
        <[Value; 3]>::try_from(parts)
    else {
        return None;
    };
    let from = std::str::from_utf8(&from).ok()?.parse().ok()?;
    let entries = entries.into_iter().map(|entry| match entry {
        Value::BulkString(entry) => Some(entry),
        _ => None,
    });
    Some((from, Page { entries: entries.collect::<Option<_>>()?, has_more: has_more == 1 }))
}
