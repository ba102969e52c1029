//! Lists of address ranges: in the configuration, and in files of their own.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::document::{
    Entries, Kind, Located, Location, Report, Reported, Written, list, text, usable,
};
use crate::config::values::{address_range, is_large, range_fault, read_file};
use crate::limits::{AddressRange, AddressSet, read_ranges};

/// Room for a million ranges, which is more than any published list has.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Problems that are reported for one file.
const MAX_FAULTS: usize = 10;

/// Ranges that are written in the configuration.
pub type RangeList = Entries<AddressRange>;

/// Files with one range in each line.
pub type RangeFiles = Entries<PathBuf>;

/// The kind of a list of ranges.
pub fn ranges() -> impl Kind<Value = RangeList> {
    list(text("IP address or network", address_range))
}

/// The set of the list and the files; `default` in place of a list that is not written.
pub fn load(
    ranges: Written<RangeList>,
    files: Written<RangeFiles>,
    default: &[AddressRange],
    report: &Report,
) -> Result<Arc<AddressSet>, Reported> {
    let files = files.value().unwrap_or_default();
    // Every file first, so that every problem is reported.
    let files: Vec<_> = files.iter().flatten().map(|file| read_ranges_of(file, report)).collect();
    let ranges = match ranges.checked()? {
        Some(ranges) => usable(ranges.value).collect(),
        None => default.to_vec(),
    };
    let files = files.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(ranges.into_iter().chain(files.into_iter().flatten()).collect()))
}

/// The ranges of a file, one in each line.
fn read_ranges_of(file: &Located<PathBuf>, report: &Report) -> Result<Vec<AddressRange>, Reported> {
    let Located { value: path, at } = file;
    let bytes = read_file(file, MAX_FILE, report)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        let message = format!("{} is not UTF-8", path.display());
        report.problem(at, message, "name a file with an address range in each line")
    })?;
    let mut faults = 0;
    let ranges = read_ranges(text, |line| {
        let at = Location::file(path.as_path().into(), Some(line.line));
        faults += 1;
        if faults > MAX_FAULTS {
            report.problem(&at, "there are more lines like that", "fix those above first");
            return ControlFlow::Break(());
        }
        report.fault(&at, range_fault(&line.text, line.error));
        ControlFlow::Continue(())
    });
    if faults == 0 { Ok(ranges) } else { Err(Reported) }
}

/// Warns of entries of `allow` that take in clients.
pub fn warn_of_large_ranges(allow: &Written<RangeList>, report: &Report) {
    let entries = allow.get().into_iter().flat_map(|allow| allow.value.iter().flatten());
    for Located { value: range, at } in entries.filter(|entry| is_large(entry.value)) {
        let message =
            format!("{range} is a large part of all addresses: no limit by address and no ban concerns it");
        report.warning(at, message, "name the addresses that you mean, and no others");
    }
}
