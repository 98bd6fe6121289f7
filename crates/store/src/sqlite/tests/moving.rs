//! What is moved out of a file.

use std::collections::BTreeSet;

use super::super::moving::{STAYING, reading};
use crate::moving::Kind;

#[test]
fn every_table_is_moved_or_known_to_stay() {
    let folder = tempfile::tempdir().unwrap();
    let connection = super::connect(&folder.path().join("heliostat.db"));
    let mut statement = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap();
    let tables: BTreeSet<String> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let known = Kind::ALL.iter().map(|kind| kind.as_str());
    let known: BTreeSet<String> = known
        .chain(STAYING.iter().copied())
        .map(str::to_owned)
        .collect();
    assert_eq!(
        tables, known,
        "a table needs a Kind in store::moving, or a place among those that stay"
    );
}

#[test]
fn every_page_is_read_by_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let connection = super::connect(&folder.path().join("heliostat.db"));
    for kind in Kind::ALL {
        let sql = format!("EXPLAIN QUERY PLAN {}", reading(*kind, false));
        let mut statement = connection.prepare(&sql).unwrap();
        let mut found = statement.raw_query();
        let mut plan = Vec::new();
        while let Some(step) = found.next().unwrap() {
            plan.push(step.get::<_, String>(3).unwrap());
        }
        let plan = plan.join("; ");
        assert!(
            plan.starts_with("SEARCH t ") && !plan.contains("TEMP B-TREE"),
            "{kind:?}: {plan}"
        );
    }
}
