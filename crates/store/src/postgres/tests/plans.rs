//! Every statement of the backend is planned on a real schema, as the backend's sessions plan it: none reads a whole table or a
//! whole index, none sorts more than it was given, unless listed here with its reason. The statements are found in the sources,
//! so a new one cannot be forgotten.

use std::path::Path;

use serde_json::Value;

use super::super::moving;
use super::{PostgresSettings, fresh};
use crate::moving::Kind;

/// The sources of the backend, by name, but for its tests: `webhooks/tend` is in a folder.
fn sources() -> Vec<(String, String)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres"));
    let mut sources = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for file in std::fs::read_dir(next).unwrap() {
            let path = file.unwrap().path();
            let name = path.with_extension("");
            let name = name.strip_prefix(folder).unwrap().to_str().unwrap();
            if name == "tests" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.push((name.to_owned(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    sources.sort_unstable();
    sources
}

/// Tables of one row, or few.
const SMALL: [&str; 10] = [
    "store",
    "checks",
    "heliostat_schema",
    "instances",
    "secret_keys",
    "credentials",
    "nodes",
    "duties",
    "moves",
    "admin_tokens",
];

/// A step that would be slow on a large table, and why it is none here: file, table, reason.
const EXCEPTIONS: [(&str, &str, &str); 8] = [
    (
        "jobs",
        "jobs",
        "claims in the order of the key, until the limit; counts unfinished work, for metrics",
    ),
    ("jobs", "retries", "counts unfinished work, for metrics"),
    (
        "retries",
        "retries",
        "the next that is due: ends at the first one that is not leased, of an instance that is not being deleted",
    ),
    ("publishes", "emptied", "empty but for moments"),
    (
        "prune",
        "publishes",
        "an index that holds only replays that are not finished",
    ),
    (
        "scheduled",
        "scheduled",
        "ends at the first one of an instance that is not being deleted",
    ),
    (
        "webhooks/tend",
        "webhooks",
        "an instance has few; read by the one janitor",
    ),
    (
        "webhooks/tend",
        "webhook_requests",
        "counts what waits, which is bounded, for metrics",
    ),
];

/// The string literals of a source that are SQL.
fn statements(source: &str) -> Vec<String> {
    let code: Vec<&str> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let words = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH "];
    code.split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| words.iter().any(|word| text.starts_with(word)))
        // What `moving` makes up for every table has a place for its name.
        .filter(|text| !text.contains('{'))
        .map(str::to_owned)
        .collect()
}

/// How many values a statement is given.
fn parameters(sql: &str) -> usize {
    (1..=20)
        .rev()
        .find(|number| {
            sql.match_indices(&format!("${number}")).any(|(at, found)| {
                !sql[at + found.len()..].starts_with(|next: char| next.is_ascii_digit())
            })
        })
        .unwrap_or(0)
}

/// What is slow of a step of a plan, with the table it reads.
fn slow(step: &Value) -> Option<(String, String)> {
    let kind = step["Node Type"].as_str().unwrap_or_default();
    let table = step["Relation Name"].as_str().unwrap_or_default();
    let is_bounded = !step["Index Cond"].is_null();
    match kind {
        "Seq Scan" | "Bitmap Heap Scan" => Some((table.to_owned(), kind.to_owned())),
        "Index Scan" | "Index Only Scan" if !is_bounded => Some((
            table.to_owned(),
            format!("the whole of {}", step["Index Name"]),
        )),
        _ => None,
    }
}

/// Whether something is sorted before rows of it are locked: all that could be claimed then, not as many as wanted.
fn sorts_before_it_locks(step: &Value, locks: bool) -> bool {
    let kind = step["Node Type"].as_str().unwrap_or_default();
    let locks = locks || kind == "LockRows";
    let below = step["Plans"].as_array().into_iter().flatten();
    locks && kind == "Sort"
        || below
            .into_iter()
            .any(|step| sorts_before_it_locks(step, locks))
}

fn walk(step: &Value, found: &mut Vec<(String, String)>) {
    found.extend(slow(step));
    for below in step["Plans"].as_array().into_iter().flatten() {
        walk(below, found);
    }
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let Some((store, _schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let session = store.sessions.session().await.unwrap();
    let mut planned = 0;
    let mut wrong = Vec::new();
    let mut met = [false; EXCEPTIONS.len()];
    for (name, source) in sources() {
        for sql in statements(&source) {
            planned += 1;
            let values = vec!["NULL"; parameters(&sql)].join(", ");
            let values = if values.is_empty() {
                values
            } else {
                format!("({values})")
            };
            let planning = async {
                session.batch(&format!("PREPARE planned AS {sql}")).await?;
                let plan: Value = session
                    .plan(&format!("EXPLAIN (FORMAT JSON) EXECUTE planned{values}"))
                    .await?;
                session.batch("DEALLOCATE planned").await?;
                Ok::<_, super::super::fault::Fault>(plan)
            };
            let plan = planning
                .await
                .unwrap_or_else(|fault| panic!("{fault:?}: {sql}"));
            let mut steps = Vec::new();
            walk(&plan[0]["Plan"], &mut steps);
            if sql.contains("SKIP LOCKED") && sorts_before_it_locks(&plan[0]["Plan"], false) {
                wrong.push(format!("{name}: sorts what it claims\n    in {sql}"));
            }
            for (table, what) in steps {
                if SMALL.contains(&table.as_str()) {
                    continue;
                }
                let exception = EXCEPTIONS
                    .iter()
                    .position(|(file, of, _)| *file == name && *of == table);
                match exception {
                    Some(known) => met[known] = true,
                    None => wrong.push(format!("{name}: {what} of {table}\n    in {sql}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(planned > 90, "only {planned} statements were found");
    assert_eq!(
        met,
        [true; EXCEPTIONS.len()],
        "an exception that nothing needs"
    );
}

/// A page in the middle of a move begins where the last one ended, found in the key, and reads on in its order: a step on an
/// index, under a limit, with nothing sorted.
#[tokio::test]
async fn no_move_looks_for_where_it_was() {
    let Some((store, _schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let session = store.sessions.session().await.unwrap();
    // What is moved that is not a table: few instances, and what publishes were emptied, which is none but for moments.
    let views = [Kind::Instances, Kind::Emptied];
    for kind in Kind::ALL.iter().filter(|kind| !views.contains(kind)) {
        let sql = moving::reading(*kind, false);
        let values = vec!["NULL"; parameters(&sql)].join(", ");
        session
            .batch(&format!("PREPARE planned AS {sql}"))
            .await
            .unwrap();
        let plan = session
            .plan(&format!("EXPLAIN (FORMAT JSON) EXECUTE planned({values})"))
            .await
            .unwrap();
        session.batch("DEALLOCATE planned").await.unwrap();
        let top = &plan[0]["Plan"];
        let step = &top["Plans"][0];
        assert_eq!(top["Node Type"], "Limit", "{sql}\n{plan:#}");
        assert!(
            !step["Index Cond"].is_null() && step["Plans"].is_null(),
            "{sql}\n{plan:#}"
        );
    }
}
