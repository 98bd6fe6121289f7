//! Every statement of the backend is planned on a real schema: none reads a whole table, none sorts, unless listed here with
//! its reason. The statements are found in the sources, so a new one cannot be forgotten.

use rusqlite::Connection;

use super::Folder;

const SOURCES: [(&str, &str); 23] = [
    ("activity", include_str!("../activity.rs")),
    ("audience", include_str!("../audience.rs")),
    ("cancel", include_str!("../cancel.rs")),
    ("console", include_str!("../console.rs")),
    ("count", include_str!("../count.rs")),
    ("devices", include_str!("../devices.rs")),
    ("events", include_str!("../events.rs")),
    ("export", include_str!("../export.rs")),
    ("import", include_str!("../import.rs")),
    ("instances", include_str!("../instances.rs")),
    ("interests", include_str!("../interests.rs")),
    ("jobs", include_str!("../jobs.rs")),
    ("keys", include_str!("../keys.rs")),
    ("lists", include_str!("../lists.rs")),
    ("lookup", include_str!("../lookup.rs")),
    ("prune", include_str!("../prune.rs")),
    ("publishes", include_str!("../publishes.rs")),
    ("replay", include_str!("../replay.rs")),
    ("retries", include_str!("../retries.rs")),
    ("scheduled", include_str!("../scheduled.rs")),
    ("settlement", include_str!("../settlement.rs")),
    ("users", include_str!("../users.rs")),
    ("writer", include_str!("../writer.rs")),
];

/// A step that would be slow on a large table, and why it is none here: file, how the step reads, reason.
const EXCEPTIONS: [(&str, &str, &str); 14] = [
    (
        "console",
        "SCAN console",
        "has a row for each instance that was ever watched",
    ),
    ("jobs", "SCAN jobs", "counts unfinished work, for metrics"),
    (
        "jobs",
        "SCAN j",
        "in the order of the key, until the limit; what it skips is leased",
    ),
    (
        "jobs",
        "SCAN retries",
        "counts unfinished work, for metrics",
    ),
    (
        "retries",
        "SCAN r USING INDEX retries_by_due",
        "ends at the first one that is not leased, of an instance that is not being deleted",
    ),
    ("publishes", "SCAN emptied", "empty but for moments"),
    (
        "scheduled",
        "SCAN s USING COVERING INDEX scheduled_by_time",
        "ends at the first one of an instance that is not being deleted",
    ),
    (
        "audience",
        "SCAN (subquery",
        "counts at most as many rows as its own limit",
    ),
    ("instances", "SCAN instances", "there are few"),
    ("instances", "SCAN secret_keys", "there are few"),
    ("instances", "SCAN credentials", "there are few"),
    ("instances", "USE TEMP B-TREE FOR ORDER BY", "there are few"),
    ("prune", "SCAN s", "what is being replayed"),
    (
        "prune",
        "SCAN instances USING COVERING INDEX instances_deleted",
        "holds only deleted ones",
    ),
];

/// The string literals of a source that are SQL.
fn statements(source: &str) -> Vec<String> {
    let code: Vec<&str> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .take_while(|line| !line.contains("#[cfg(test)]"))
        .collect();
    let code = code.join("\n");
    let is_sql = |text: &&str| {
        ["SELECT", "INSERT", "UPDATE", "DELETE"]
            .iter()
            .any(|word| text.starts_with(word))
    };
    code.split('"')
        .skip(1)
        .step_by(2)
        .filter(is_sql)
        .map(str::to_owned)
        .collect()
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    for parameter in 1..=statement.parameter_count() {
        statement.raw_bind_parameter(parameter, 1).unwrap();
    }
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get(3).unwrap());
    }
    steps
}

#[test]
fn no_statement_reads_a_whole_table_or_sorts() {
    let folder = Folder::new();
    let connection = super::connect(&folder.path());
    let mut planned = 0;
    let mut wrong = Vec::new();
    let mut met = [false; EXCEPTIONS.len()];
    for (name, source) in SOURCES {
        for sql in statements(source) {
            planned += 1;
            for step in plan(&connection, &sql) {
                let is_slow = step.starts_with("SCAN") && step != "SCAN CONSTANT ROW"
                    || step.contains("TEMP B-TREE")
                    || step.contains("AUTOMATIC");
                let exception = EXCEPTIONS
                    .iter()
                    .position(|(file, start, _)| *file == name && step.starts_with(start));
                match exception {
                    Some(known) => met[known] = true,
                    None if is_slow => wrong.push(format!("{name}: {step}\n    in {sql}")),
                    None => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        met,
        [true; EXCEPTIONS.len()],
        "an exception that nothing needs"
    );
    assert!(planned > 60, "only {planned} statements were found");
}
