//! Replays the corpus of the fuzz targets with any toolchain.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
mod properties;

use properties::PROPERTIES;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_corpus_input_satisfies_its_property() {
    for (name, holds) in PROPERTIES {
        let inputs = entries(&corpus().join(name));
        assert!(inputs.len() >= 10, "{name} has {} inputs", inputs.len());
        for input in inputs {
            let data = fs::read(&input).unwrap();
            assert!(catch_unwind(|| holds(&data)).is_ok(), "{}", input.display());
        }
    }
}

#[test]
fn every_target_has_a_property_and_a_small_corpus() {
    let names: BTreeSet<String> = PROPERTIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stems = |folder: &str| -> BTreeSet<String> {
        let files = entries(&corpus().parent().unwrap().join(folder));
        files.iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(stems("targets"), names);
    assert_eq!(stems("corpus"), names);
    let files: Vec<PathBuf> = entries(&corpus()).iter().flat_map(|folder| entries(folder)).collect();
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(bytes < 1024 * 1024, "{bytes} bytes in {} files", files.len());
}
