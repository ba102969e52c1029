//! An output in memory, for tests.

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;

/// Keeps what is written. Clones share the bytes.
#[derive(Clone, Default)]
pub(in crate::telemetry) struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    /// The lines that were written.
    pub fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().clone()).expect("UTF-8").lines().map(str::to_owned).collect()
    }
}
