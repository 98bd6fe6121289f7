//! Rules of searching through publishes.

use std::sync::Arc;

use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::publish::{Audience, AudienceKind, Publish, PublishId, PublishRequest, UserList};

use super::world::*;
use crate::Store;
use crate::lists::Listed;
use crate::lookup::{PublishState, Waiting};
use crate::publishes::{NewPublish, Settlement};
use crate::search::{FoundPublish, FoundPublishes, PublishLabel, Reach, WantedPublishes};

/// An hour, in seconds.
const HOUR: i64 = 3600;
/// More than there is in these tests.
const ALL: Reach = Reach {
    depth: 1000,
    limit: 1000,
};

/// Publishes something titled `title`, at a time, to be sent at one.
async fn titled(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    audience: Audience,
    title: &str,
    (accepted, sent): (i64, i64),
) -> PublishId {
    let body = serde_json::json!({"interests": ["x"],
        "fcm": {"notification": {"title": title, "body": "sail"}},
        "apns": {"aps": {"alert": {"title": format!("{title} on a phone"), "body": "sail"}}}});
    let request = PublishRequest::parse(AudienceKind::Interests, body.to_string().as_bytes());
    let publish = Publish {
        accepted_at: at(accepted),
        send_at: at(sent),
        payloads: request.unwrap().payloads,
        ..(*publish(instance, &[Platform::Fcm])).clone()
    };
    let id = publish.id;
    let new = NewPublish {
        publish: Arc::new(publish),
        audience,
        once: None,
        webhook: None,
    };
    store.create_publish(new, UNLEASED).await.unwrap();
    id
}

async fn search(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    wanted: &WantedPublishes,
) -> Vec<FoundPublish> {
    let found = store.search_publishes(instance, wanted.clone(), None, ALL);
    let found = found.await.unwrap();
    assert_eq!(found.next, None);
    found.publishes
}

async fn ids(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    wanted: &WantedPublishes,
) -> Vec<PublishId> {
    let found = search(store, instance, wanted).await;
    found.into_iter().map(|one| one.report.id).collect()
}

fn interested(name: &str) -> WantedPublishes {
    WantedPublishes {
        interest: Some(interest(name)),
        ..WantedPublishes::default()
    }
}

fn named(id: &str) -> WantedPublishes {
    WantedPublishes {
        user: Some(user(id)),
        ..WantedPublishes::default()
    }
}

fn called(title: &str) -> WantedPublishes {
    WantedPublishes {
        title: Some(title.to_owned()),
        ..WantedPublishes::default()
    }
}

pub async fn publishes_are_found_by_interest_though_nobody_has_it(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    subscriber(&store, mine, 1, &["news"]).await;
    let now = titled(
        &store,
        mine,
        to_interests(&["news", "sports"]),
        "now",
        (0, 0),
    )
    .await;
    titled(&store, mine, to_interests(&["newspaper"]), "no", (0, 0)).await;
    titled(&store, mine, to_users(&["news"]), "no", (0, 0)).await;
    titled(&store, other, to_interests(&["news"]), "no", (0, 0)).await;
    let later = titled(&store, mine, to_interests(&["news"]), "later", (0, HOUR)).await;
    assert_eq!(ids(&store, mine, &interested("news")).await, [later, now]);
    assert_eq!(ids(&store, mine, &interested("sports")).await, [now]);
    assert_eq!(ids(&store, mine, &interested("new")).await, []);
    assert_eq!(
        ids(&store, InstanceId::random(), &interested("news")).await,
        []
    );
    let found = search(&store, mine, &interested("sports")).await;
    assert_eq!(found[0].label.interests, names(&["news", "sports"]));
    let label = PublishLabel {
        title: Some("now on a phone".to_owned()),
        interests: found[0].label.interests.clone(),
    };
    let told = store.publish_label(mine, now).await.unwrap();
    assert_eq!(told, Some(label));
    for (instance, id) in [(other, now), (mine, PublishId::random())] {
        assert_eq!(store.publish_label(instance, id).await.unwrap(), None);
    }
    assert_eq!(found[0].report, report(&store, mine, now).await);
}

pub async fn publishes_are_found_by_user_however_named(store: Arc<dyn Store>) {
    let mine = instance(&store).await;
    let (ann, quote) = ("ann", "say \"ann\" [1]");
    let now = titled(&store, mine, to_users(&[ann, "bob"]), "now", (0, 0)).await;
    let later = titled(&store, mine, to_users(&[ann]), "later", (0, HOUR)).await;
    let list = store.begin_list(mine, at(0)).await.unwrap();
    let users = [ann, quote].map(|id| Listed {
        user: user(id),
        values: None,
    });
    store.extend_list(list, 0, users.into()).await.unwrap();
    let list = UserList {
        number: list,
        users: 2,
    };
    let listed = titled(&store, mine, Audience::List(list), "list", (0, 0)).await;
    titled(&store, mine, to_interests(&[ann]), "no", (0, 0)).await;
    titled(&store, mine, to_interests(&[ann]), "no", (0, HOUR)).await;
    let quoted = titled(&store, mine, to_users(&[quote]), "quote", (0, 0)).await;
    assert_eq!(ids(&store, mine, &named(ann)).await, [listed, later, now]);
    assert_eq!(ids(&store, mine, &named("bob")).await, [now]);
    assert_eq!(ids(&store, mine, &named(quote)).await, [quoted, listed]);
    assert_eq!(ids(&store, mine, &named("an")).await, []);
    // Who is forgotten is found no more.
    let forgotten = store.forget_user(mine, user(ann), user("forgotten"));
    forgotten.await.unwrap();
    assert_eq!(ids(&store, mine, &named(ann)).await, []);
}

pub async fn publishes_are_found_by_title_as_long_as_it_is_kept(store: Arc<dyn Store>) {
    let mine = instance(&store).await;
    let wind = titled(&store, mine, to_users(&["ann"]), "Wind „Ö“ is up", (0, 0)).await;
    let rain = titled(&store, mine, to_users(&["ann"]), "Rain", (0, 0)).await;
    assert_eq!(ids(&store, mine, &called("ON A PHONE")).await, [rain, wind]);
    assert_eq!(ids(&store, mine, &called("„ö“ IS")).await, [wind]);
    // In the text, not in the title; in the JSON, not in the text.
    assert_eq!(ids(&store, mine, &called("sail")).await, []);
    assert_eq!(ids(&store, mine, &called("notification")).await, []);
    let both = WantedPublishes {
        user: Some(user("ann")),
        ..called("rain")
    };
    let found = search(&store, mine, &both).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].label.title.as_deref(), Some("Rain on a phone"));
    // Nobody had a device, so they are finished.
    assert_eq!(store.prune_payloads(at(HOUR), 10).await.unwrap(), 2);
    assert_eq!(ids(&store, mine, &called("rain")).await, []);
    let left = search(&store, mine, &named("ann")).await;
    let titles: Vec<_> = left.into_iter().map(|one| one.label.title).collect();
    assert_eq!(titles, [None, None]);
    let label = store.publish_label(mine, rain).await.unwrap();
    assert_eq!(label, Some(PublishLabel::default()));
}

pub async fn publishes_are_found_by_time_and_state(store: Arc<dyn Store>) {
    let mine = instance(&store).await;
    let mut all = Vec::new();
    for hour in 0..8 {
        let times = (hour * HOUR, hour * HOUR);
        all.push(titled(&store, mine, to_users(&["ann"]), "hourly", times).await);
        // Another's between them.
        let other = instance(&store).await;
        titled(&store, other, to_users(&["ann"]), "no", times).await;
    }
    let between = |from: i64, until: i64| WantedPublishes {
        from: Some(at(from)),
        until: Some(at(until)),
        ..WantedPublishes::default()
    };
    let found = ids(&store, mine, &between(2 * HOUR, 5 * HOUR)).await;
    assert_eq!(found, [all[4], all[3], all[2]]);
    assert_eq!(ids(&store, mine, &between(-9 * HOUR, 0)).await, []);
    assert_eq!(ids(&store, mine, &between(8 * HOUR, 9 * HOUR)).await, []);
    assert_eq!(ids(&store, mine, &between(-HOUR, 99 * HOUR)).await.len(), 8);
    // What is newer than wanted is not gone through, where it is not of the same minutes.
    let reach = Reach { depth: 2, limit: 9 };
    let wanted = between(0, 5 * HOUR - 600);
    let found = store.search_publishes(mine, wanted, None, reach).await;
    let found = found.unwrap();
    let first: Vec<_> = found.publishes.iter().map(|one| one.report.id).collect();
    assert_eq!(first, [all[4], all[3]]);
    assert_eq!(found.back_to, Some(at(3 * HOUR)));
    let later = titled(
        &store,
        mine,
        to_users(&["ann"]),
        "later",
        (9 * HOUR, 99 * HOUR),
    )
    .await;
    for (state, found) in [
        (PublishState::Scheduled, vec![later]),
        (PublishState::Finished, vec![all[7], all[6]]),
        (PublishState::Running, vec![]),
    ] {
        let wanted = WantedPublishes {
            state: Some(state),
            ..between(6 * HOUR, 10 * HOUR)
        };
        assert_eq!(ids(&store, mine, &wanted).await, found, "{state:?}");
    }
}

pub async fn a_search_goes_on_where_it_stopped(store: Arc<dyn Store>) {
    let mine = instance(&store).await;
    let mut wanted_ids = Vec::new();
    for number in 0..20 {
        let name = if number % 7 == 3 { "rare" } else { "often" };
        let id = titled(&store, mine, to_interests(&[name]), "x", (number, number)).await;
        if name == "rare" {
            wanted_ids.insert(0, id);
        }
    }
    for reach in [(1, 5), (3, 1), (4, 2), (20, 1), (19, 9), (20, 3)] {
        let (depth, limit) = reach;
        let (mut found, mut after, mut calls) = (Vec::new(), None, 0);
        loop {
            let reach = Reach { depth, limit };
            let page = store.search_publishes(mine, interested("rare"), after, reach);
            let FoundPublishes {
                publishes, next, ..
            } = page.await.unwrap();
            assert!(publishes.len() <= limit);
            found.extend(publishes.into_iter().map(|one| one.report.id));
            after = next;
            calls += 1;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, wanted_ids, "{reach:?}");
        assert!(calls >= 20_usize.div_ceil(depth), "{reach:?}: {calls}");
    }
}

pub async fn what_waits_is_told_as_it_is_counted(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let mut devices = Vec::new();
    for number in 1..=3 {
        devices.push(subscriber(&store, mine, number, &["news"]).await);
    }
    bound(&store, mine, devices[1], "ann").await;
    let (id, job) = one_job(&store, mine).await;
    let page = store.audience_page(&job, job.cursor, 10).await.unwrap();
    let recipients = page.recipients.iter();
    let settlement = Settlement {
        retries: recipients
            .map(|recipient| retry(recipient.device, at(60)))
            .collect(),
        ..Settlement::default()
    };
    let wanted = settlement.retries[1].clone();
    finish_job(&store, &job, settlement).await;
    let none = DeviceOrdinal::default();
    let told = store.publish_waiting(mine, id, none, 10).await.unwrap();
    let told = told.expect("the publish is there");
    assert_eq!(told.len() as u64, report(&store, mine, id).await.retries);
    let expected = Waiting {
        device: devices[1],
        ordinal: wanted.device,
        user: Some(user("ann")),
        attempts: wanted.attempts,
        due_at: wanted.due_at,
        reason: wanted.reason,
    };
    assert_eq!(told[1], expected);
    assert!(told[0].user.is_none() && told[0].ordinal < told[1].ordinal);
    let behind = store.publish_waiting(mine, id, told[0].ordinal, 1).await;
    assert_eq!(behind.unwrap(), Some(vec![expected]));
    let unknown = [(other, id), (mine, PublishId::random())];
    for (instance, id) in unknown {
        let told = store.publish_waiting(instance, id, none, 10).await;
        assert_eq!(told.unwrap(), None);
    }
    store.cancel_publish(mine, id, at(1)).await.unwrap();
    let told = store.publish_waiting(mine, id, none, 10).await.unwrap();
    assert_eq!(told, Some(Vec::new()), "what is cancelled does not wait");
}
