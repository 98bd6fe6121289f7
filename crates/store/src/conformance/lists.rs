//! Rules of lists of users.

use std::sync::Arc;

use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::payload::Values;
use domain::publish::{Audience, Publish, PublishId, UserList};
use serde_json::value::to_raw_value;

use super::world::*;
use crate::lists::Listed;
use crate::lookup::PublishState;
use crate::publishes::{
    DeadDevice, Job, NewPublish, NewRetry, Plan, Settled, Settlement, UserTally,
};
use crate::{Store, StoreError};

const LEASED: Plan = Plan {
    job_span: 1_000_000,
    jobs_max: 64,
    lease: Some(crate::publishes::Lease {
        owner: uuid::Uuid::from_u128(1),
        until: at_const(60),
    }),
    first_page_max: 0,
};

const fn at_const(secs: i64) -> domain::clock::Timestamp {
    domain::clock::Timestamp::from_secs(1_800_000_000 + secs)
}

fn values(name: &str) -> Values {
    let object = serde_json::json!({"name": name});
    Values::parse(&to_raw_value(&object).unwrap()).unwrap()
}

fn listed(id: &str) -> Listed {
    Listed {
        user: user(id),
        values: None,
    }
}

async fn list(store: &Arc<dyn Store>, instance: InstanceId, ids: &[&str]) -> UserList {
    let number = store.begin_list(instance, at(0)).await.unwrap();
    let users = ids.iter().map(|id| listed(id)).collect();
    assert_eq!(store.extend_list(number, 0, users).await.unwrap(), None);
    UserList {
        number,
        users: ids.len() as u64,
    }
}

async fn publish_to_list(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    list: UserList,
    plan: Plan,
) -> Result<(PublishId, Vec<Job>), StoreError> {
    let publish = publish(instance, &[Platform::Fcm]);
    let id = publish.id;
    let audience = Audience::List(list);
    let new = NewPublish {
        publish,
        audience,
        once: None,
        webhook: None,
    };
    let accepted = store.create_publish(new, plan).await?;
    Ok((id, accepted.into_jobs()))
}

/// Devices of a platform that belong to a user.
async fn devices_of(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    id: &str,
    platform: Platform,
    numbers: std::ops::Range<usize>,
) {
    for number in numbers {
        let device = device(store, instance, token(platform, number)).await;
        assert_eq!(
            bind(store, instance, device, id).await,
            crate::devices::Bound::Done
        );
    }
}

pub async fn an_unknown_instance_has_no_lists(store: Arc<dyn Store>) {
    let begun = store.begin_list(InstanceId::random(), at(0)).await;
    assert!(matches!(begun, Err(StoreError::UnknownInstance)));
}

pub async fn a_list_is_an_audience_once(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    devices_of(&store, mine, "ann", Platform::Fcm, 0..2).await;
    devices_of(&store, other, "ann", Platform::Fcm, 0..5).await;
    let list = list(&store, mine, &["ann", "nobody"]).await;
    assert!(publish_to_list(&store, other, list, LEASED).await.is_err());
    let (id, jobs) = publish_to_list(&store, mine, list, LEASED).await.unwrap();
    let page = store
        .audience_page(&jobs[0], jobs[0].cursor, 10)
        .await
        .unwrap();
    assert_eq!(page.recipients.len(), 2);
    assert!(page.last && page.recipients.iter().all(|found| found.user.is_some()));
    finish_job(&store, &jobs[0], Settlement::default()).await;
    assert!(report(&store, mine, id).await.finished_at.is_some());
    assert!(publish_to_list(&store, mine, list, LEASED).await.is_err());
    let more = vec![listed("bob")];
    assert!(store.extend_list(list.number, 2, more).await.is_err());
}

pub async fn pages_of_a_list_have_whole_users_in_order(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    devices_of(&store, instance, "a", Platform::Fcm, 0..3).await;
    devices_of(&store, instance, "b", Platform::Fcm, 3..4).await;
    devices_of(&store, instance, "c", Platform::Apns, 0..1).await;
    devices_of(&store, instance, "d", Platform::Fcm, 4..9).await;
    let list = list(&store, instance, &["d", "x", "b", "c", "a"]).await;
    let (_, jobs) = publish_to_list(&store, instance, list, LEASED)
        .await
        .unwrap();
    for limit in 1..=10 {
        let mut after = jobs[0].cursor;
        let mut lengths = Vec::new();
        loop {
            let page = store.audience_page(&jobs[0], after, limit).await.unwrap();
            assert!(page.last || page.cursor > after, "{limit}");
            lengths.push(page.recipients.len());
            after = page.cursor;
            if page.last {
                break;
            }
        }
        assert_eq!(lengths.iter().sum::<usize>(), 9, "{limit}: {lengths:?}");
        assert!(
            lengths.iter().all(|length| *length <= limit.max(5)),
            "{lengths:?}"
        );
        assert_eq!(after, jobs[0].end);
    }
}

pub async fn a_user_is_in_a_list_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let list = store.begin_list(instance, at(0)).await.unwrap();
    let extend = async |length, ids: &[&str]| {
        let users = ids.iter().map(|id| listed(id)).collect();
        store.extend_list(list, length, users).await.unwrap()
    };
    assert_eq!(extend(0, &["a", "b", "a"]).await, Some(2));
    assert_eq!(
        extend(0, &["a", "b"]).await,
        None,
        "nothing was added before"
    );
    assert_eq!(extend(2, &["c", "b"]).await, Some(1));
    assert_eq!(extend(2, &["c"]).await, None);
}

pub async fn a_list_is_cut_into_jobs(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let ids: Vec<String> = (0..10).map(|number| format!("u{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        devices_of(&store, instance, id, Platform::Fcm, number..number + 1).await;
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let list = list(&store, instance, &ids).await;
    let plan = Plan {
        job_span: 3,
        ..LEASED
    };
    let (_, jobs) = publish_to_list(&store, instance, list, plan).await.unwrap();
    assert_eq!(jobs.len(), 4);
    let mut found = 0;
    for job in &jobs {
        let page = store.audience_page(job, job.cursor, 100).await.unwrap();
        assert!(page.last && page.recipients.len() <= 3);
        found += page.recipients.len();
    }
    assert_eq!(found, 10);
}

pub async fn a_scheduled_list_is_looked_up_when_it_is_sent(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let list = list(&store, instance, &["late"]).await;
    let publish = Arc::new(Publish {
        send_at: at(50),
        ..(*publish(instance, &[Platform::Fcm])).clone()
    });
    let (id, audience) = (publish.id, Audience::List(list));
    let new = NewPublish {
        publish,
        audience,
        once: None,
        webhook: None,
    };
    let accepted = store.create_publish(new, LEASED).await.unwrap();
    assert!(accepted.into_jobs().is_empty());
    assert_eq!(
        report(&store, instance, id).await.state,
        PublishState::Scheduled
    );
    devices_of(&store, instance, "late", Platform::Fcm, 0..1).await;
    let jobs = store.start_scheduled(LEASED, at(50), 10).await.unwrap();
    let page = store
        .audience_page(&jobs[0], jobs[0].cursor, 10)
        .await
        .unwrap();
    assert_eq!(page.recipients.len(), 1);
}

pub async fn values_are_told_for_devices(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for (number, id) in ["ann", "bob", "eve"].iter().enumerate() {
        devices_of(&store, instance, id, Platform::Fcm, number..number + 1).await;
    }
    let number = store.begin_list(instance, at(0)).await.unwrap();
    let mut users = vec![listed("ann"), listed("bob")];
    users[0].values = Some(values("Ann"));
    assert_eq!(store.extend_list(number, 0, users).await.unwrap(), None);
    let list = UserList { number, users: 2 };
    let (id, jobs) = publish_to_list(&store, instance, list, LEASED)
        .await
        .unwrap();
    let page = store
        .audience_page(&jobs[0], jobs[0].cursor, 10)
        .await
        .unwrap();
    let devices: Vec<DeviceOrdinal> = page.recipients.iter().map(|one| one.device).collect();
    let all: Vec<DeviceOrdinal> = (0..100).map(DeviceOrdinal).collect();
    let told = store.user_values(id, all.clone()).await.unwrap();
    assert_eq!(told, [(devices[0], values("Ann"))]);
    let none = store.user_values(PublishId::random(), all).await.unwrap();
    assert_eq!(none, []);
}

pub async fn users_of_a_list_are_reported(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    devices_of(&store, instance, "b", Platform::Fcm, 0..1).await;
    let list = list(&store, instance, &["c", "b", "a"]).await;
    let (id, jobs) = publish_to_list(&store, instance, list, LEASED)
        .await
        .unwrap();
    let page = store
        .audience_page(&jobs[0], jobs[0].cursor, 10)
        .await
        .unwrap();
    let settlement = Settlement {
        users: vec![UserTally {
            user: page.recipients[0].user.unwrap(),
            accepted: 1,
            failed: 0,
        }],
        ..Settlement::default()
    };
    finish_job(&store, &jobs[0], settlement).await;
    let mut after = None;
    for (name, accepted) in [("a", 0), ("b", 1), ("c", 0)] {
        let page = store.publish_users(instance, id, after, 1).await;
        let page = page.unwrap().unwrap();
        assert_eq!(page[0].user, user(name));
        assert_eq!(page[0].accepted, accepted);
        after = Some(page[0].user.clone());
    }
    let rest = store.publish_users(instance, id, after, 1).await.unwrap();
    assert_eq!(rest, Some(Vec::new()));
}

/// The outcomes of a publish's users: user, accepted, failed.
async fn outcomes(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    id: PublishId,
) -> Vec<(String, u64, u64)> {
    let users = store.publish_users(instance, id, None, 100).await;
    let users = users.unwrap().unwrap().into_iter();
    users
        .map(|told| (told.user.as_str().to_owned(), told.accepted, told.failed))
        .collect()
}

pub async fn users_of_a_list_who_are_gone_are_reported(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let all = ["dead", "stays", "stops", "waits", "returns"];
    for (number, id) in all.iter().enumerate() {
        devices_of(&store, instance, id, Platform::Fcm, number..number + 1).await;
    }
    let first = list(&store, instance, &all).await;
    let (id, jobs) = publish_to_list(&store, instance, first, LEASED)
        .await
        .unwrap();
    let page = store.audience_page(&jobs[0], jobs[0].cursor, 10).await;
    let found = page.unwrap().recipients;
    let tally = |place: usize, accepted| UserTally {
        user: found[place].user.unwrap(),
        accepted,
        failed: 1 - accepted,
    };
    let dead = |place: usize| DeadDevice {
        device: found[place].device,
        token: found[place].token.clone(),
        since: None,
    };
    let waits = NewRetry {
        user: found[3].user,
        ..retry(found[3].device, at(5))
    };
    let settlement = Settlement {
        users: vec![tally(0, 0), tally(1, 1), tally(2, 1), tally(4, 1)],
        dead: vec![dead(0)],
        retries: vec![waits],
        ..Settlement::default()
    };
    finish_job(&store, &jobs[0], settlement).await;
    let batches = store.claim_retries(lease(1, 9), at(9), 10).await.unwrap();
    let settlement = Settlement {
        users: vec![tally(3, 0)],
        dead: vec![dead(3)],
        ..Settlement::default()
    };
    let settled = store.settle_retries(id, ids(&batches[0]), settlement, at(9));
    assert_eq!(settled.await.unwrap(), Settled::Done);
    for gone in ["stops", "returns"] {
        store.delete_user(instance, user(gone)).await.unwrap();
    }
    devices_of(&store, instance, "returns", Platform::Fcm, 9..10).await;
    let expected = [
        ("dead", 0, 1),
        ("returns", 1, 0),
        ("stays", 1, 0),
        ("stops", 1, 0),
        ("waits", 0, 1),
    ];
    let expected = expected.map(|(name, accepted, failed)| (name.to_owned(), accepted, failed));
    assert_eq!(outcomes(&store, instance, id).await, expected);
    for (name, accepted, failed) in &expected {
        let traces = store.user_traces(instance, user(name), None).await;
        let traces = traces.unwrap().publishes;
        assert_eq!(traces[0].outcome, Some((*accepted, *failed)), "{name}");
    }
}

pub async fn lists_have_others_at_the_same_places(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for (number, id) in ["ann", "bob"].iter().enumerate() {
        devices_of(&store, instance, id, Platform::Fcm, number..number + 1).await;
    }
    let mut publishes = Vec::new();
    for ids in [["ann", "bob"], ["bob", "ann"]] {
        let list = list(&store, instance, &ids).await;
        let (id, jobs) = publish_to_list(&store, instance, list, LEASED)
            .await
            .unwrap();
        let page = store.audience_page(&jobs[0], jobs[0].cursor, 10).await;
        let found = page.unwrap().recipients;
        let users = found.iter().map(|one| UserTally {
            user: one.user.unwrap(),
            accepted: 1,
            failed: 0,
        });
        let settlement = Settlement {
            users: users.collect(),
            ..Settlement::default()
        };
        finish_job(&store, &jobs[0], settlement).await;
        publishes.push(id);
    }
    let forgotten = store
        .forget_user(instance, user("ann"), user("pseudonym"))
        .await
        .unwrap();
    assert_eq!((forgotten.names, forgotten.outcomes), (2, 2));
    for id in publishes {
        let left = [("bob".to_owned(), 1, 0)];
        assert_eq!(outcomes(&store, instance, id).await, left);
    }
}

pub async fn a_discarded_list_is_gone(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let gone = list(&store, instance, &["a"]).await;
    store.discard_list(gone.number).await.unwrap();
    store.discard_list(gone.number).await.unwrap();
    assert!(
        publish_to_list(&store, instance, gone, LEASED)
            .await
            .is_err()
    );
    // One that nobody came back for is forgotten, one that is in use is not.
    let (left, used) = (
        list(&store, instance, &["a"]).await,
        list(&store, instance, &["a"]).await,
    );
    publish_to_list(&store, instance, used, UNLEASED)
        .await
        .unwrap();
    store.discard_list(used.number).await.unwrap();
    assert_eq!(store.prune_lists(at(0), 10).await.unwrap(), 0);
    assert_eq!(store.prune_lists(at(100), 10).await.unwrap(), 1);
    assert!(
        publish_to_list(&store, instance, left, LEASED)
            .await
            .is_err()
    );
    let jobs = store.claim_jobs(lease(1, 0), at(0), 10).await.unwrap();
    assert_eq!(jobs.len(), 1);
}

pub async fn lists_go_with_their_publish_and_instance(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let first = list(&store, mine, &["a"]).await;
    let (id, jobs) = publish_to_list(&store, mine, first, LEASED).await.unwrap();
    finish_job(&store, &jobs[0], Settlement::default()).await;
    assert_eq!(store.prune_publishes(at(100), 10).await.unwrap(), 1);
    assert!(store.publish_report(mine, id).await.unwrap().is_none());
    store.prune_lists(at(100), 10).await.unwrap();
    assert_eq!(store.prune_lists(at(100), 10).await.unwrap(), 0);
    assert!(publish_to_list(&store, mine, first, LEASED).await.is_err());
    for instance in [mine, other] {
        let used = list(&store, instance, &["a"]).await;
        publish_to_list(&store, instance, used, UNLEASED)
            .await
            .unwrap();
        list(&store, instance, &["b"]).await;
    }
    assert!(store.delete_instance(mine).await.unwrap());
    let jobs = store.claim_jobs(lease(1, 0), at(0), 10).await.unwrap();
    assert_eq!(jobs.len(), 1, "the other instance's");
}
