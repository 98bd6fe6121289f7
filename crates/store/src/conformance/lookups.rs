//! Rules of what is told of publishes: lists, users, failures, counts.

use std::sync::Arc;

use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;
use domain::publish::{AudienceKind, PublishId};

use super::world::*;
use crate::Store;
use crate::devices::Changed;
use crate::lookup::{PublishState, Target, UserOutcome};
use crate::publishes::{Failure, Job, Plan, RetryId, Settled, Settlement, UserTally};

fn failure(device: DeviceOrdinal, outcome: OutcomeKind) -> Failure {
    Failure {
        device,
        outcome,
        reason: "payload".into(),
    }
}

/// Publishes to users and claims the one job.
async fn users_job(store: &Arc<dyn Store>, instance: InstanceId, ids: &[&str]) -> (PublishId, Job) {
    let plan = Plan {
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    let (id, mut jobs) = publish_to(store, instance, to_users(ids), plan).await;
    assert_eq!(jobs.len(), 1);
    (id, jobs.remove(0))
}

async fn users_of(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    id: PublishId,
) -> Vec<(String, u64, u64)> {
    let told = store.publish_users(instance, id, None, 100).await.unwrap();
    let told = told.expect("the publish is there").into_iter();
    let flat = |one: UserOutcome| (one.user.as_str().to_owned(), one.accepted, one.failed);
    told.map(flat).collect()
}

pub async fn nothing_is_told_of_unknown_publishes(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let (id, _) = publish_to(&store, mine, to_users(&["ann"]), UNLEASED).await;
    for (instance, id) in [(mine, PublishId::random()), (other, id)] {
        let users = store.publish_users(instance, id, None, 10).await.unwrap();
        assert_eq!(users, None);
        let none = DeviceOrdinal::default();
        let failures = store
            .publish_failures(instance, id, none, 10)
            .await
            .unwrap();
        assert_eq!(failures, None);
    }
    for instance in [other, InstanceId::random()] {
        let page = store
            .list_publishes(instance, None, None, 10)
            .await
            .unwrap();
        assert_eq!(page, crate::lookup::PublishPage::default());
    }
}

pub async fn lists_are_complete_and_newest_first(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let mut ids = Vec::new();
    for _ in 0..7 {
        publish_to(&store, other, to_interests(&["x"]), UNLEASED).await;
        ids.push(
            publish_to(&store, mine, to_interests(&["x"]), UNLEASED)
                .await
                .0,
        );
    }
    ids.reverse();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_publishes(mine, None, after, 3).await.unwrap();
        assert!(page.publishes.len() <= 3);
        found.extend(page.publishes.iter().map(|report| report.id));
        after = page.next;
        if after.is_none() {
            break;
        }
        // Newer ones do not come up behind the cursor.
        publish_to(&store, mine, to_interests(&["x"]), UNLEASED).await;
    }
    assert_eq!(found, ids);
}

pub async fn lists_are_by_state(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (finished, job) = one_job(&store, instance).await;
    finish_job(&store, &job, Settlement::default()).await;
    let (cancelled, _) = one_job(&store, instance).await;
    let done = store.cancel_publish(instance, cancelled, at(1)).await;
    assert_eq!(done.unwrap(), crate::lookup::Cancelled::Done);
    let (running, _) = one_job(&store, instance).await;
    for (state, id) in [
        (PublishState::Scheduled, None),
        (PublishState::Running, Some(running)),
        (PublishState::Finished, Some(finished)),
        (PublishState::Cancelled, Some(cancelled)),
    ] {
        let page = store
            .list_publishes(instance, Some(state), None, 10)
            .await
            .unwrap();
        let found: Vec<_> = page
            .publishes
            .iter()
            .map(|one| (one.id, one.state))
            .collect();
        let expected: Vec<_> = id.into_iter().map(|id| (id, state)).collect();
        assert_eq!(found, expected);
        assert_eq!(page.next, None);
    }
    let target = report(&store, instance, running).await.target;
    assert_eq!(target, Target::Named(AudienceKind::Interests, 1));
}

pub async fn every_user_named_is_told_of(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for (number, user) in ["ann", "ann", "bob"].into_iter().enumerate() {
        let id = device(&store, instance, token(Platform::Fcm, number)).await;
        bound(&store, instance, id, user).await;
    }
    let (id, job) = users_job(&store, instance, &["zoe", "bob", "ann"]).await;
    let nobody_yet = users_of(&store, instance, id).await;
    assert_eq!(
        nobody_yet,
        [("ann", 0, 0), ("bob", 0, 0), ("zoe", 0, 0)].map(|(id, a, f)| (id.to_owned(), a, f))
    );
    let recipients = all_of(&store, &job, 10).await;
    let numbers: Vec<_> = recipients.iter().map(|one| one.user.unwrap()).collect();
    assert_eq!(numbers[0], numbers[1]);
    assert_ne!(numbers[0], numbers[2]);
    let tallied = |user, accepted, failed| UserTally {
        user,
        accepted,
        failed,
    };
    // One of ann's devices is tried again, and keeps its user meanwhile.
    let mut again = retry(recipients[1].device, at(10));
    again.user = recipients[1].user;
    let settlement = Settlement {
        users: vec![tallied(numbers[0], 1, 0), tallied(numbers[2], 0, 1)],
        retries: vec![again],
        ..Settlement::default()
    };
    finish_job(&store, &job, settlement).await;
    let batch = store
        .claim_retries(lease(1, 10), at(10), 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(batch.retries[0].recipient.user, Some(numbers[0]));
    let settlement = Settlement {
        users: vec![tallied(numbers[0], 1, 2)],
        ..Settlement::default()
    };
    // A user who goes meanwhile is told of all the same.
    assert_eq!(store.delete_user(instance, user("bob")).await.unwrap(), 1);
    let settled = store
        .settle_retries(id, ids(&batch), settlement, at(11))
        .await
        .unwrap();
    assert_eq!(settled, Settled::Done);
    let told = users_of(&store, instance, id).await;
    assert_eq!(
        told,
        [("ann", 2, 2), ("bob", 0, 1), ("zoe", 0, 0)].map(|(id, a, f)| (id.to_owned(), a, f))
    );
    let page = store
        .publish_users(instance, id, Some(user("ann")), 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].user, user("bob"));
}

pub async fn interests_tell_of_no_users(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["news"]).await;
    bound(&store, instance, id, "ann").await;
    let (id, job) = one_job(&store, instance).await;
    assert_eq!(all_of(&store, &job, 10).await[0].user, None);
    assert_eq!(users_of(&store, instance, id).await, []);
}

pub async fn failures_are_kept_in_order(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mut devices = Vec::new();
    for number in 0..4 {
        devices.push(subscriber(&store, instance, number, &["news"]).await);
    }
    bound(&store, instance, devices[0], "ann").await;
    let (id, job) = one_job(&store, instance).await;
    let ordinals: Vec<_> = all_of(&store, &job, 10)
        .await
        .iter()
        .map(|recipient| recipient.device)
        .collect();
    assert!(store.delete_device(instance, devices[1]).await.unwrap());
    let settlement = Settlement {
        failures: vec![
            failure(ordinals[2], OutcomeKind::Expired),
            failure(ordinals[1], OutcomeKind::Rejected),
            failure(ordinals[0], OutcomeKind::Rejected),
        ],
        ..Settlement::default()
    };
    finish_job(&store, &job, settlement).await;
    // What happens afterwards does not change what was.
    assert!(store.delete_device(instance, devices[0]).await.unwrap());
    let page = |after, limit| {
        let store = Arc::clone(&store);
        async move {
            store
                .publish_failures(instance, id, after, limit)
                .await
                .unwrap()
                .unwrap()
        }
    };
    let all = page(DeviceOrdinal::default(), 10).await;
    let told: Vec<_> = all.iter().map(|one| (one.device, one.outcome)).collect();
    assert_eq!(
        told,
        [
            (devices[0], OutcomeKind::Rejected),
            (devices[2], OutcomeKind::Expired)
        ],
        "the device that was gone is left out"
    );
    assert_eq!(all[0].user, Some(user("ann")));
    assert_eq!((all[0].reason.as_ref(), all[0].at), ("payload", at(1)));
    assert_eq!(page(all[0].ordinal, 10).await, all[1..]);
    assert_eq!(page(DeviceOrdinal::default(), 1).await, all[..1]);
    assert_eq!(store.prune_publishes(at(9), 10).await.unwrap(), 1);
}

pub async fn a_refused_settlement_keeps_no_failures(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (id, job) = one_job(&store, instance).await;
    let device = all_of(&store, &job, 1).await[0].device;
    let settlement = Settlement {
        failures: vec![failure(device, OutcomeKind::Rejected)],
        ..Settlement::default()
    };
    assert_eq!(
        store.release_job(job.id, job.fence).await.unwrap(),
        Settled::Done
    );
    let settled = store
        .settle_page(&job, job.end, true, at(60), settlement.clone(), at(1))
        .await
        .unwrap();
    let retried = store
        .settle_retries(id, vec![(RetryId(1), job.fence)], settlement, at(1))
        .await
        .unwrap();
    assert_eq!([settled, retried], [Settled::LeaseLost; 2]);
    let none = DeviceOrdinal::default();
    let failures = store
        .publish_failures(instance, id, none, 10)
        .await
        .unwrap();
    assert_eq!(failures, Some(vec![]));
}

pub async fn an_audience_is_counted_once_each(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    for number in 0..9 {
        let platform = Platform::ALL[number % 3];
        let id = device(&store, mine, token(platform, number)).await;
        let interests: &[&str] = if number < 6 {
            &["news", "sport"]
        } else {
            &["sport"]
        };
        let set = store.set_interests(mine, id, names(interests), at(0)).await;
        assert_eq!(set.unwrap(), Changed::Done);
        bound(&store, mine, id, ["ann", "bob"][usize::from(number > 0)]).await;
    }
    let count = async |instance, audience, platforms: &[Platform]| {
        let counted = store
            .count_audience(instance, audience, platforms.to_vec())
            .await
            .unwrap();
        (
            Platform::ALL.map(|platform| counted.devices(platform)),
            counted.users,
        )
    };
    let both = || to_interests(&["news", "sport", "unknown"]);
    assert_eq!(count(mine, both(), &Platform::ALL).await, ([3, 3, 3], 0));
    let some = to_interests(&["news"]);
    assert_eq!(count(mine, some, &[Platform::Web]).await, ([0, 0, 2], 0));
    let users = || to_users(&["ann", "bob", "zoe"]);
    assert_eq!(count(mine, users(), &Platform::ALL).await, ([3, 3, 3], 2));
    let fcm = count(mine, users(), &[Platform::Fcm]).await;
    assert_eq!(fcm, ([0, 3, 0], 1), "ann has an Apple device only");
    for instance in [other, InstanceId::random()] {
        assert_eq!(count(instance, both(), &Platform::ALL).await, ([0; 3], 0));
        assert_eq!(count(instance, users(), &Platform::ALL).await, ([0; 3], 0));
    }
}
