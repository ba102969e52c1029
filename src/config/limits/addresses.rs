//! Lists of address ranges: in the configuration, and in files of their own.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::limits::{AddressRange, AddressRangeError, AddressSet, read_ranges};

use super::super::error::{Fault, Located, Location, Report, Reported, quoted};
use super::super::files::read_regular;
use super::super::named_file::{path, shown};
use super::super::reader::{Mapping, Value};

/// A million ranges, or more than anybody publishes.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// How many bad lines of one file are told.
const MAX_FAULTS: usize = 10;

/// `allow` or `deny`, with the files that stand beside it.
#[derive(Default)]
pub(super) struct AddressSection {
    ranges: Option<Vec<AddressRange>>,
    files: Vec<Located<PathBuf>>,
}

impl AddressSection {
    /// Reads both keys, but none of the files.
    pub fn read(limits: &Mapping<'_>, list: &'static str, files: &'static str, folder: &Path) -> Self {
        let range = |value: &Value<'_>| value.parse(range).map(|range| range.value);
        let file = |value: &Value<'_>| {
            path(value, folder).map(|path| Located { value: path, at: value.at().clone() })
        };
        Self {
            ranges: limits.find(list).and_then(|value| value.list_of(range)),
            files: limits.find(files).and_then(|value| value.list_of(file)).unwrap_or_default(),
        }
    }

    /// The set, with what the files have; `default` where no list is written.
    pub fn load(self, default: &[AddressRange], report: &Report) -> Result<Arc<AddressSet>, Reported> {
        let mut ranges = self.ranges.unwrap_or_else(|| default.to_vec());
        // All of them first, so that every problem is told.
        let files: Vec<_> = self.files.iter().map(|file| read_file(file, report)).collect();
        for file in files {
            ranges.extend(file?);
        }
        Ok(Arc::new(ranges.into_iter().collect()))
    }
}

fn range(text: &str) -> Result<AddressRange, Fault> {
    text.parse().map_err(|error| fault(text, error))
}

fn fault(text: &str, error: AddressRangeError) -> Fault {
    let text = quoted(text);
    match error {
        AddressRangeError::NotAnAddress => Fault::new(
            format!("{text} is not an IP address or network"),
            "write one such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
        ),
        AddressRangeError::BadLength => Fault::new(
            format!("{text} has no prefix length that fits"),
            "write /0 to /32 behind an IPv4 address, /0 to /128 behind an IPv6 address",
        ),
        AddressRangeError::HostBits(meant) => Fault::new(
            format!("{text} has bits behind its prefix length"),
            format!("write {meant} for the network, or leave the prefix length out for the one address"),
        ),
    }
}

fn read_file(file: &Located<PathBuf>, report: &Report) -> Result<Vec<AddressRange>, Reported> {
    let Located { value: path, at } = file;
    let mut bytes = read_regular(path, MAX_FILE + 1).map_err(|error| {
        let message = format!("{} cannot be read: {error}", shown(path));
        report.problem(at, message, "check the path and who may read the file")
    })?;
    let text =
        String::from_utf8(std::mem::take(&mut *bytes)).ok().filter(|text| text.len() as u64 <= MAX_FILE);
    let Some(text) = text else {
        let message = format!("{} is larger than 64 MiB, or is no text", path.display());
        return Err(report.problem(at, message, "name a file with an address range in each line"));
    };
    let mut faults = 0;
    let ranges = read_ranges(&text, |line| {
        let at = Location::file(path.as_path().into(), Some(line.line));
        faults += 1;
        if faults > MAX_FAULTS {
            report.problem(&at, "there are more lines like that", "mend those above first");
            return ControlFlow::Break(());
        }
        report.fault(&at, fault(&line.text, line.error));
        ControlFlow::Continue(())
    });
    if faults == 0 { Ok(ranges) } else { Err(Reported) }
}
