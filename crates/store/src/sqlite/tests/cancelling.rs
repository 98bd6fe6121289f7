//! A call that cancels is cut short, as by a crash, before it has removed the retries.

use std::time::Duration;

use domain::instance::InstanceId;
use domain::publish::PublishId;
use uuid::Uuid;

use super::{Folder, NOW, instance, subscribers, to_news};
use crate::Store as _;
use crate::lookup::{Cancelled, PublishState};
use crate::publishes::{Lease, NewRetry, Plan, Settled, Settlement};
use crate::sqlite::{SqliteStore, cancel};

/// A publish of which nothing is left but three retries; who held its work.
async fn with_retries(store: &SqliteStore) -> (InstanceId, PublishId, Lease) {
    let instance = instance(store).await;
    subscribers(store, instance, 3).await;
    let new = to_news(instance);
    let id = new.publish.id;
    let lease = Lease {
        owner: Uuid::new_v4(),
        until: NOW.after(Duration::from_secs(60)),
    };
    let plan = Plan {
        job_span: 100,
        jobs_max: 1,
        lease: Some(lease),
        first_page_max: 0,
    };
    let job = store
        .create_publish(new, plan)
        .await
        .unwrap()
        .into_jobs()
        .remove(0);
    let page = store.audience_page(&job, job.cursor, 10).await.unwrap();
    let retry = |device| NewRetry {
        device,
        attempts: 1,
        due_at: NOW,
        reason: "throttled".into(),
        user: None,
    };
    let settlement = Settlement {
        retries: page.recipients.iter().map(|r| retry(r.device)).collect(),
        ..Settlement::default()
    };
    let settled = store
        .settle_page(&job, job.end, true, lease.until, settlement, NOW)
        .await
        .unwrap();
    assert_eq!(settled, Settled::Done);
    (instance, id, lease)
}

#[tokio::test]
async fn retries_left_behind_are_removed_instead_of_claimed() {
    let folder = Folder::new();
    let store = folder.open().await;
    let (instance, id, lease) = with_retries(&store).await;
    let marked = store
        .writer
        .run(move |c| cancel::mark(c, instance, id, NOW))
        .await
        .unwrap();
    assert_eq!(marked.0, Cancelled::Done);
    let report = store.publish_report(instance, id).await.unwrap().unwrap();
    assert_eq!((report.state, report.retries), (PublishState::Cancelled, 0));
    assert!(
        store
            .claim_retries(lease, NOW, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.next_retry_due(NOW).await.unwrap(), None);
    let depth = store.queue_depth(NOW).await.unwrap();
    assert_eq!(depth.retries, 0, "they are gone");
}
