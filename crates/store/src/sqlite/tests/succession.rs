//! The work of a server that was killed, and of one that lives.

use std::time::Duration;

use uuid::Uuid;

use super::{Folder, NOW, instance, subscribers, to_news};
use crate::Store as _;
use crate::cluster::Cluster as _;
use crate::publishes::{Job, Lease, Plan, Settled};
use crate::sqlite::SqliteStore;

fn lease() -> Lease {
    Lease {
        owner: Uuid::new_v4(),
        until: NOW.after(Duration::from_secs(60)),
    }
}

/// A publish whose job is leased to whoever accepted it.
async fn leased(store: &SqliteStore) -> Job {
    let instance = instance(store).await;
    subscribers(store, instance, 3).await;
    let plan = Plan {
        job_span: 100,
        jobs_max: 1,
        lease: Some(lease()),
        first_page_max: 0,
    };
    let created = store.create_publish(to_news(instance), plan).await;
    created.unwrap().into_jobs().remove(0)
}

#[tokio::test]
async fn the_work_of_a_dead_server_is_free_at_once() {
    let folder = Folder::new();
    let dead = folder.open().await;
    assert_eq!(dead.succeed_the_dead().await.unwrap(), 0);
    let job = leased(&dead).await;
    // Its lock goes with it, and nothing else does.
    drop(dead);
    let next = folder.open().await;
    assert!(next.claim_jobs(lease(), NOW, 10).await.unwrap().is_empty());
    assert_eq!(next.succeed_the_dead().await.unwrap(), 1);
    assert_eq!(next.claim_jobs(lease(), NOW, 10).await.unwrap().len(), 1);
    // Should it have been alive after all, what it had is no good any more.
    let renewed = next.renew_job(job.id, job.fence, NOW).await.unwrap();
    assert_eq!(renewed, Settled::LeaseLost);
}

#[tokio::test]
async fn the_work_of_a_living_server_stays_its_own() {
    let folder = Folder::new();
    let living = folder.open().await;
    living.succeed_the_dead().await.unwrap();
    leased(&living).await;
    let second = folder.open().await;
    assert_eq!(second.succeed_the_dead().await.unwrap(), 0);
    assert!(
        second
            .claim_jobs(lease(), NOW, 10)
            .await
            .unwrap()
            .is_empty()
    );
    // The second lives on when the first is gone, and a third must not take it for dead.
    drop(living);
    let third = folder.open().await;
    assert_eq!(third.succeed_the_dead().await.unwrap(), 0);
}
