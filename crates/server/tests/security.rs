//! What `docs/SECURITY.md` promises is shown by tests that exist.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The tests named in the last column of the tables: in backticks, with nothing but what a function's name has.
fn named(document: &str) -> BTreeSet<&str> {
    let rows = document.lines().filter(|line| line.starts_with('|'));
    rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let document = fs::read_to_string(format!("{ROOT}/docs/SECURITY.md")).unwrap();
    let named = named(&document);
    assert!(named.len() > 30, "the tables are not read: {named:?}");
    let mut files = Vec::new();
    sources(&Path::new(ROOT).join("crates"), &mut files);
    let text: String = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !text.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "there are no such tests: {missing:?}");
}

#[test]
fn every_threat_has_a_test() {
    let document = fs::read_to_string(format!("{ROOT}/docs/SECURITY.md")).unwrap();
    let rows = document.lines().filter(|line| {
        line.starts_with('|') && !line.starts_with("|---") && !line.contains("| Test |")
    });
    for row in rows {
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap();
        assert!(last.contains('`'), "{row}");
    }
}
