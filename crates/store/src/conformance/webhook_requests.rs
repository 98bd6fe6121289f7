//! Rules of requests to webhooks: claimed, made, settled, bounded.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::webhook::{EventType, WebhookId};

use super::webhooks::*;
use super::world::*;
use crate::Store;
use crate::publishes::{Fence, Settled};
use crate::webhooks::{
    Attempted, Care, Claimed, ClaimedRequests, Content, DISABLED, Disabled, Next, RequestState,
    Try, WebhookNumber,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An instance with a webhook, and `count` requests for it.
async fn queued(store: &Arc<dyn Store>, count: usize) -> (InstanceId, WebhookId) {
    let instance = instance(store).await;
    let id = webhook(store, instance, &[EventType::DeviceRegistered]).await;
    for number in 0..count {
        device(store, instance, token(Platform::Fcm, number)).await;
    }
    (instance, id)
}

fn attempted(request: &Claimed, next: Next) -> Attempted {
    let ok = next == Next::Delivered;
    Attempted {
        number: request.number,
        fence: request.fence,
        next,
        status: Some(if ok { 200 } else { 500 }),
        error: (!ok).then(|| "status_500".into()),
    }
}

async fn number(store: &Arc<dyn Store>, secs: i64) -> WebhookNumber {
    due(store, secs).await[0].number
}

/// Settles all that was claimed in the same way.
async fn settle(
    store: &Arc<dyn Store>,
    webhook: WebhookNumber,
    claimed: &ClaimedRequests,
    next: Next,
    now: Timestamp,
) -> bool {
    let attempts = claimed
        .requests
        .iter()
        .map(|r| attempted(r, next))
        .collect();
    store
        .settle_requests(webhook, attempts, 3 * DAY, now)
        .await
        .unwrap()
}

fn care(secs: i64) -> Care {
    Care {
        now: at(secs),
        waiting_max: 1000,
        before: at(secs).before(7 * DAY),
        ended_max: 1000,
        limit: 1000,
    }
}

pub async fn a_claimed_request_is_nobody_elses(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 2).await;
    let webhook = number(&store, 1).await;
    let claimed = store
        .claim_requests(webhook, lease(1, 1), at(1), 1)
        .await
        .unwrap()
        .expect("there is work");
    assert_eq!(claimed.requests.len(), 1);
    assert_eq!(claimed.webhook.id, id);
    let rest = claim(&store, 1).await.expect("one is left");
    assert_eq!(rest.requests.len(), 1);
    assert_ne!(rest.requests[0].id, claimed.requests[0].id);
    assert!(due(&store, 1).await.is_empty());
    // After a lease has ended, somebody else takes it over, and says the same.
    let again = claim(&store, 61).await.expect("leases end");
    let same = again
        .requests
        .iter()
        .find(|r| r.id == claimed.requests[0].id);
    let same = same.expect("it is claimed again");
    assert_eq!(same.created_at, at(1));
    assert_eq!(same.event_id, claimed.requests[0].event_id);
    settle(&store, webhook, &claimed, Next::Delivered, at(62)).await;
    let states: Vec<_> = requests(&store, instance, id).await;
    assert!(states.iter().all(|r| r.state == RequestState::Waiting));
    settle(&store, webhook, &again, Next::Delivered, at(62)).await;
    let states: Vec<_> = requests(&store, instance, id).await;
    assert!(states.iter().all(|r| r.state == RequestState::Delivered));
}

pub async fn requests_that_a_clock_kept_that_was_hours_ahead_are_taken_up(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 2).await;
    let (webhook, ahead) = (number(&store, 1).await, 1_000_000);
    let claimed = store.claim_requests(webhook, lease(1, ahead + 60), at(ahead), 2);
    let mut claimed = claimed.await.unwrap().expect("there is work");
    let kept = claimed.requests.pop().unwrap().id;
    let next = Next::Again(at(ahead + 100));
    settle(&store, webhook, &claimed, next, at(ahead)).await;
    // One is leased, the other one put off, and neither is to be seen for a long time.
    let again = claim(&store, 2).await.expect("both are due").requests;
    let found: Vec<_> = again.iter().map(|request| request.id).collect();
    assert_eq!(found, [claimed.requests[0].id, kept]);
    assert!(due(&store, 2).await.is_empty());
    let replayed = store.replay_request(instance, id, kept, at(2));
    assert!(!replayed.await.unwrap(), "it is being sent");
}

pub async fn concurrent_claims_give_each_request_once(store: Arc<dyn Store>) {
    queued(&store, 20).await;
    let webhook = number(&store, 1).await;
    let claims = (0..10).map(|owner| {
        let store = Arc::clone(&store);
        async move {
            store
                .claim_requests(webhook, lease(owner, 1), at(1), 5)
                .await
                .unwrap()
        }
    });
    let claimed = all(claims).await.into_iter().flatten();
    let mut ids: Vec<_> = claimed.flat_map(|c| c.requests).map(|r| r.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

pub async fn an_attempt_decides_what_comes_next(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 3).await;
    let webhook = number(&store, 1).await;
    let claimed = claim(&store, 1).await.unwrap();
    let [first, second, third] = &claimed.requests[..] else {
        panic!("{} requests", claimed.requests.len());
    };
    let attempts = vec![
        attempted(first, Next::Delivered),
        attempted(second, Next::Again(at(11))),
        attempted(third, Next::GiveUp),
    ];
    let disabled = store.settle_requests(webhook, attempts, DAY, at(2)).await;
    assert!(!disabled.unwrap());
    let read = requests(&store, instance, id).await;
    let states: Vec<_> = read.iter().map(|r| r.state).collect();
    use RequestState::{Delivered, Failed, Waiting};
    assert_eq!(states, [Delivered, Waiting, Failed]);
    assert_eq!(
        (read[0].status, read[0].error.as_deref()),
        (Some(200), None)
    );
    assert_eq!(read[1].due_at, Some(at(11)));
    assert_eq!(
        (
            read[1].attempts,
            read[1].tried_at,
            read[1].status,
            read[1].error.as_deref()
        ),
        (1, Some(at(2)), Some(500), Some("status_500"))
    );
    assert_eq!((read[2].due_at, read[2].created_at), (None, Some(at(1))));
    assert!(due(&store, 10).await.is_empty());
    let again = claim(&store, 11).await.expect("it is due").requests;
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].id, again[0].attempts), (second.id, 1));
    assert!(again[0].fence > second.fence);
    for (state, count) in [(Delivered, 1), (Waiting, 1), (Failed, 1)] {
        let found = store
            .webhook_requests(instance, id, Some(state), None, 10)
            .await;
        assert_eq!(found.unwrap().unwrap().len(), count);
    }
}

pub async fn requests_are_listed_in_pages_newest_first(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 5).await;
    let all = requests(&store, instance, id).await;
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.webhook_requests(instance, id, None, before, 2).await;
        let page = page.unwrap().unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        seen.extend(page);
    }
    seen.reverse();
    assert_eq!(seen, all);
}

pub async fn what_was_made_stays(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = webhook(&store, instance, &[EventType::PublishToUsersAttempt]).await;
    let (publish, _) = publish_to(&store, instance, to_users(&["a", "b"]), UNLEASED).await;
    let claimed = claim(&store, 1).await.unwrap();
    let request = &claimed.requests[0];
    let wrong = store
        .make_request(request.number, Fence(99), "{}".into(), None)
        .await;
    assert_eq!(wrong.unwrap(), Settled::LeaseLost);
    // The second time, the answer of the first was lost.
    for _ in 0..2 {
        let made = store
            .make_request(request.number, request.fence, "{}".into(), Some(user("a")))
            .await;
        assert_eq!(made.unwrap(), Settled::Done);
    }
    let read = requests(&store, instance, id).await;
    assert_eq!(read.len(), 2, "the rest is queued once");
    assert_eq!(read[0].payload.as_deref(), Some("{}"));
    assert_ne!(read[0].event_id, read[1].event_id);
    let rest = claim(&store, 1).await.unwrap();
    assert_eq!(
        rest.requests[0].content,
        Content::OfPublish {
            publish,
            after: Some(user("a"))
        }
    );
    let again = claim(&store, 100).await.unwrap();
    let kept = again.requests.iter().find(|r| r.id == request.id).unwrap();
    assert_eq!(kept.content, Content::Made("{}".into()));
}

pub async fn a_request_whose_publish_is_gone_is_given_up(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = webhook(&store, instance, &[EventType::PublishToUsersAttempt]).await;
    publish_to(&store, instance, to_users(&["a"]), UNLEASED).await;
    store.prune_publishes(at(100), 10).await.unwrap();
    assert!(claim(&store, 1).await.is_none());
    let read = requests(&store, instance, id).await;
    assert_eq!(read[0].state, RequestState::Failed);
    assert_eq!(read[0].error.as_deref(), Some("publish_gone"));
}

pub async fn what_fails_for_too_long_is_disabled(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 1).await;
    let webhook = number(&store, 1).await;
    let mut now = 1;
    let day = 24 * 60 * 60;
    for (wait, next, disabled) in [
        (0, Next::Again(at(10)), false),
        (2 * day, Next::Delivered, false),
        (1, Next::Again(at(0)), false),
        (3 * day - 1, Next::Again(at(0)), false),
        (1, Next::Again(at(0)), true),
    ] {
        now += wait;
        let claimed = claim(&store, now).await.expect("it is due");
        let failing = due(&store, now).await;
        assert!(failing.is_empty());
        assert_eq!(
            settle(&store, webhook, &claimed, next, at(now)).await,
            disabled,
            "{wait}"
        );
        if next == Next::Delivered {
            let replayed = store
                .replay_request(instance, id, claimed.requests[0].id, at(now))
                .await;
            assert!(replayed.unwrap());
        }
    }
    let read = store.webhooks(instance).await.unwrap();
    let disabled = read[0].disabled.as_ref().expect("it is disabled");
    assert_eq!(disabled.since, at(now));
    assert_eq!(read[0].failing_since, Some(at(now - 3 * day)));
    assert!(due(&store, now + 100).await.is_empty());
}

pub async fn a_failing_webhook_is_told_from_one_that_works(store: Arc<dyn Store>) {
    queued(&store, 2).await;
    let webhook = number(&store, 1).await;
    assert!(!due(&store, 1).await[0].failing);
    let claimed = claim(&store, 1).await.unwrap();
    settle(&store, webhook, &claimed, Next::Again(at(2)), at(1)).await;
    assert!(due(&store, 2).await[0].failing);
    let claimed = claim(&store, 2).await.unwrap();
    let mixed = vec![
        attempted(&claimed.requests[0], Next::Delivered),
        attempted(&claimed.requests[1], Next::Again(at(3))),
    ];
    store
        .settle_requests(webhook, mixed, DAY, at(2))
        .await
        .unwrap();
    assert!(!due(&store, 3).await[0].failing, "one success is enough");
}

pub async fn a_disabled_webhook_gets_nothing(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 1).await;
    let webhook = number(&store, 1).await;
    let disabled = Disabled {
        since: at(1),
        reason: "by hand".into(),
    };
    let set = |to| store.set_webhook(instance, id, to);
    assert!(set(Some(disabled.clone())).await.unwrap());
    assert!(due(&store, 1).await.is_empty());
    let claimed = store.claim_requests(webhook, lease(1, 1), at(1), 10).await;
    assert!(claimed.unwrap().is_none());
    device(&store, instance, token(Platform::Fcm, 100)).await;
    let test = store.test_webhook(instance, id, "{}".into()).await;
    assert_eq!(test.unwrap(), None);
    assert_eq!(requests(&store, instance, id).await.len(), 1);
    assert_eq!(
        store.webhooks(instance).await.unwrap()[0].disabled,
        Some(disabled)
    );
    store.tend_webhooks(care(2)).await.unwrap();
    let read = requests(&store, instance, id).await;
    assert_eq!(read[0].state, RequestState::Failed);
    assert_eq!(read[0].error.as_deref(), Some(DISABLED));
    assert!(set(None).await.unwrap());
    assert!(due(&store, 3).await.is_empty());
    device(&store, instance, token(Platform::Fcm, 101)).await;
    assert_eq!(due(&store, 3).await.len(), 1);
    let other = store.set_webhook(InstanceId::random(), id, None).await;
    assert!(!other.unwrap());
}

pub async fn a_full_queue_takes_no_more_until_it_has_room(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 3).await;
    let webhook = number(&store, 1).await;
    let full = Care {
        waiting_max: 2,
        ..care(5)
    };
    store.tend_webhooks(full).await.unwrap();
    let since = |all: Vec<crate::webhooks::WebhookRecord>| all[0].full_since;
    assert_eq!(since(store.webhooks(instance).await.unwrap()), Some(at(5)));
    device(&store, instance, token(Platform::Fcm, 100)).await;
    assert_eq!(requests(&store, instance, id).await.len(), 3);
    let claimed = claim(&store, 6).await.unwrap();
    settle(&store, webhook, &claimed, Next::Delivered, at(6)).await;
    store.tend_webhooks(full).await.unwrap();
    assert_eq!(since(store.webhooks(instance).await.unwrap()), None);
    device(&store, instance, token(Platform::Fcm, 101)).await;
    assert_eq!(requests(&store, instance, id).await.len(), 4);
}

pub async fn ended_requests_are_deleted_when_old_or_too_many(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 6).await;
    let webhook = number(&store, 1).await;
    let claimed = claim(&store, 1).await.unwrap();
    let mut attempts: Vec<_> = claimed
        .requests
        .iter()
        .map(|request| attempted(request, Next::Delivered))
        .collect();
    attempts[5].next = Next::Again(at(2));
    store
        .settle_requests(webhook, attempts, DAY, at(2))
        .await
        .unwrap();
    assert_eq!(store.tend_webhooks(care(3)).await.unwrap(), 0);
    let few = Care {
        ended_max: 3,
        ..care(3)
    };
    assert_eq!(store.tend_webhooks(few).await.unwrap(), 2);
    let read = requests(&store, instance, id).await;
    assert_eq!(read[0].id, claimed.requests[2].id, "the oldest go first");
    let week = 7 * 24 * 60 * 60;
    let one = Care {
        limit: 1,
        ..care(3 + week)
    };
    assert_eq!(store.tend_webhooks(one).await.unwrap(), 1);
    assert_eq!(store.tend_webhooks(care(3 + week)).await.unwrap(), 2);
    let read = requests(&store, instance, id).await;
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].state, RequestState::Waiting);
}

pub async fn a_request_is_replayed_with_its_id(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 1).await;
    let webhook = number(&store, 1).await;
    let claimed = claim(&store, 1).await.unwrap();
    let request = claimed.requests[0].id;
    let replay = |of, at| store.replay_request(instance, of, request, at);
    assert!(!replay(id, at(1)).await.unwrap(), "it is being sent");
    settle(&store, webhook, &claimed, Next::GiveUp, at(2)).await;
    assert!(!replay(WebhookId::random(), at(3)).await.unwrap());
    assert!(replay(id, at(3)).await.unwrap());
    let again = claim(&store, 3).await.expect("it is due at once");
    let again = &again.requests[0];
    assert_eq!((again.id, again.attempts), (request, 0));
    assert_eq!(again.created_at, at(1));
}

pub async fn what_waits_for_a_later_attempt_is_replayed_at_once(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 1).await;
    let webhook = number(&store, 1).await;
    let claimed = claim(&store, 1).await.unwrap();
    let request = claimed.requests[0].id;
    settle(&store, webhook, &claimed, Next::Again(at(100)), at(2)).await;
    assert!(claim(&store, 3).await.is_none());
    let replay = |at| store.replay_request(instance, id, request, at);
    assert!(replay(at(3)).await.unwrap());
    assert!(!replay(at(3)).await.unwrap(), "it is due already");
    let again = claim(&store, 3).await.expect("it is due at once");
    assert_eq!(
        (again.requests[0].id, again.requests[0].attempts),
        (request, 0)
    );
}

pub async fn a_test_is_queued_for_its_webhook_alone(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 0).await;
    let other = webhook(&store, instance, &[EventType::DeviceBound]).await;
    let test = store.test_webhook(instance, id, r#"{"a":1}"#.into()).await;
    let test = test.unwrap().expect("the webhook is there");
    let read = requests(&store, instance, id).await;
    assert_eq!((read[0].id, read[0].event), (test, EventType::Test));
    assert_eq!(read[0].payload.as_deref(), Some(r#"{"a":1}"#));
    assert!(requests(&store, instance, other).await.is_empty());
    let unknown = store
        .test_webhook(instance, WebhookId::random(), "{}".into())
        .await;
    assert_eq!(unknown.unwrap(), None);
}

pub async fn webhooks_go_with_their_instance(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 2).await;
    let claimed = claim(&store, 1).await.unwrap();
    assert_eq!(claimed.requests.len(), 2);
    assert!(store.delete_instance(instance).await.unwrap());
    assert!(store.webhooks(instance).await.unwrap().is_empty());
    let gone = store.webhook_requests(instance, id, None, None, 10).await;
    assert_eq!(gone.unwrap(), None);
    assert!(due(&store, 100).await.is_empty());
    assert_eq!(store.webhook_depth().await.unwrap(), 0);
}

pub async fn every_attempt_is_remembered(store: Arc<dyn Store>) {
    let (instance, id) = queued(&store, 2).await;
    let webhook = number(&store, 1).await;
    let one = store.claim_requests(webhook, lease(1, 1), at(1), 1).await;
    let first = one.unwrap().expect("it is due").requests.remove(0);
    let attempts = vec![attempted(&first, Next::GiveUp)];
    let settled = store.settle_requests(webhook, attempts, DAY, at(2)).await;
    assert!(!settled.unwrap());
    let replayed = store.replay_request(instance, id, first.id, at(3)).await;
    assert!(replayed.unwrap());
    let mut claimed = claim(&store, 4).await.expect("it is due");
    claimed.requests.retain(|r| r.id == first.id);
    settle(&store, webhook, &claimed, Next::Delivered, at(5)).await;
    let read = store.webhook_request(instance, id, first.id).await;
    let read = read.unwrap().expect("it is kept");
    assert_eq!(
        (read.id, read.state, read.attempts),
        (first.id, RequestState::Delivered, 1)
    );
    let tried = |secs, status, error: Option<&str>| Try {
        at: at(secs),
        status: Some(status),
        error: error.map(str::to_owned),
    };
    assert_eq!(
        read.tries,
        [tried(2, 500, Some("status_500")), tried(5, 200, None)],
        "over the replay"
    );
    let listed = requests(&store, instance, id).await;
    assert!(listed.contains(&read), "a list says the same");
    // In its webhook and instance only.
    let other = super::world::instance(&store).await;
    let stranger = super::webhooks::webhook(&store, instance, &[EventType::DeviceBound]).await;
    for (instance, webhook, request) in [
        (other, id, first.id),
        (instance, stranger, first.id),
        (instance, id, uuid::Uuid::from_u128(1)),
    ] {
        let found = store.webhook_request(instance, webhook, request).await;
        assert_eq!(found.unwrap(), None);
    }
}
