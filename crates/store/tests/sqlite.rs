//! SQLite passes the suite.

use std::sync::Arc;

use store::Store;
use store::sqlite::{SqliteSettings, SqliteStore};

async fn fresh() -> (Arc<dyn Store>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heliostat.db");
    let store = SqliteStore::open(&path, SqliteSettings::default())
        .await
        .unwrap();
    (Arc::new(store), folder)
}

store::store_conformance!(fresh);
