//! One row that does not read back, as a newer Heliostat may have written it, does not stop the others.

use std::sync::Arc;

use domain::device::{DeviceOrdinal, Platform};
use uuid::Uuid;

use super::{Folder, NOW, instance, subscribers, to_news};
use crate::Store as _;
use crate::publishes::{Lease, Plan};
use crate::sqlite::SqliteStore;

/// A store with three devices subscribed to `news`, and three publishes to it that nobody has claimed.
async fn three_of_each(folder: &Folder) -> Arc<SqliteStore> {
    let store = folder.open().await;
    let instance = instance(&store).await;
    subscribers(&store, instance, 3).await;
    for _ in 0..3 {
        let plan = Plan {
            job_span: 100,
            jobs_max: 1,
            lease: None,
            first_page_max: 0,
        };
        let accepted = store.create_publish(to_news(instance), plan).await.unwrap();
        assert!(accepted.into_jobs().is_empty());
    }
    store
}

async fn damage(store: &SqliteStore, sql: &'static str) {
    store
        .writer
        .run(move |c| Ok(c.execute_batch(sql)?))
        .await
        .unwrap();
}

fn lease() -> Lease {
    Lease {
        owner: Uuid::from_u128(1),
        until: NOW.after(std::time::Duration::from_secs(60)),
    }
}

#[tokio::test]
async fn a_publish_in_a_newer_format_does_not_stop_the_others() {
    let folder = Folder::new();
    let store = three_of_each(&folder).await;
    damage(&store, "UPDATE payloads SET format = 99 WHERE publish = 1").await;
    damage(
        &store,
        "UPDATE payloads SET audience = x'' WHERE publish = 2",
    )
    .await;
    assert_eq!(store.claim_jobs(lease(), NOW, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_is_called_for_retries_of_a_deleted_instance() {
    let folder = Folder::new();
    let store = three_of_each(&folder).await;
    damage(
        &store,
        "INSERT INTO retries (publish, device, attempts, due_at, reason) SELECT 1, device, 1, 0, 'x' FROM devices",
    )
    .await;
    assert!(store.next_retry_due(NOW).await.unwrap().is_some());
    damage(&store, "UPDATE instances SET deleted = 1").await;
    assert_eq!(store.next_retry_due(NOW).await.unwrap(), None);
    assert!(
        store
            .claim_retries(lease(), NOW, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_device_that_does_not_read_back_does_not_stop_the_others() {
    let folder = Folder::new();
    let store = three_of_each(&folder).await;
    damage(
        &store,
        "UPDATE devices SET bundle_id = 'no bundle' WHERE device = 2",
    )
    .await;
    damage(
        &store,
        "INSERT INTO retries (publish, device, attempts, due_at, reason) SELECT 1, device, 1, 0, 'x' FROM devices",
    )
    .await;
    let job = store.claim_jobs(lease(), NOW, 1).await.unwrap().remove(0);
    let page = store
        .audience_page(&job, DeviceOrdinal(0), 10)
        .await
        .unwrap();
    assert_eq!((page.recipients.len(), page.last), (2, true));
    let batches = store.claim_retries(lease(), NOW, 10).await.unwrap();
    assert_eq!(batches[0].retries.len(), 2);
    // Nobody is called for the third one again at once.
    assert_eq!(store.next_retry_due(NOW).await.unwrap(), None);
    assert!(store.next_retry_due(lease().until).await.unwrap().is_some());
    assert!(
        page.recipients
            .iter()
            .all(|found| found.token.platform() == Platform::Fcm)
    );
}
