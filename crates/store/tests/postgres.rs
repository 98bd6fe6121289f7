//! PostgreSQL passes the suite, each test in a schema of its own.
//!
//! `HELIOSTAT_TEST_POSTGRES` names a server, as a URL of a database in which schemas may be made; `scripts/test` starts one and
//! sets it. Without it these tests check nothing, and say so.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails by panicking"
)]

#[path = "postgres/schema.rs"]
mod schema;

use std::sync::Arc;

use schema::Schema;
use store::Store;
use store::postgres::{PostgresSettings, PostgresStore};

async fn fresh() -> (Arc<dyn Store>, Option<Schema>) {
    let Some(schema) = Schema::create().await else {
        return (Arc::new(store::memory::MemoryStore::default()), None);
    };
    let settings = PostgresSettings {
        connections_max: 6,
        ..PostgresSettings::default()
    };
    let store = PostgresStore::open(&schema.url(), settings)
        .await
        .expect("an empty store");
    (Arc::new(store), Some(schema))
}

store::store_conformance!(fresh);
