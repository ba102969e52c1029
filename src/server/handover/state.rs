//! What the next process goes on with, besides sockets and ticket keys: key sets and accepted signatures.
//! They travel in a file without a name (`memfd_create(2)`), which is attached to a word.
//!
//! The file begins with a line of JSON that has the key sets. The bytes after it are those of the replay
//! store.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::{Value, json};

use crate::key_sets::HandedSet;

/// More than the largest replay store and all key sets take.
const MAX_STATE: u64 = 1 << 30;

/// The key sets in force and the signatures that were accepted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct HandedState {
    /// The key sets that were fetched.
    pub key_sets: Vec<HandedSet>,
    /// The exported replay store; empty if there is none.
    pub replays: Vec<u8>,
}

impl HandedState {
    /// Writes the state into a new file.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub fn enclose(&self) -> io::Result<OwnedFd> {
        let mut file = File::from(memfd_create("approov-gateway-state", MemfdFlags::CLOEXEC)?);
        let set = |set: &HandedSet| json!({ "source": set.source, "name": set.name, "fetched_at": set.fetched_at, "text": set.text });
        let sets: Vec<Value> = self.key_sets.iter().map(set).collect();
        file.write_all(format!("{}\n", json!({ "key_sets": sets })).as_bytes())?;
        file.write_all(&self.replays)?;
        Ok(file.into())
    }

    /// Reads the state of a file that came with a word.
    ///
    /// # Errors
    /// If `file` is not a regular file, is too large, or has malformed content.
    pub fn disclose(file: OwnedFd) -> io::Result<Self> {
        let mut file = File::from(file);
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() > MAX_STATE {
            return Err(ErrorKind::InvalidData.into());
        }
        file.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(ErrorKind::InvalidData)?;
        let head: Value = serde_json::from_slice(&bytes[..end])?;
        let sets = head.get("key_sets").and_then(Value::as_array).ok_or(ErrorKind::InvalidData)?;
        let set = |set: &Value| {
            Some(HandedSet {
                source: set.get("source")?.as_str()?.into(),
                name: set.get("name")?.as_str()?.into(),
                fetched_at: set.get("fetched_at")?.as_u64()?,
                text: set.get("text")?.as_str()?.into(),
            })
        };
        let key_sets = sets.iter().filter_map(set).collect();
        bytes.drain(..=end);
        Ok(Self { key_sets, replays: bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_arrives_as_it_was() {
        let set = HandedSet {
            source: "a1".into(),
            name: "https://a/".into(),
            fetched_at: 7,
            text: "{\"keys\":\n[]}".into(),
        };
        for state in [
            HandedState::default(),
            HandedState { key_sets: vec![set.clone(), set], replays: vec![b'\n'; 48] },
        ] {
            assert_eq!(HandedState::disclose(state.enclose().expect("a file")).expect("the state"), state);
        }
    }

    #[test]
    fn whatever_else_comes_is_an_error_and_holds_up_nothing() {
        let (pipe, _writer) = io::pipe().expect("a pipe");
        assert!(HandedState::disclose(pipe.into()).is_err());
        for bytes in [&b""[..], b"{}", b"{}\n", b"[]\n", b"{\"key_sets\":1}\n"] {
            let mut file = File::from(memfd_create("test", MemfdFlags::CLOEXEC).expect("a file"));
            file.write_all(bytes).expect("there is room");
            assert!(HandedState::disclose(file.into()).is_err(), "{bytes:?}");
        }
    }
}
