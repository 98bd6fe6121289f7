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

/// Whether a function of this name is a test that runs: its attributes say so, and do not say that it is passed over.
fn is_test(source: &str, name: &str) -> bool {
    let called = format!("fn {name}(");
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let found = lines.iter().enumerate().filter(|(_, line)| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with(&called)
    });
    found.into_iter().any(|(at, _)| {
        // Attributes and comments stand right above, behind an empty line or the end of something else.
        let above = lines[..at].iter().rev();
        let header: Vec<&str> = above
            .take_while(|line| !line.is_empty() && !line.ends_with(['{', '}', ';']))
            .copied()
            .collect();
        let has = |start: &str| header.iter().any(|line| line.starts_with(start));
        (has("#[test]") || has("#[tokio::test")) && !has("#[ignore")
    })
}

/// Whether the suite that every backend passes has a test of this name.
fn is_of_suite(list: &str, source: &str, name: &str) -> bool {
    let is_listed = list
        .lines()
        .any(|line| line.trim().trim_end_matches([',', ';']) == name);
    is_listed && source.contains(&format!("pub async fn {name}(store: Arc<dyn Store>"))
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let document = read(&Path::new(ROOT).join("docs/SECURITY.md"));
    let named = named(&document);
    assert!(named.len() > 30, "the tables are not read: {named:?}");
    let store = Path::new(ROOT).join("crates/store/src");
    let mut files = Vec::new();
    sources(&store.join("conformance"), &mut files);
    let suite: String = files.iter().map(|file| read(file)).collect();
    let list = read(&store.join("conformance.rs"));
    files.clear();
    sources(&Path::new(ROOT).join("crates"), &mut files);
    let texts: Vec<String> = files.iter().map(|file| read(file)).collect();
    let is_there = |name: &str| {
        is_of_suite(&list, &suite, name) || texts.iter().any(|text| is_test(text, name))
    };
    let missing: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "there are no such tests: {missing:?}");
}

#[test]
fn what_only_looks_like_a_test_is_none() {
    let source = r#"
        #[test]
        fn plain() {}
        #[tokio::test(flavor = "multi_thread")]
        #[expect(
            clippy::panic,
            reason = "a test"
        )]
        async fn with_attributes() {}

        #[test]
        #[ignore = "slow"]
        fn passed_over() {}

        #[test]
        fn other() {
            fn within() {}
        }
        fn helper() {}
        // fn told_of() {}
    "#;
    assert!(is_test(source, "plain") && is_test(source, "with_attributes"));
    for name in ["passed_over", "within", "helper", "told_of", "lain", "pla"] {
        assert!(!is_test(source, name), "{name}");
    }
    let list = "            devices:\n                listed,\n                last;\n";
    let suite =
        "pub async fn listed(store: Arc<dyn Store>) {}\npub async fn last(store: Arc<dyn Store>) {}
        pub async fn unlisted(store: Arc<dyn Store>) {}";
    assert!(is_of_suite(list, suite, "listed") && is_of_suite(list, suite, "last"));
    for name in ["unlisted", "list", "devices"] {
        assert!(!is_of_suite(list, suite, name), "{name}");
    }
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
