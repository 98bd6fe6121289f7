//! A server is lost with what it had taken last, and the one that takes its place gives the same numbers again.

use domain::device::DeviceOrdinal;
use uuid::Uuid;

use super::super::PostgresStore;
use super::together::{NOW, PLAN, instance, to_user, user};
use super::{PostgresSettings, fresh};
use crate::Store as _;
use crate::publishes::{AHEAD_MAX, Job, Lease, NewRetry, Settled, Settlement};

/// Another node on the same database.
async fn other_node(schema: &super::schema::Schema) -> PostgresStore {
    let url = schema.url();
    PostgresStore::open(&url, PostgresSettings::default())
        .await
        .unwrap()
}

/// Takes the last publish away as if it had never been written.
async fn lose(store: &PostgresStore) {
    let session = store.sessions.session().await.unwrap();
    session
        .batch(
            "DELETE FROM publishes; DELETE FROM payloads; DELETE FROM jobs; DELETE FROM retries;
             ALTER TABLE publishes ALTER COLUMN publish RESTART; ALTER TABLE jobs ALTER COLUMN job RESTART",
        )
        .await
        .unwrap();
}

fn lease() -> Lease {
    Lease {
        owner: Uuid::from_u128(8),
        until: NOW.after(AHEAD_MAX),
    }
}

async fn settle(store: &PostgresStore, job: &Job, last: bool, with: Settlement) -> Settled {
    let cursor = if last {
        job.end
    } else {
        DeviceOrdinal(job.cursor.0 + 1)
    };
    store
        .settle_page(job, cursor, last, lease().until, with, NOW)
        .await
        .unwrap()
}

/// Two nodes; a job of a publish that the first of them accepted and the server lost, and one with the same numbers that the
/// second accepted since.
struct Lost {
    store: PostgresStore,
    other: PostgresStore,
    _schema: super::schema::Schema,
    lost: Job,
    found: Job,
}

async fn lost() -> Option<Lost> {
    let (store, schema) = fresh(PostgresSettings::default()).await?;
    let here = instance(&store).await;
    user(&store, here, 1).await;
    user(&store, here, 2).await;
    let lost = store.create_publish(to_user(here, 1), PLAN).await;
    let lost = lost.unwrap().into_jobs().remove(0);
    lose(&store).await;
    let other = other_node(&schema).await;
    let found = other.create_publish(to_user(here, 2), PLAN).await;
    let found = found.unwrap().into_jobs().remove(0);
    assert_eq!((lost.id, lost.fence), (found.id, found.fence));
    Some(Lost {
        store,
        other,
        _schema: schema,
        lost,
        found,
    })
}

#[tokio::test]
async fn what_was_lost_settles_nothing_of_what_has_its_number() {
    let Some(Lost { store, lost, .. }) = &lost().await else {
        return;
    };
    for last in [false, true] {
        let settled = settle(store, lost, last, Settlement::default()).await;
        assert_eq!(settled, Settled::LeaseLost);
    }
    assert_eq!(store.queue_depth(NOW).await.unwrap().jobs, 1);
}

#[tokio::test]
async fn whoever_knows_what_was_lost_takes_up_what_has_its_number() {
    let Some(Lost { store, found, .. }) = &lost().await else {
        return;
    };
    let later = PLAN.lease.unwrap().until;
    let claimed = store.claim_jobs(lease(), later, 10).await.unwrap();
    assert_eq!(claimed[0].publish.id, found.publish.id);
    let page = store.audience_page(&claimed[0], claimed[0].cursor, 10);
    assert_eq!(page.await.unwrap().recipients.len(), 2);
}

#[tokio::test]
async fn retries_are_of_what_has_the_number_of_what_was_lost() {
    let Some(lost) = &lost().await else {
        return;
    };
    let page = lost.found.first_page.as_ref().unwrap();
    let retry = NewRetry {
        device: page.recipients[0].device,
        attempts: 1,
        due_at: NOW,
        reason: "throttled".into(),
        user: None,
    };
    let with = Settlement {
        retries: vec![retry],
        ..Settlement::default()
    };
    assert_eq!(
        settle(&lost.other, &lost.found, true, with).await,
        Settled::Done
    );
    let batches = lost.store.claim_retries(lease(), NOW, 10).await.unwrap();
    assert_eq!(batches[0].publish.id, lost.found.publish.id);
}
