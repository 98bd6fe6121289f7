//! Tests of what is PostgreSQL's own: plans and costs of statements, and what becomes of calls when the server fails them. The
//! rules of the contract are tested by the conformance suite.

#[path = "../../tests/postgres/schema.rs"]
mod schema;

mod cost;
mod failing;
#[cfg(feature = "conformance")]
mod flood;
mod lost;
mod plans;
mod pruning;
mod tls;
mod together;

use schema::Schema;

use super::connect::DatabaseUrl;
use super::{PostgresSettings, PostgresStore};

/// An empty store; `None` if no server was named.
async fn fresh(settings: PostgresSettings) -> Option<(PostgresStore, Schema)> {
    let schema = Schema::create().await?;
    let url: DatabaseUrl = schema.url();
    let store = PostgresStore::open(&url, settings).await.unwrap();
    Some((store, schema))
}
