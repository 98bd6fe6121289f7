//! Everything moves from one store to another: from SQLite to SQLite, to PostgreSQL, and back.
//!
//! `HELIOSTAT_TEST_POSTGRES` names a PostgreSQL server, as for `tests/postgres.rs`.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails by panicking"
)]

#[path = "postgres/schema.rs"]
mod schema;

use std::collections::BTreeSet;
use std::sync::Arc;

use schema::Schema;
use store::conformance::moving;
use store::moving::{Kind, Moving};
use store::postgres::{PostgresSettings, PostgresStore};
use store::sqlite::{SqliteSettings, SqliteStore};
use tokio_postgres::NoTls;

/// Tables of PostgreSQL that are not moved: what they hold is of this database, or for a moment.
const STAYING: &[&str] = &[
    "store",
    "checks",
    "heliostat_schema",
    "moves",
    "nodes",
    "device_counts",
    "duties",
    "console",
    "trail",
];

async fn sqlite(folder: &tempfile::TempDir, name: &str) -> Arc<dyn Moving> {
    let path = folder.path().join(name);
    let opened = SqliteStore::open(&path, SqliteSettings::default()).await;
    Arc::new(opened.expect("an empty store"))
}

async fn postgres(schema: &Schema) -> Arc<dyn Moving> {
    let settings = PostgresSettings {
        connections_max: 6,
        ..PostgresSettings::default()
    };
    let opened = PostgresStore::open(&schema.url(), settings).await;
    Arc::new(opened.expect("an empty store"))
}

async fn finish(source: Arc<dyn Moving>, target: Arc<dyn Moving>) {
    source.close().await;
    target.close().await;
}

macro_rules! moves {
    ($($rule:ident),+) => {
        mod from_sqlite_to_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let folder = tempfile::tempdir().expect("a folder");
                let source = super::sqlite(&folder, "a.db").await;
                let target = super::sqlite(&folder, "b.db").await;
                super::moving::$rule(source.clone(), target.clone()).await;
                super::finish(source, target).await;
            })+
        }

        mod from_sqlite_to_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let Some(schema) = super::Schema::create().await else { return };
                let folder = tempfile::tempdir().expect("a folder");
                let source = super::sqlite(&folder, "a.db").await;
                let target = super::postgres(&schema).await;
                super::moving::$rule(source.clone(), target.clone()).await;
                super::finish(source, target).await;
            })+
        }

        mod from_postgres_to_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let Some(schema) = super::Schema::create().await else { return };
                let folder = tempfile::tempdir().expect("a folder");
                let source = super::postgres(&schema).await;
                let target = super::sqlite(&folder, "b.db").await;
                super::moving::$rule(source.clone(), target.clone()).await;
                super::finish(source, target).await;
            })+
        }
    };
}

moves!(
    everything_moves,
    a_move_goes_on_where_it_was_cut,
    a_move_is_refused
);

#[tokio::test]
async fn every_table_of_postgres_is_moved_or_known_to_stay() {
    let Some(schema) = Schema::create().await else {
        return;
    };
    let store = postgres(&schema).await;
    let tables = tables(&schema).await;
    let known = Kind::ALL.iter().map(|kind| kind.as_str());
    let known = known.chain(STAYING.iter().copied()).map(str::to_owned);
    assert_eq!(
        tables,
        known.collect(),
        "a table needs a Kind in store::moving, or a place among those that stay"
    );
    store.close().await;
}

async fn tables(schema: &Schema) -> BTreeSet<String> {
    let (client, connection) = tokio_postgres::connect(&schema.server, NoTls)
        .await
        .expect("the server is there");
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = $1";
    let asked = async move {
        let found = client.query(sql, &[&schema.name]).await;
        found
            .expect("tables")
            .iter()
            .map(|row| row.get(0))
            .collect()
    };
    let (ended, tables) = tokio::join!(connection, asked);
    ended.expect("a connection");
    tables
}
