//! Rules of jobs: claims, leases, fences.

use std::collections::HashSet;
use std::sync::Arc;

use super::world::*;
use crate::Store;
use crate::publishes::{Fence, JobId, Plan, Settled, Settlement};

pub async fn leased_jobs_are_nobody_elses(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    one_job(&store, instance).await;
    assert!(
        store
            .claim_jobs(lease(2, 0), at(0), 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .claim_jobs(lease(1, 0), at(59), 10)
            .await
            .unwrap()
            .is_empty(),
        "not even the holder's"
    );
    assert_eq!(
        store
            .claim_jobs(lease(2, 60), at(60), 10)
            .await
            .unwrap()
            .len(),
        1,
        "it has ended"
    );
}

pub async fn unleased_jobs_are_claimed_oldest_first(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let mut published = Vec::new();
    for _ in 0..5 {
        let (id, jobs) = publish_to(&store, instance, to_interests(&["news"]), UNLEASED).await;
        assert!(jobs.is_empty());
        published.push(id);
    }
    let mut claimed = Vec::new();
    for limit in [2, 1, 10, 10] {
        let jobs = store.claim_jobs(lease(1, 0), at(0), limit).await.unwrap();
        assert!(jobs.len() <= limit);
        claimed.extend(jobs.iter().map(|job| job.publish.id));
    }
    assert_eq!(claimed, published);
}

pub async fn concurrent_claims_give_each_job_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for number in 0..60 {
        subscriber(&store, instance, number, &["news"]).await;
    }
    let plan = Plan {
        job_span: 1,
        ..UNLEASED
    };
    publish_to(&store, instance, to_interests(&["news"]), plan).await;
    let calls = (0..30).map(|owner| {
        let store = Arc::clone(&store);
        async move { store.claim_jobs(lease(owner, 0), at(0), 3).await.unwrap() }
    });
    let jobs: Vec<JobId> = all(calls)
        .await
        .into_iter()
        .flatten()
        .map(|job| job.id)
        .collect();
    assert_eq!(jobs.len(), 60);
    assert_eq!(jobs.iter().collect::<HashSet<_>>().len(), 60);
}

pub async fn an_expired_lease_is_taken_over_with_the_cursor(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for number in 0..4 {
        subscriber(&store, instance, number, &["news"]).await;
    }
    let (_, job) = one_job(&store, instance).await;
    let page = store.audience_page(&job, job.cursor, 2).await.unwrap();
    let settled = store
        .settle_page(
            &job,
            page.cursor,
            page.last,
            at(30),
            Settlement::default(),
            at(1),
        )
        .await
        .unwrap();
    assert_eq!(settled, Settled::Done);
    let mut taken = store.claim_jobs(lease(2, 30), at(30), 10).await.unwrap();
    let taken = taken.remove(0);
    assert_eq!(
        (taken.id, taken.cursor, taken.end),
        (job.id, page.cursor, job.end)
    );
    assert!(taken.fence > job.fence);
    assert_eq!(taken.audience, job.audience);
    assert_eq!(all_of(&store, &taken, 10).await.len(), 2, "what is left");
}

pub async fn an_old_fence_is_refused_everywhere(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (_, old) = one_job(&store, instance).await;
    let new = store
        .claim_jobs(lease(2, 100), at(100), 1)
        .await
        .unwrap()
        .remove(0);
    let lost = Settled::LeaseLost;
    for last in [false, true] {
        let settled = store
            .settle_page(&old, old.end, last, at(999), Settlement::default(), at(1))
            .await
            .unwrap();
        assert_eq!(settled, lost);
    }
    assert_eq!(
        store.renew_job(old.id, old.fence, at(999)).await.unwrap(),
        lost
    );
    assert_eq!(store.release_job(old.id, old.fence).await.unwrap(), lost);
    assert_eq!(
        store
            .renew_job(JobId(i64::MAX), Fence(1), at(999))
            .await
            .unwrap(),
        lost,
        "no such job"
    );
    finish_job(&store, &new, Settlement::default()).await;
    assert_eq!(
        store.renew_job(new.id, new.fence, at(999)).await.unwrap(),
        lost,
        "it is done"
    );
}

pub async fn a_renewed_lease_holds(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (_, job) = one_job(&store, instance).await;
    assert_eq!(
        store.renew_job(job.id, job.fence, at(500)).await.unwrap(),
        Settled::Done
    );
    assert!(
        store
            .claim_jobs(lease(2, 499), at(499), 1)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        store
            .claim_jobs(lease(2, 500), at(500), 1)
            .await
            .unwrap()
            .len(),
        1
    );
}

pub async fn a_released_job_is_claimable_at_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (_, job) = one_job(&store, instance).await;
    assert_eq!(
        store.release_job(job.id, job.fence).await.unwrap(),
        Settled::Done
    );
    let settled = store
        .settle_page(&job, job.end, true, at(99), Settlement::default(), at(1))
        .await
        .unwrap();
    assert_eq!(
        settled,
        Settled::LeaseLost,
        "who gives a job back has it no more"
    );
    let again = store.claim_jobs(lease(2, 0), at(0), 1).await.unwrap();
    assert_eq!((again.len(), again[0].id), (1, job.id));
}

pub async fn a_claimed_job_is_the_same_publish(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (id, first) = one_job(&store, instance).await;
    let again = store
        .claim_jobs(lease(2, 60), at(60), 1)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((again.publish.id, again.publish.instance), (id, instance));
    assert_eq!(
        (again.id, again.end, again.audience),
        (first.id, first.end, first.audience)
    );
}

pub async fn the_depth_counts_what_waits(store: Arc<dyn Store>) {
    assert_eq!(
        store.queue_depth(at(5)).await.unwrap(),
        crate::publishes::QueueDepth::default()
    );
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (_, job) = one_job(&store, instance).await;
    publish_to(&store, instance, to_interests(&["news"]), UNLEASED).await;
    let depth = store.queue_depth(at(60)).await.unwrap();
    assert_eq!(
        (depth.jobs, depth.retries, depth.oldest_job),
        (2, 0, MINUTE)
    );
    let recipient = all_of(&store, &job, 1).await.remove(0);
    let settlement = Settlement {
        retries: vec![retry(recipient.device, at(9))],
        ..Settlement::default()
    };
    finish_job(&store, &job, settlement).await;
    let depth = store.queue_depth(at(60)).await.unwrap();
    assert_eq!((depth.jobs, depth.retries), (1, 1));
}
