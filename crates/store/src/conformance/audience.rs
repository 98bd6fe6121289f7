//! Rules of audiences: how they are cut into jobs, and the pages of a job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::device::{DeviceId, DeviceOrdinal, GatewayToken, Platform};
use domain::instance::InstanceId;

use super::world::*;
use crate::Store;
use crate::devices::{Bound, Changed};
use crate::publishes::{Job, NewPublish, Plan};

const LEASED: fn() -> Plan = || Plan {
    lease: Some(lease(1, 0)),
    ..UNLEASED
};

async fn subscribers(store: &Arc<dyn Store>, instance: InstanceId, count: usize) {
    for number in 0..count {
        subscriber(store, instance, number, &["news"]).await;
    }
}

/// Checks that jobs lie side by side, in order.
fn check_side_by_side(jobs: &[Job]) {
    for pair in jobs.windows(2) {
        assert_eq!(pair[0].end, pair[1].cursor);
    }
    assert!(jobs.iter().all(|job| job.cursor < job.end));
}

pub async fn ranges_cover_everybody_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscribers(&store, instance, 53).await;
    for (job_span, jobs_max) in [
        (1, 64),
        (1, 3),
        (10, 64),
        (10, 2),
        (53, 1),
        (1000, 64),
        (7, 1),
    ] {
        let plan = Plan {
            job_span,
            jobs_max,
            ..LEASED()
        };
        let (_, jobs) = publish_to(&store, instance, to_interests(&["news", "other"]), plan).await;
        check_side_by_side(&jobs);
        let mut found = BTreeSet::new();
        for job in &jobs {
            for recipient in all_of(&store, job, 5).await {
                assert!(
                    found.insert(recipient.device),
                    "twice: {:?}",
                    recipient.device
                );
            }
        }
        assert_eq!(found.len(), 53, "{job_span} {jobs_max}");
    }
}

pub async fn a_job_spans_no_more_than_planned(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscribers(&store, instance, 40).await;
    let plan = Plan {
        job_span: 9,
        ..LEASED()
    };
    let (_, jobs) = publish_to(&store, instance, to_interests(&["news"]), plan).await;
    assert!(jobs.len() >= 5);
    assert!(jobs.iter().all(|job| job.end.0 - job.cursor.0 <= 9));
}

pub async fn jobs_are_no_more_than_planned(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscribers(&store, instance, 40).await;
    for jobs_max in [1, 2, 3, 39] {
        let plan = Plan {
            job_span: 1,
            jobs_max,
            ..LEASED()
        };
        let (_, jobs) = publish_to(&store, instance, to_interests(&["news"]), plan).await;
        assert!(
            (1..=jobs_max).contains(&jobs.len()),
            "{} of {jobs_max}",
            jobs.len()
        );
    }
}

pub async fn a_user_is_one_job_however_far_apart_the_devices(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for number in 0..60 {
        let id = device(&store, instance, token(Platform::Fcm, number)).await;
        if number % 25 == 0 {
            assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
        }
    }
    let plan = Plan {
        job_span: 10,
        ..LEASED()
    };
    let (_, jobs) = publish_to(&store, instance, to_users(&["ann"]), plan).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(all_of(&store, &jobs[0], 2).await.len(), 3);
}

pub async fn a_first_page_is_the_only_page(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mut number = 0;
    for size in 0..8 {
        let user = format!("user-{size}");
        for _ in 0..size {
            let platform = Platform::ALL[number % 2];
            let id = device(&store, instance, token(platform, number)).await;
            assert_eq!(bind(&store, instance, id, &user).await, Bound::Done);
            number += 1;
        }
    }
    for (users, most) in [(vec![0], 5), (vec![3], 5), (vec![5], 5), (vec![6], 5)]
        .into_iter()
        .chain([(vec![1, 2, 0], 5), (vec![2, 4], 5), (vec![7], 0)])
    {
        let plan = Plan {
            first_page_max: most,
            ..LEASED()
        };
        let devices: usize = users.iter().sum();
        let ids: Vec<String> = users.iter().map(|size| format!("user-{size}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (_, jobs) = publish_to(&store, instance, to_users(&ids), plan).await;
        assert_eq!(jobs.len(), usize::from(devices > 0), "{users:?}");
        for job in &jobs {
            let page = store.audience_page(job, job.cursor, 100).await.unwrap();
            assert!(page.last && page.cursor == job.end);
            if let Some(first) = &job.first_page {
                assert_eq!(*first, page, "{users:?}");
                assert!(first.recipients.len() <= most, "{users:?}");
            }
        }
    }
}

pub async fn pages_match_a_naive_model(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mut dice = Dice(7);
    let mut model: BTreeMap<String, BTreeSet<GatewayTokenKey>> = BTreeMap::new();
    for number in 0..120 {
        let id = device(&store, instance, token(Platform::Fcm, number)).await;
        let mut mine = BTreeSet::new();
        for _ in 0..dice.roll(12) {
            mine.insert(format!("i{}", dice.roll(100)));
        }
        let interests = mine.iter().map(|name| interest(name)).collect();
        assert_eq!(
            store
                .set_interests(instance, id, interests, at(0))
                .await
                .unwrap(),
            Changed::Done
        );
        for name in mine {
            model
                .entry(name)
                .or_default()
                .insert(key(&token(Platform::Fcm, number)));
        }
    }
    for round in 0..40 {
        let named: BTreeSet<String> = match round {
            0 => (0..100).map(|n| format!("i{n}")).collect(),
            _ => (0..=dice.roll(60))
                .map(|_| format!("i{}", dice.roll(110)))
                .collect(),
        };
        let limit = 1 + dice.roll(if round % 2 == 0 { 5 } else { 150 });
        let plan = Plan {
            job_span: 1 + i64::try_from(dice.roll(200)).unwrap(),
            ..LEASED()
        };
        let texts: Vec<&str> = named.iter().map(String::as_str).collect();
        let (_, jobs) = publish_to(&store, instance, to_interests(&texts), plan).await;
        let expected: BTreeSet<GatewayTokenKey> = named
            .iter()
            .filter_map(|name| model.get(name))
            .flatten()
            .cloned()
            .collect();
        check_pages(&store, &jobs, limit, &expected, round).await;
    }
}

/// Enough of a token to compare it by.
type GatewayTokenKey = (Platform, String);

fn key(token: &GatewayToken) -> GatewayTokenKey {
    (token.platform(), token.identity().to_owned())
}

async fn check_pages(
    store: &Arc<dyn Store>,
    jobs: &[Job],
    limit: usize,
    expected: &BTreeSet<GatewayTokenKey>,
    round: usize,
) {
    let mut found = Vec::new();
    for job in jobs {
        found.extend(all_of(store, job, limit).await);
    }
    assert!(
        found.is_sorted_by(|a, b| a.device < b.device),
        "round {round}: ascending, each once"
    );
    let keys: BTreeSet<GatewayTokenKey> = found
        .iter()
        .map(|recipient| key(&recipient.token))
        .collect();
    assert_eq!(keys, *expected, "round {round}, limit {limit}");
}

pub async fn users_match_a_naive_model(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mut dice = Dice(11);
    let mut model: BTreeMap<String, BTreeSet<GatewayTokenKey>> = BTreeMap::new();
    for number in 0..150 {
        let platform = Platform::ALL[dice.roll(3)];
        let id = device(&store, instance, token(platform, number)).await;
        let name = format!("u{}", dice.roll(40));
        assert_eq!(bind(&store, instance, id, &name).await, Bound::Done);
        model
            .entry(name)
            .or_default()
            .insert(key(&token(platform, number)));
    }
    for round in 0..20 {
        let named: BTreeSet<String> = (0..=dice.roll(45))
            .map(|_| format!("u{}", dice.roll(45)))
            .collect();
        let texts: Vec<&str> = named.iter().map(String::as_str).collect();
        let new = NewPublish {
            publish: publish(instance, &Platform::ALL),
            audience: to_users(&texts),
            once: None,
            webhook: None,
        };
        let jobs = store
            .create_publish(new, LEASED())
            .await
            .unwrap()
            .into_jobs();
        let expected: BTreeSet<GatewayTokenKey> = named
            .iter()
            .filter_map(|name| model.get(name))
            .flatten()
            .cloned()
            .collect();
        check_pages(&store, &jobs, 1 + dice.roll(40), &expected, round).await;
    }
}

async fn mixed(store: &Arc<dyn Store>, instance: InstanceId, count: usize) -> Vec<DeviceId> {
    let mut ids = Vec::new();
    for number in 0..count {
        let id = device(store, instance, token(Platform::ALL[number % 3], number)).await;
        assert_eq!(
            store
                .set_interests(instance, id, names(&["news"]), at(0))
                .await
                .unwrap(),
            Changed::Done
        );
        ids.push(id);
    }
    ids
}

pub async fn only_platforms_of_the_publish_are_kept(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    mixed(&store, instance, 30).await;
    for platforms in [
        &[Platform::Apns][..],
        &[Platform::Fcm, Platform::Web],
        &Platform::ALL,
    ] {
        let new = NewPublish {
            publish: publish(instance, platforms),
            audience: to_interests(&["news"]),
            once: None,
            webhook: None,
        };
        let jobs = store
            .create_publish(new, LEASED())
            .await
            .unwrap()
            .into_jobs();
        let found = all_of(&store, &jobs[0], 4).await;
        assert_eq!(found.len(), 10 * platforms.len());
        assert!(
            found
                .iter()
                .all(|recipient| platforms.contains(&recipient.token.platform()))
        );
    }
}

pub async fn a_page_ends_although_nobody_is_wanted(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscribers(&store, instance, 50).await;
    let new = NewPublish {
        publish: publish(instance, &[Platform::Web]),
        audience: to_interests(&["news"]),
        once: None,
        webhook: None,
    };
    let jobs = store
        .create_publish(new, LEASED())
        .await
        .unwrap()
        .into_jobs();
    let page = store
        .audience_page(&jobs[0], jobs[0].cursor, 2)
        .await
        .unwrap();
    assert!(page.recipients.is_empty());
    assert!(page.cursor > jobs[0].cursor);
    assert!(all_of(&store, &jobs[0], 2).await.is_empty());
}

pub async fn a_deleted_device_is_left_out(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let ids = mixed(&store, instance, 9).await;
    let new = NewPublish {
        publish: publish(instance, &Platform::ALL),
        audience: to_interests(&["news"]),
        once: None,
        webhook: None,
    };
    let jobs = store
        .create_publish(new, LEASED())
        .await
        .unwrap()
        .into_jobs();
    let first = store
        .audience_page(&jobs[0], jobs[0].cursor, 3)
        .await
        .unwrap();
    assert!(store.delete_device(instance, ids[3]).await.unwrap());
    assert_eq!(
        store
            .remove_interest(instance, ids[4], interest("news"), at(0))
            .await
            .unwrap(),
        Changed::Done
    );
    let rest = store
        .audience_page(&jobs[0], first.cursor, 100)
        .await
        .unwrap();
    assert_eq!(
        (first.recipients.len(), rest.recipients.len(), rest.last),
        (3, 4, true)
    );
    let behind = store
        .audience_page(&jobs[0], jobs[0].end, 100)
        .await
        .unwrap();
    assert!(behind.recipients.is_empty() && behind.last);
}

pub async fn a_page_has_the_device_as_it_is_now(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["news"]).await;
    let (_, job) = one_job(&store, instance).await;
    let set = store
        .set_gateway_token(instance, id, token(Platform::Fcm, 2), at(9))
        .await
        .unwrap();
    assert_eq!(set, Changed::Done);
    let page = store
        .audience_page(&job, DeviceOrdinal(0), 10)
        .await
        .unwrap();
    assert_eq!(page.recipients[0].token, token(Platform::Fcm, 2));
    assert_eq!(page.recipients[0].registered_at, at(9));
}
