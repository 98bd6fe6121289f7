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

use domain::device::{DeviceId, Platform};
use schema::Schema;
use store::conformance::world;
use store::postgres::{PostgresSettings, PostgresStore};
use store::publishes::Settled;
use store::{Store, StoreError};

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

/// The poll that stands behind it is the nodes' own, so here nothing comes unless somebody rings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_hears_of_work_that_another_left() {
    let Some(schema) = Schema::create().await else {
        return;
    };
    let open = || async {
        let opened = PostgresStore::open(&schema.url(), PostgresSettings::default()).await;
        let store: Arc<dyn Store> = Arc::new(opened.expect("an empty store"));
        store
    };
    let (accepting, waiting) = (open().await, open().await);
    let instance = world::instance(&accepting).await;
    world::subscriber(&accepting, instance, 1, &["news"]).await;
    // The first comes when the connection is there, since something may have been missed before.
    heard(&*waiting).await;
    let audience = world::to_interests(&["news"]);
    let plan = world::UNLEASED;
    world::publish_to(&accepting, instance, audience, plan).await;
    heard(&*waiting).await;
    let lease = world::lease(1, 0);
    let jobs = waiting.claim_jobs(lease, world::at(0), 10).await;
    let jobs = jobs.expect("a claim");
    assert_eq!(jobs.len(), 1);
    let released = accepting.release_job(jobs[0].id, jobs[0].fence).await;
    assert_eq!(released.expect("a release"), Settled::Done);
    heard(&*waiting).await;
    for store in [accepting, waiting] {
        store.close().await;
    }
}

/// Far from the limit and near it, from both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_together_never_exceed_the_limit() {
    const MOST: u64 = 240;
    let Some(schema) = Schema::create().await else {
        return;
    };
    let open = || async {
        let opened = PostgresStore::open(&schema.url(), PostgresSettings::default()).await;
        let store: Arc<dyn Store> = Arc::new(opened.expect("an empty store"));
        store
    };
    let nodes = [open().await, open().await];
    let instance = world::instance(&nodes[0]).await;
    let calls: Vec<_> = (0..300)
        .map(|number| {
            let store = Arc::clone(&nodes[number % 2]);
            async move {
                let token = world::token(Platform::Fcm, number);
                let fresh = DeviceId::random(Platform::Fcm);
                let registration = world::registration(instance, token);
                let registered =
                    store.register_device(registration, fresh, Some(MOST), world::at(0));
                match registered.await {
                    Ok(_) => 1,
                    Err(StoreError::InstanceFull) => 0,
                    Err(other) => panic!("{other}"),
                }
            }
        })
        .collect();
    let registered: u64 = world::all(calls).await.into_iter().sum();
    assert_eq!(registered, MOST);
    for store in nodes {
        let counted = store.device_count(instance).await;
        assert_eq!(counted.expect("a count"), MOST);
        store.close().await;
    }
}

async fn heard(store: &dyn Store) {
    let patience = std::time::Duration::from_secs(60);
    let heard = tokio::time::timeout(patience, store.wait_for_work()).await;
    heard.expect("somebody rings");
}
