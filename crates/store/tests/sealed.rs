//! Every column that holds bytes is one that is sealed anew when the master key changes, or is known to hold no secret.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails by panicking"
)]

#[path = "postgres/schema.rs"]
mod schema;

use std::collections::BTreeSet;

use schema::Schema;
use store::Store as _;
use store::postgres::{PostgresSettings, PostgresStore};
use store::sealing::SealedKind;
use store::sqlite::{SqliteSettings, SqliteStore};

/// Columns of bytes that are not sealed, and what they are.
const OPEN: [(&str, &str); 8] = [
    // Of a browser's subscription, as gateway tokens are: what a push service needs beside the address.
    ("devices", "keys"),
    // Digests.
    ("devices", "digest"),
    ("admin_tokens", "digest"),
    ("request_keys", "fingerprint"),
    // A key that everybody may know.
    ("instances", "vapid_public_key"),
    // Numbers of interests and users.
    ("payloads", "audience"),
    // Ids of a trace and of a span.
    ("payloads", "trace"),
    // Ids of master keys.
    ("nodes", "keys"),
];

/// All columns of bytes that are not ids.
fn judge(found: &BTreeSet<(String, String)>, backend: &str) {
    let sealed: BTreeSet<_> = SealedKind::ALL.map(SealedKind::column).into();
    for (table, column) in &sealed {
        let column = (String::from(*table), String::from(*column));
        assert!(found.contains(&column), "{backend} has no {column:?}");
    }
    let unknown: Vec<_> = found
        .iter()
        .map(|(table, column)| (table.as_str(), column.as_str()))
        .filter(|column| !sealed.contains(column) && !OPEN.contains(column))
        .collect();
    assert!(
        unknown.is_empty(),
        "{backend}: neither sealed nor known to be open: {unknown:?}"
    );
}

/// Ids are bytes in SQLite, of a type of their own in PostgreSQL.
const IDS: [&str; 7] = [
    "id",
    "owner",
    "node",
    "event_id",
    "instance",
    "filled_from",
    "identity",
];

#[tokio::test]
async fn every_sealed_column_of_sqlite_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("heliostat.db");
    let store = SqliteStore::open(&path, SqliteSettings::default())
        .await
        .expect("an empty store");
    store.close().await;
    let file = rusqlite::Connection::open(&path).expect("the file");
    let mut statement = file
        .prepare(
            "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c
              WHERE t.type = 'table' AND c.type = 'BLOB'",
        )
        .expect("the schema");
    let found = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("columns");
    let found: rusqlite::Result<BTreeSet<(String, String)>> = found.collect();
    let mut found = found.expect("columns");
    found.retain(|(_, column)| !IDS.contains(&column.as_str()));
    judge(&found, "SQLite");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sealed_column_of_postgres_is_known() {
    let Some(schema) = Schema::create().await else {
        return;
    };
    let store = PostgresStore::open(&schema.url(), PostgresSettings::default())
        .await
        .expect("an empty store");
    store.close().await;
    let (client, connection) = tokio_postgres::connect(&schema.server, tokio_postgres::NoTls)
        .await
        .expect("the server is there");
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(connection);
    let rows = client
        .query(
            "SELECT table_name::text, column_name::text FROM information_schema.columns
              WHERE table_schema = $1 AND data_type = 'bytea'",
            &[&schema.name],
        )
        .await
        .expect("the schema");
    let found = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    judge(&found, "PostgreSQL");
    drop(client);
    serving.join_all().await;
}
