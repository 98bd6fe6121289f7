//! What devices ask for in any number keeps nobody else from a connection.

use std::sync::Arc;

use super::super::PostgresSettings;
use super::fresh;
use crate::Store;
use crate::conformance::world::{at, instance, subscriber};

/// Whether somebody waits for what this connection holds. Activity would be told as of the transaction's begin.
const WAITS: &str = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))";

#[tokio::test]
async fn a_flood_of_devices_leaves_connections_to_others() {
    let settings = PostgresSettings {
        connections_max: 3,
        ..PostgresSettings::default()
    };
    let Some((store, _schema)) = fresh(settings).await else {
        return;
    };
    let store = Arc::new(store);
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let instance = instance(&shared).await;
    let device = subscriber(&shared, instance, 1, &["news"]).await;
    // One connection holds the device, so that whoever wants to change it keeps another.
    let holder = store.sessions.session().await.unwrap();
    holder
        .batch("BEGIN; SELECT 1 FROM devices FOR UPDATE")
        .await
        .unwrap();
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&shared);
        flood.spawn(async move {
            store
                .set_interests(instance, device, Vec::new(), at(0))
                .await
        });
    }
    while !holder.known::<bool>(WAITS, &[]).await.unwrap() {
        tokio::task::yield_now().await;
    }
    // The third is for others, however many devices there are.
    for _ in 0..10 {
        shared.instances().await.unwrap();
        shared.configuration_version().await.unwrap();
    }
    assert!(flood.try_join_next().is_none(), "the device is still held");
    holder.batch("COMMIT").await.unwrap();
    while let Some(done) = flood.join_next().await {
        assert_eq!(done.unwrap().unwrap(), crate::devices::Changed::Done);
    }
}
