//! The store in memory passes the suite.

use std::sync::Arc;

use store::Store;
use store::memory::MemoryStore;

async fn fresh() -> (Arc<dyn Store>, ()) {
    (Arc::new(MemoryStore::default()), ())
}

store::store_conformance!(fresh);
