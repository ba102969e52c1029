//! The blocks of header fields of HTTP/2 (HPACK, RFC 7541), read only so far as to see the values of `:path`.
//!
//! The parser behind cuts a `:path` at `#`. So the fragment, which must not be there (RFC 9113 §8.3.1), has to be
//! looked for before.

use std::collections::VecDeque;

use super::huffman;

/// The largest dynamic table: the default of `SETTINGS_HEADER_TABLE_SIZE`.
const MAX_TABLE: usize = 4096;

/// Added to the length of each entry (RFC 7541 §4.1).
const OVERHEAD: usize = 32;

const STATIC_ENTRIES: usize = 61;

/// The indexes of `:path` in the static table.
const PATHS: [usize; 2] = [4, 5];

/// The lengths of the names in the static table (RFC 7541 Appendix A).
const STATIC_NAMES: [u8; STATIC_ENTRIES] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13,
    12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3,
    16,
];

/// A `:path` has a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment;

/// Reads the blocks of one connection, in order.
#[derive(Clone, Debug)]
pub struct PathScan {
    /// The dynamic table, the newest entry first.
    entries: VecDeque<TableEntry>,
    size: usize,
    limit: usize,
    /// A block was malformed. The parser behind closes the connection.
    is_broken: bool,
}

impl Default for PathScan {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: MAX_TABLE, is_broken: false }
    }
}

#[derive(Clone, Copy, Debug)]
struct TableEntry {
    is_path: bool,
    name: usize,
    size: usize,
}

/// A string: whether it has the byte that is looked for, and its decoded length.
struct HpackString {
    has_hash: bool,
    is_path: bool,
    length: usize,
}

impl PathScan {
    /// Reads one whole block. Malformed blocks are left to the parser behind.
    ///
    /// # Errors
    /// [`Fragment`] if the block has a `:path` with a `#`.
    pub fn scan(&mut self, block: &[u8]) -> Result<(), Fragment> {
        if self.is_broken {
            return Ok(());
        }
        match self.fields(block) {
            Some(true) => Err(Fragment),
            Some(false) => Ok(()),
            None => {
                self.is_broken = true;
                Ok(())
            }
        }
    }

    /// Whether a `:path` has a `#`. `None` if the block is malformed.
    fn fields(&mut self, mut block: &[u8]) -> Option<bool> {
        let mut has_fragment = false;
        while let [first, ..] = block {
            match first {
                // An indexed field was judged when it was added to the table.
                0x80.. => {
                    integer(&mut block, 7)?;
                }
                0x40..0x80 => {
                    let (entry, text) = self.literal(&mut block, 6)?;
                    has_fragment |= entry.is_path && text.has_hash;
                    self.add(entry);
                }
                0x20..0x40 => {
                    self.limit = integer(&mut block, 5).filter(|limit| *limit <= MAX_TABLE)?;
                    self.evict(0);
                }
                0..0x20 => {
                    let (entry, text) = self.literal(&mut block, 4)?;
                    has_fragment |= entry.is_path && text.has_hash;
                }
            }
        }
        Some(has_fragment)
    }

    /// A field with a literal value.
    fn literal(&self, block: &mut &[u8], prefix: u8) -> Option<(TableEntry, HpackString)> {
        let (is_path, name) = match integer(block, prefix)? {
            0 => {
                let name = text(block)?;
                (name.is_path, name.length)
            }
            index @ 1..=STATIC_ENTRIES => (PATHS.contains(&index), usize::from(STATIC_NAMES[index - 1])),
            index => {
                let entry = self.entries.get(index - STATIC_ENTRIES - 1)?;
                (entry.is_path, entry.name)
            }
        };
        let value = text(block)?;
        Some((TableEntry { is_path, name, size: name + value.length + OVERHEAD }, value))
    }

    fn add(&mut self, entry: TableEntry) {
        self.evict(entry.size);
        if entry.size <= self.limit {
            self.size += entry.size;
            self.entries.push_front(entry);
        }
    }

    /// Removes the oldest entries until `room` bytes fit (RFC 7541 §4.4).
    fn evict(&mut self, room: usize) {
        while self.size + room > self.limit
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.size;
        }
    }
}

/// Reads an integer with a prefix of `prefix` bits (RFC 7541 §5.1).
fn integer(block: &mut &[u8], prefix: u8) -> Option<usize> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = block.split_first()?;
        *block = rest;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A string, as it stands or with the Huffman code (RFC 7541 §5.2).
fn text(block: &mut &[u8]) -> Option<HpackString> {
    let is_coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length)?;
    *block = rest;
    let mut found = HpackString { has_hash: false, is_path: true, length: 0 };
    let mut take = |byte: u8| {
        found.has_hash |= byte == b'#';
        found.is_path &= b":path".get(found.length) == Some(&byte);
        found.length += 1;
    };
    if is_coded {
        huffman::decode(bytes, &mut take)?;
    } else {
        bytes.iter().copied().for_each(take);
    }
    found.is_path &= found.length == b":path".len();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A string as it stands.
    fn plain(text: &str) -> Vec<u8> {
        [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat()
    }

    /// RFC 7541 Appendix C.4.1: `www.example.com`, and `/#` after the codes 011000 and 111111111010.
    const EXAMPLE: [u8; 13] = [0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    const CODED_FRAGMENT: [u8; 4] = [0x83, 0b0110_0011, 0b1111_1110, 0b1011_1111];

    #[test]
    fn a_fragment_is_found_in_every_representation() {
        for block in [
            [&[0x04][..], &plain("/a#b")].concat(),
            [&[0x45][..], &plain("/a#b")].concat(),
            [&[0x14][..], &CODED_FRAGMENT].concat(),
            [&[0x00][..], &plain(":path"), &plain("/#")].concat(),
            [&[0x40][..], &plain(":path"), &CODED_FRAGMENT].concat(),
            // The name from the dynamic table.
            [&[0x40][..], &plain(":path"), &plain("/a"), &[0x0f, 62 - 15], &plain("/#")].concat(),
            [&[0x82, 0x86, 0x41], &EXAMPLE[..], &[0x04], &plain("/#")].concat(),
        ] {
            assert_eq!(PathScan::default().scan(&block), Err(Fragment), "{block:?}");
        }
    }

    #[test]
    fn a_hash_elsewhere_is_no_fragment() {
        for block in [
            [&[0x04][..], &plain("/ab")].concat(),
            [&[0x0f, 0x24][..], &plain("https://a/#b")].concat(),
            [&[0x40][..], &plain(":pat"), &plain("/#")].concat(),
            [&[0x40][..], &plain("x"), &plain("#"), &[0x7e], &plain("#")].concat(),
            // Malformed: an index that does not exist, a string that is cut off, an integer without end.
            [&[0x7e][..], &plain("/#")].concat(),
            vec![0x04, 5, b'/', b'#'],
            vec![0xff; 20],
        ] {
            assert_eq!(PathScan::default().scan(&block), Ok(()), "{block:?}");
        }
    }

    #[test]
    fn entries_are_evicted_as_the_peer_evicts_them() {
        let mut scan = PathScan::default();
        let add = |name: &str, value: &str| [&[0x40][..], &plain(name), &plain(value)].concat();
        assert_eq!(scan.scan(&add(":path", "/")), Ok(()));
        let named = [&[0x0f, 62 - 15][..], &plain("/#")].concat();
        assert_eq!(scan.clone().scan(&named), Err(Fragment));
        // The table has 4096 bytes; each of these entries takes 133.
        for _ in 0..30 {
            assert_eq!(scan.scan(&add("x", &"y".repeat(100))), Ok(()));
        }
        assert_eq!((scan.entries.len(), scan.size), (31, 38 + 30 * 133));
        let last = [&[0x0f, 92 - 15][..], &plain("/#")].concat();
        assert_eq!(scan.clone().scan(&last), Err(Fragment));
        assert_eq!(scan.scan(&add("x", &"y".repeat(100))), Ok(()));
        assert_eq!(scan.clone().scan(&last), Ok(()), "the oldest entry is gone");
        assert_eq!(scan.scan(&[0x20]), Ok(()));
        assert!(scan.entries.is_empty() && scan.size == 0);
    }
}
