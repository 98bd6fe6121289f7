//! SQLite passes the suite.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails by panicking"
)]

use std::sync::Arc;

use store::Store;
use store::sqlite::{SqliteSettings, SqliteStore};

async fn fresh() -> (Arc<dyn Store>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("heliostat.db");
    let store = SqliteStore::open(&path, SqliteSettings::default())
        .await
        .expect("an empty store");
    (Arc::new(store), folder)
}

store::store_conformance!(fresh);
