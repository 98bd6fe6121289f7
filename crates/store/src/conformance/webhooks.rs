//! Rules of webhooks: what is queued for whom.

use std::sync::Arc;

use domain::device::Platform;
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;
use domain::seal::Sealed;
use domain::user::UserOrdinal;
use domain::webhook::{CustomData, EventType, Events, Scheme, WebhookId};

use super::world::*;
use crate::Store;
use crate::StoreError;
use crate::administration::Unbound;
use crate::devices::{Bound, Changed};
use crate::publishes::{
    DeadDevice, Event, EventKind, NewPublish, Plan, Settlement, Tally, UserTally,
};
use crate::webhooks::{
    Claimed, ClaimedRequests, Content, DueWebhook, NewWebhook, PublishWebhook, RequestReport,
    WebhookChange, WebhookRecord,
};

/// How many webhooks an instance may have in these tests.
const WEBHOOKS_MAX: usize = 10;

/// A plan whose jobs are leased at once.
const LEASED: Plan = Plan {
    lease: Some(crate::publishes::Lease {
        owner: uuid::Uuid::from_u128(1),
        until: domain::clock::Timestamp::from_secs(1_800_000_060),
    }),
    ..UNLEASED
};

pub fn new_webhook(events: &[EventType]) -> NewWebhook {
    NewWebhook {
        id: WebhookId::random(),
        url: "https://app.example/hook".into(),
        secret: Sealed::from_bytes(vec![1, 2, 3]),
        scheme: Scheme::Standard,
        events: Events::of(events.iter().copied()).unwrap(),
        custom_data: CustomData::parse(r#"{"n": 1.50}"#).unwrap(),
        created_at: at(0),
    }
}

/// Adds a webhook for some events.
pub async fn webhook(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    events: &[EventType],
) -> WebhookId {
    let new = new_webhook(events);
    let id = new.id;
    assert!(
        store
            .add_webhook(instance, new, WEBHOOKS_MAX)
            .await
            .unwrap()
    );
    id
}

/// All requests of a webhook, the oldest first.
pub async fn requests(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    id: WebhookId,
) -> Vec<RequestReport> {
    let found = store.webhook_requests(instance, id, None, None, 100).await;
    let mut found = found.unwrap().expect("the webhook is there");
    found.reverse();
    found
}

/// Webhooks with work at `secs`.
pub async fn due(store: &Arc<dyn Store>, secs: i64) -> Vec<DueWebhook> {
    store.due_webhooks(at(secs), 100).await.unwrap()
}

/// Claims what the one webhook that has work has to send at `secs`.
pub async fn claim(store: &Arc<dyn Store>, secs: i64) -> Option<ClaimedRequests> {
    let due = due(store, secs).await;
    let due = due.first()?;
    store
        .claim_requests(due.number, lease(1, secs), at(secs), 100)
        .await
        .unwrap()
}

fn kinds(requests: &[RequestReport]) -> Vec<EventType> {
    requests.iter().map(|request| request.event).collect()
}

fn payload(request: &RequestReport) -> serde_json::Value {
    serde_json::from_str(request.payload.as_deref().expect("it is made")).unwrap()
}

pub async fn webhooks_come_and_go(store: Arc<dyn Store>) {
    let nobody = InstanceId::random();
    let new = new_webhook(&[EventType::DeviceBound]);
    assert!(matches!(
        store.add_webhook(nobody, new.clone(), WEBHOOKS_MAX).await,
        Err(StoreError::UnknownInstance)
    ));
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let first = webhook(&store, mine, &[EventType::DeviceBound]).await;
    let second = webhook(&store, mine, &[EventType::CredentialBroken]).await;
    assert!(!store.add_webhook(mine, new, 2).await.unwrap());
    let all = store.webhooks(mine).await.unwrap();
    assert_eq!(
        all.iter().map(|w| w.id).collect::<Vec<_>>(),
        [first, second]
    );
    let read = &all[0];
    assert_eq!(read.url, "https://app.example/hook");
    assert_eq!(read.scheme, Scheme::Standard);
    assert_eq!(
        read.events.iter().collect::<Vec<_>>(),
        [EventType::DeviceBound]
    );
    assert_eq!(read.custom_data.as_str(), r#"{"n": 1.50}"#);
    let secret = read.secret.as_ref().expect("it is signed");
    assert_eq!(secret.as_bytes(), [1, 2, 3]);
    assert_eq!(
        (&read.disabled, read.failing_since, read.full_since),
        (&None, None, None)
    );
    assert!(store.webhooks(other).await.unwrap().is_empty());
    assert!(!store.remove_webhook(other, first).await.unwrap());
    assert!(store.remove_webhook(mine, first).await.unwrap());
    assert!(!store.remove_webhook(mine, first).await.unwrap());
    assert_eq!(store.webhooks(mine).await.unwrap().len(), 1);
    let gone = store.webhook_requests(mine, first, None, None, 10).await;
    assert_eq!(gone.unwrap(), None);
}

pub async fn a_webhook_is_changed(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let id = webhook(&store, mine, &[EventType::DeviceRegistered]).await;
    device(&store, mine, token(Platform::Fcm, 1)).await;
    let change = WebhookChange {
        url: "https://elsewhere.example/hook".into(),
        events: Events::of([EventType::DeviceBound]).unwrap(),
        custom_data: CustomData::default(),
    };
    let refused = store.change_webhook(other, id, change.clone()).await;
    assert!(!refused.unwrap(), "it is another instance's");
    let before = store.webhooks(mine).await.unwrap().remove(0);
    let changed = store.change_webhook(mine, id, change.clone());
    assert!(changed.await.unwrap());
    let after = store.webhooks(mine).await.unwrap().remove(0);
    assert_eq!(after.url, "https://elsewhere.example/hook");
    assert_eq!(after.custom_data, CustomData::default());
    let kept = |record: &WebhookRecord| {
        let secret = record.secret.as_ref().map(|s| s.as_bytes().to_owned());
        (record.id, secret, record.scheme, record.created_at)
    };
    assert_eq!(kept(&after), kept(&before));
    // What waits goes to where it points now; what happens is told if it is chosen now.
    assert_eq!(claim(&store, 1).await.unwrap().webhook.url, after.url);
    let second = device(&store, mine, token(Platform::Fcm, 2)).await;
    bound(&store, mine, second, "ann").await;
    let told = requests(&store, mine, id).await;
    let expected = [EventType::DeviceRegistered, EventType::DeviceBound];
    assert_eq!(kinds(&told), expected);
    assert!(store.remove_webhook(mine, id).await.unwrap());
    assert!(!store.change_webhook(mine, id, change).await.unwrap());
}

pub async fn a_devices_life_is_told(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let all = [
        EventType::DeviceRegistered,
        EventType::DeviceBound,
        EventType::DeviceUnbound,
        EventType::DeviceRemoved,
    ];
    let id = webhook(&store, instance, &all).await;
    let only_bound = webhook(&store, instance, &[EventType::DeviceBound]).await;
    let first = device(&store, instance, token(Platform::Fcm, 1)).await;
    // Registering again is no news, nor is binding again.
    device(&store, instance, token(Platform::Fcm, 1)).await;
    bound(&store, instance, first, "ann \"a\"").await;
    bound(&store, instance, first, "ann \"a\"").await;
    assert_eq!(
        bind(&store, instance, first, "bob").await,
        Bound::ToAnotherUser
    );
    for expected in [Unbound::From(user("ann \"a\"")), Unbound::Nobodys] {
        let unbound = store.unbind_device(instance, first).await.unwrap();
        assert_eq!(unbound, expected);
    }
    assert!(store.delete_device(instance, first).await.unwrap());
    assert!(!store.delete_device(instance, first).await.unwrap());
    let told = requests(&store, instance, id).await;
    assert_eq!(kinds(&told), all);
    let about = serde_json::json!({
        "instance_id": instance.to_string(), "device_id": first.to_string(), "platform": "fcm"
    });
    assert_eq!(payload(&told[0]), about);
    let mut bound_to = about.clone();
    bound_to["user_id"] = "ann \"a\"".into();
    assert_eq!(payload(&told[1]), bound_to);
    let mut gone = bound_to;
    gone["reason"] = "by_hand".into();
    assert_eq!(payload(&told[2]), gone);
    gone["user_id"] = serde_json::Value::Null;
    gone["reason"] = "deleted".into();
    assert_eq!(payload(&told[3]), gone);
    let of_other = requests(&store, instance, only_bound).await;
    assert_eq!(kinds(&of_other), [EventType::DeviceBound]);
    assert_eq!(of_other[0].event_id, told[1].event_id);
    assert_ne!(of_other[0].id, told[1].id);
}

pub async fn why_a_device_is_removed_is_told(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = webhook(&store, instance, &[EventType::DeviceRemoved]).await;
    let one = device(&store, instance, token(Platform::Fcm, 1)).await;
    device(&store, instance, token(Platform::Fcm, 2)).await;
    let moved = store
        .set_gateway_token(instance, one, token(Platform::Fcm, 2), at(1))
        .await;
    assert_eq!(moved.unwrap(), Changed::Done);
    bound(&store, instance, one, "ann").await;
    store.delete_user(instance, user("ann")).await.unwrap();
    subscriber(&store, instance, 3, &["news"]).await;
    let (_, job) = one_job(&store, instance).await;
    let reached = all_of(&store, &job, 10).await;
    let dead = DeadDevice {
        device: reached[0].device,
        token: reached[0].token.clone(),
        since: None,
    };
    let settlement = Settlement {
        dead: vec![dead],
        ..Settlement::default()
    };
    finish_job(&store, &job, settlement).await;
    let told = requests(&store, instance, id).await;
    let reasons: Vec<_> = told.iter().map(|t| payload(t)["reason"].clone()).collect();
    assert_eq!(reasons, ["token_moved", "user_deleted", "token_dead"]);
    assert_eq!(payload(&told[0])["user_id"], serde_json::Value::Null);
    assert_eq!(payload(&told[1])["user_id"], "ann");
}

pub async fn a_broken_credential_is_told_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = webhook(&store, instance, &[EventType::CredentialBroken]).await;
    let new = crate::instances::NewCredential {
        platform: Platform::Fcm,
        sealed: Sealed::from_bytes(vec![1]),
        summary: "a project".into(),
        set_at: at(0),
    };
    store.set_credential(instance, new).await.unwrap();
    let record = store.instance(instance).await.unwrap().unwrap();
    let version = record.credentials[0].version;
    for broken in [Some("refused"), Some("refused"), None] {
        store
            .mark_credential(instance, Platform::Fcm, version, broken, at(1))
            .await
            .unwrap();
    }
    let told = requests(&store, instance, id).await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        payload(&told[0]),
        serde_json::json!({"instance_id": instance.to_string(), "platform": "fcm", "reason": "refused"})
    );
}

pub async fn another_instances_webhooks_are_told_nothing(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let id = webhook(&store, other, &[EventType::DeviceRegistered]).await;
    device(&store, mine, token(Platform::Fcm, 1)).await;
    assert!(requests(&store, other, id).await.is_empty());
    assert_eq!(store.webhook_depth().await.unwrap(), 0);
    assert!(due(&store, 5).await.is_empty());
}

pub async fn a_report_is_told_once_and_for_the_bound_user(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let events = [
        EventType::UserNotificationAcknowledgement,
        EventType::UserNotificationOpen,
    ];
    let id = webhook(&store, instance, &events).await;
    let anns = subscriber(&store, instance, 1, &["news"]).await;
    let nobodys = subscriber(&store, instance, 2, &["news"]).await;
    bound(&store, instance, anns, "ann").await;
    let (publish, _) = one_job(&store, instance).await;
    let report = |device, kind, id: Option<&str>| Event {
        instance,
        publish,
        device,
        kind,
        at: at(3),
        received: at(3),
        user: id.map(user),
    };
    let reported = vec![
        // A user that the device has not, none, and one where it has none.
        report(anns, EventKind::Delivery, Some("bob")),
        report(nobodys, EventKind::Delivery, Some("ann")),
        report(nobodys, EventKind::Open, None),
        report(anns, EventKind::Open, Some("ann")),
        report(anns, EventKind::Open, Some("ann")),
        // Counted already, with the wrong user.
        report(anns, EventKind::Delivery, Some("ann")),
    ];
    store.record_events(reported).await.unwrap();
    let told = requests(&store, instance, id).await;
    assert_eq!(kinds(&told), [EventType::UserNotificationOpen]);
    assert_eq!(
        payload(&told[0]),
        serde_json::json!({
            "instance_id": instance.to_string(), "publish_id": publish.to_string(), "user_id": "ann"
        })
    );
}

fn content(request: &Claimed) -> &Content {
    &request.content
}

pub async fn a_publish_is_told_of_when_it_ends(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let events = [
        EventType::PublishToUsersAttempt,
        EventType::PublishToInterestsAttempt,
    ];
    let id = webhook(&store, instance, &events).await;
    let device = subscriber(&store, instance, 1, &["news"]).await;
    bound(&store, instance, device, "ann").await;
    let (to_user, jobs) = publish_to(&store, instance, to_users(&["ann", "eve"]), LEASED).await;
    assert!(requests(&store, instance, id).await.is_empty());
    let reached = all_of(&store, &jobs[0], 10).await;
    let settlement = Settlement {
        tallies: vec![tally(OutcomeKind::Accepted, 1)],
        users: vec![UserTally {
            user: reached[0].user.unwrap_or(UserOrdinal(0)),
            accepted: 1,
            failed: 0,
        }],
        ..Settlement::default()
    };
    finish_job(&store, &jobs[0], settlement).await;
    let (to_nobody, _) = publish_to(&store, instance, to_interests(&["none"]), LEASED).await;
    let (cancelled, _) = publish_to(&store, instance, to_interests(&["news"]), LEASED).await;
    store
        .cancel_publish(instance, cancelled, at(2))
        .await
        .unwrap();
    let claimed = claim(&store, 3).await.expect("there is work").requests;
    let told: Vec<_> = claimed
        .iter()
        .map(|r| (r.event, content(r).clone()))
        .collect();
    let of = |publish| Content::OfPublish {
        publish,
        after: None,
    };
    assert_eq!(
        told,
        [
            (EventType::PublishToUsersAttempt, of(to_user)),
            (EventType::PublishToInterestsAttempt, of(to_nobody)),
            (EventType::PublishToInterestsAttempt, of(cancelled)),
        ]
    );
    assert!(claimed.iter().all(|request| request.created_at == at(3)));
    let outcomes = store.publish_users(instance, to_user, None, 10).await;
    let outcomes = outcomes.unwrap().unwrap();
    let accepted: Vec<_> = outcomes.iter().map(|o| o.accepted).collect();
    assert_eq!(accepted, [1, 0]);
}

async fn publish_with_webhook(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    send_at: i64,
) -> domain::publish::PublishId {
    publish_with_webhook_by(store, instance, send_at, UNLEASED).await
}

async fn publish_with_webhook_by(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    send_at: i64,
    plan: Plan,
) -> domain::publish::PublishId {
    let mut publish = domain::publish::Publish::clone(&publish(instance, &[Platform::Fcm]));
    publish.send_at = at(send_at);
    let id = publish.id;
    let new = NewPublish {
        publish: Arc::new(publish),
        audience: to_interests(&["news"]),
        once: None,
        webhook: Some(PublishWebhook(Sealed::from_bytes(vec![9]))),
    };
    store.create_publish(new, plan).await.unwrap();
    id
}

pub async fn a_publish_may_bring_its_own_webhook(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let publish = publish_with_webhook(&store, instance, 0).await;
    let started = claim(&store, 1).await.expect("it has begun");
    assert_eq!(started.instance, instance);
    assert!(started.webhook.secret.is_none());
    let request = &started.requests[0];
    assert_eq!(request.event, EventType::PublishStarted);
    assert_eq!(
        content(request),
        &Content::OfPublish {
            publish,
            after: None
        }
    );
    let brought = request.brought.as_ref().expect("it knows where to");
    assert_eq!(brought.0.as_bytes(), [9]);
    let jobs = store.claim_jobs(lease(1, 1), at(1), 10).await.unwrap();
    finish_job(&store, &jobs[0], Settlement::default()).await;
    let finished = claim(&store, 2).await.expect("it has ended");
    assert_eq!(finished.requests[0].event, EventType::PublishFinished);
    // Nobody added that webhook, so nobody sees it.
    assert!(store.webhooks(instance).await.unwrap().is_empty());
}

pub async fn what_is_accepted_with_its_first_page_is_told_of_too(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    webhook(&store, instance, &[EventType::PublishToInterestsAttempt]).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let plan = Plan {
        first_page_max: 10,
        ..LEASED
    };
    let (to_nobody, _) = publish_to(&store, instance, to_interests(&["none"]), plan).await;
    let brought = publish_with_webhook_by(&store, instance, 0, plan).await;
    let mut told = Vec::new();
    while let Some(claimed) = claim(&store, 1).await {
        for request in &claimed.requests {
            told.push((request.event, content(request).clone()));
        }
    }
    let of = |publish| Content::OfPublish {
        publish,
        after: None,
    };
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&(EventType::PublishToInterestsAttempt, of(to_nobody))));
    assert!(told.contains(&(EventType::PublishStarted, of(brought))));
}

pub async fn a_scheduled_publish_is_told_of_when_it_begins(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = webhook(&store, instance, &[EventType::PublishToInterestsAttempt]).await;
    let called_off = publish_with_webhook(&store, instance, 100).await;
    store
        .cancel_publish(instance, called_off, at(1))
        .await
        .unwrap();
    publish_with_webhook(&store, instance, 100).await;
    assert_eq!(store.webhook_depth().await.unwrap(), 0);
    store.start_scheduled(UNLEASED, at(100), 10).await.unwrap();
    // For nobody: it begins and ends at once.
    assert_eq!(store.webhook_depth().await.unwrap(), 3);
    assert_eq!(requests(&store, instance, id).await.len(), 1);
}

pub async fn what_is_told_of_a_publish_is_counted_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = webhook(&store, instance, &[EventType::PublishToInterestsAttempt]).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (_, job) = one_job(&store, instance).await;
    let settlement = Settlement {
        tallies: vec![Tally {
            platform: Platform::Fcm,
            outcome: OutcomeKind::Accepted,
            reason: "".into(),
            count: 1,
        }],
        ..Settlement::default()
    };
    finish_job(&store, &job, settlement.clone()).await;
    let again = store
        .settle_page(&job, job.end, true, at(60), settlement, at(1))
        .await;
    assert_eq!(again.unwrap(), crate::publishes::Settled::LeaseLost);
    store.claim_jobs(lease(1, 1), at(1), 10).await.unwrap();
    store.claim_retries(lease(1, 1), at(1), 10).await.unwrap();
    assert_eq!(requests(&store, instance, id).await.len(), 1);
}
