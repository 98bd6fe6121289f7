//! Rules of what there is of a user, of forgetting one, and of what is removed before its publish is.

use std::sync::Arc;

use domain::device::{DeviceId, Platform};
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;
use domain::publish::{Audience, Publish, PublishId, UserList};
use domain::seal::Sealed;
use domain::user::UserOrdinal;
use domain::webhook::{EventType, WebhookId};

use super::webhooks::{claim, requests, webhook};
use super::world::*;
use crate::Store;
use crate::administration::{AuditFilter, DeviceFilter, Forgotten, NewAuditEntry, PublishTrace};
use crate::console::{Trace, TraceKind};
use crate::lists::Listed;
use crate::lookup::{Fresh, Replayed};
use crate::publishes::{
    Event, EventKind, Failure, Job, NewPublish, Plan, Recorded, Settlement, UserTally,
};
use crate::sealing::{SealedKind, SealedPlace};
use crate::webhooks::{Content, PublishWebhook};

const LEASED: Plan = Plan {
    job_span: 1_000_000,
    jobs_max: 64,
    first_page_max: 0,
    lease: Some(crate::publishes::Lease {
        owner: uuid::Uuid::from_u128(1),
        until: domain::clock::Timestamp::from_secs(1_800_000_060),
    }),
};

async fn traces(store: &Arc<dyn Store>, instance: InstanceId, name: &str) -> Vec<PublishTrace> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.user_traces(instance, user(name), after);
        let page = page.await.unwrap();
        found.extend(page.publishes);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// Settles a job whose devices all belong to `name`, as failed for the first and accepted for the rest.
async fn settle(store: &Arc<dyn Store>, job: &Job) {
    let page = store.audience_page(job, job.cursor, 100).await.unwrap();
    let tally = |recipient: &domain::device::Recipient, failed| UserTally {
        user: recipient.user.unwrap_or(UserOrdinal(0)),
        accepted: 1 - failed,
        failed,
    };
    let users = page.recipients.iter().enumerate();
    let settlement = Settlement {
        users: users
            .map(|(at, recipient)| tally(recipient, u64::from(at == 0)))
            .collect(),
        failures: vec![Failure {
            device: page.recipients[0].device,
            outcome: OutcomeKind::Rejected,
            reason: "payload".into(),
        }],
        ..Settlement::default()
    };
    finish_job(store, job, settlement).await;
}

async fn one_to_users(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    names: &[&str],
) -> (PublishId, Job) {
    let (id, mut jobs) = publish_to(store, instance, to_users(names), LEASED).await;
    assert_eq!(jobs.len(), 1);
    (id, jobs.remove(0))
}

async fn device_of(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    number: usize,
    name: &str,
) -> DeviceId {
    let id = subscriber(store, instance, number, &["news"]).await;
    bound(store, instance, id, name).await;
    id
}

async fn report_open(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    publish: PublishId,
    device: DeviceId,
) {
    let event = Event {
        instance,
        publish,
        device,
        kind: EventKind::Open,
        at: at(5),
        received: at(5),
        user: None,
    };
    let recorded = store.record_events(vec![event]).await.unwrap();
    assert_eq!(recorded, [Recorded::New]);
}

/// Everything that names `ann`: a publish by name, one through an interest, one to a list, one that is scheduled, an open
/// list, and the audit log.
async fn fill(store: &Arc<dyn Store>, instance: InstanceId) -> DeviceId {
    let device = device_of(store, instance, 1, "ann").await;
    device_of(store, instance, 2, "bob").await;
    let (by_name, job) = one_to_users(store, instance, &["ann", "bob"]).await;
    settle(store, &job).await;
    report_open(store, instance, by_name, device).await;
    let (_, job) = one_job(store, instance).await;
    settle(store, &job).await;
    for is_taken in [true, false] {
        let list = store.begin_list(instance, at(0)).await.unwrap();
        let users = ["zoe", "ann", "bob"].map(|name| Listed {
            user: user(name),
            values: None,
        });
        let told = store.extend_list(list, 0, users.to_vec()).await.unwrap();
        assert_eq!(told, None);
        if is_taken {
            let audience = Audience::List(UserList {
                number: list,
                users: 3,
            });
            publish_to(store, instance, audience, UNLEASED).await;
        }
    }
    let later = Publish {
        send_at: at(600),
        ..Publish::clone(&publish(instance, &[Platform::Fcm]))
    };
    let new = NewPublish {
        publish: Arc::new(later),
        audience: to_users(&["ann", "bob"]),
        once: None,
        webhook: None,
    };
    store.create_publish(new, UNLEASED).await.unwrap();
    let entry = NewAuditEntry {
        at: at(0),
        actor: "command_line".into(),
        token: None,
        token_name: None,
        action: "user.export".into(),
        instance: Some(instance),
        subject: None,
        user: Some(user("ann")),
    };
    store.append_audit(entry).await.unwrap();
    device
}

pub async fn traces_are_told(store: Arc<dyn Store>) {
    let mine = instance(&store).await;
    let device = fill(&store, mine).await;
    let found = traces(&store, mine, "ann").await;
    let named: Vec<bool> = found.iter().map(|trace| trace.named).collect();
    // The newest first: scheduled, to a list, to an interest, by name.
    assert_eq!(named, [true, true, false, true]);
    let by_name = found.last().unwrap();
    assert_eq!(by_name.outcome, Some((0, 1)));
    assert_eq!(by_name.failures.len(), 1);
    assert_eq!(by_name.failures[0].device, device);
    assert_eq!(by_name.events.len(), 1);
    let event = &by_name.events[0];
    assert_eq!(
        (event.device, event.kind, event.at),
        (device, EventKind::Open, at(5))
    );
    assert!(traces(&store, mine, "nobody").await.is_empty());
    let other = instance(&store).await;
    assert!(traces(&store, other, "ann").await.is_empty());
}

pub async fn a_forgotten_user_leaves_no_trace(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    fill(&store, mine).await;
    fill(&store, other).await;
    let bob = traces(&store, mine, "bob").await;
    let theirs = traces(&store, other, "ann").await;
    let forgotten = store.forget_user(mine, user("ann"), user("forgotten-1"));
    let wanted = Forgotten {
        devices: 1,
        names: 4,
        outcomes: 1,
        failures: 2,
        events: 1,
        webhook_requests: 0,
        audit_entries: 1,
    };
    assert_eq!(forgotten.await.unwrap(), wanted);
    assert!(traces(&store, mine, "ann").await.is_empty());
    let filter = DeviceFilter::User(user("ann"));
    let devices = store.list_devices(mine, filter, Default::default(), 10);
    assert!(devices.await.unwrap().is_empty());
    let told = async |name: &str| {
        let filter = AuditFilter {
            instance: Some(mine),
            user: Some(user(name)),
        };
        store.audit_page(filter, None, 10).await.unwrap().len()
    };
    assert_eq!((told("ann").await, told("forgotten-1").await), (0, 1));
    assert_eq!(
        traces(&store, mine, "bob").await,
        bob,
        "nobody else lost anything"
    );
    assert_eq!(
        traces(&store, other, "ann").await,
        theirs,
        "nor another instance"
    );
    let again = store.forget_user(mine, user("ann"), user("forgotten-2"));
    assert_eq!(again.await.unwrap(), Forgotten::default());
}

pub async fn sums_outlive_a_forgotten_user(store: Arc<dyn Store>) {
    let mine = instance(&store).await;
    let device = device_of(&store, mine, 1, "ann").await;
    let (id, job) = one_to_users(&store, mine, &["ann"]).await;
    let settlement = Settlement {
        tallies: vec![tally(OutcomeKind::Accepted, 1)],
        ..Settlement::default()
    };
    finish_job(&store, &job, settlement).await;
    report_open(&store, mine, id, device).await;
    let forgotten = store.forget_user(mine, user("ann"), user("x")).await;
    assert_eq!(forgotten.unwrap().devices, 1);
    let told = report(&store, mine, id).await;
    assert_eq!((told.opened, told.tallies.len()), (1, 1));
    let users = store.publish_users(mine, id, None, 10).await.unwrap();
    assert_eq!(users, Some(Vec::new()));
}

pub async fn a_forgotten_user_gets_nothing_that_was_scheduled(store: Arc<dyn Store>) {
    let mine = instance(&store).await;
    fill(&store, mine).await;
    store
        .forget_user(mine, user("ann"), user("x"))
        .await
        .unwrap();
    // Who registers anew under the same name is somebody new.
    device_of(&store, mine, 1, "ann").await;
    let jobs = store.start_scheduled(LEASED, at(601), 10).await.unwrap();
    assert_eq!(jobs.len(), 1);
    let reached = all_of(&store, &jobs[0], 10).await;
    assert_eq!(reached.len(), 1, "bob alone");
}

pub async fn payloads_are_pruned_alone(store: Arc<dyn Store>) {
    let mine = instance(&store).await;
    device_of(&store, mine, 1, "ann").await;
    let (old, job) = one_to_users(&store, mine, &["ann"]).await;
    settle(&store, &job).await;
    let (running, _) = one_to_users(&store, mine, &["ann"]).await;
    assert_eq!(store.prune_payloads(at(1), 10).await.unwrap(), 0);
    assert_eq!(store.prune_payloads(at(2), 10).await.unwrap(), 1);
    assert_eq!(store.prune_payloads(at(2), 10).await.unwrap(), 0);
    let told = store.publish_users(mine, old, None, 10).await.unwrap();
    assert_eq!(told.unwrap().len(), 1, "whom it was for stays");
    let fresh = Fresh::untraced(PublishId::random());
    let replayed = store.replay_publish(mine, old, fresh, None, UNLEASED, at(3));
    assert!(matches!(replayed.await.unwrap(), Replayed::Expired));
    assert!(report(&store, mine, running).await.finished_at.is_none());
}

pub async fn names_are_pruned_alone(store: Arc<dyn Store>) {
    let mine = instance(&store).await;
    device_of(&store, mine, 1, "ann").await;
    let (old, job) = one_to_users(&store, mine, &["ann"]).await;
    settle(&store, &job).await;
    assert_eq!(store.prune_names(at(1), 10).await.unwrap(), 0);
    assert_eq!(store.prune_names(at(2), 10).await.unwrap(), 1);
    assert_eq!(store.prune_names(at(2), 10).await.unwrap(), 0);
    assert!(traces(&store, mine, "ann").await.is_empty());
    let failures = store.publish_failures(mine, old, Default::default(), 10);
    let failures = failures.await.unwrap().unwrap();
    assert_eq!((failures.len(), &failures[0].user), (1, &None));
    let fresh = Fresh::untraced(PublishId::random());
    let replayed = store.replay_publish(mine, old, fresh, None, UNLEASED, at(3));
    assert!(matches!(replayed.await.unwrap(), Replayed::Accepted(_)));
}

/// Publishes that brought a URL and the body of their request along, by their ids.
async fn brought(store: &Arc<dyn Store>) -> Vec<PublishId> {
    let kept = store.sealed_page(SealedKind::PublishWebhooks, None, 100);
    let places = kept.await.unwrap().into_iter().map(|value| value.place);
    let ids = places.filter_map(|place| match place {
        SealedPlace::PublishWebhook(id) => Some(id),
        _ => None,
    });
    ids.collect()
}

pub async fn what_a_publish_brought_goes_with_its_names_and_its_payload(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    device_of(&store, mine, 1, "ann").await;
    let mut ids = Vec::new();
    for (instance, users, send_at) in [
        (mine, ["ann", "bob"], 0),
        (mine, ["eve", "bob"], 0),
        (mine, ["ann", "eve"], 1000),
        (other, ["ann", "bob"], 0),
    ] {
        let mut publish = Publish::clone(&publish(instance, &[Platform::Fcm]));
        publish.send_at = at(send_at);
        ids.push(publish.id);
        let new = NewPublish {
            publish: Arc::new(publish),
            audience: to_users(&users),
            once: None,
            webhook: Some(PublishWebhook(Sealed::from_bytes(vec![9]))),
        };
        store.create_publish(new, UNLEASED).await.unwrap();
    }
    assert_eq!(brought(&store).await, ids);
    let forgotten = store.forget_user(mine, user("ann"), user("x")).await;
    assert_eq!(forgotten.unwrap().names, 2);
    // What names others alone stays, and so does what another instance has.
    assert_eq!(brought(&store).await, [ids[1], ids[3]]);
    assert_eq!(store.prune_payloads(at(50), 1).await.unwrap(), 1);
    assert_eq!(brought(&store).await.len(), 1);
    assert!(store.prune_names(at(50), 10).await.unwrap() > 0);
    assert_eq!(brought(&store).await, []);
}

/// Gives an instance a webhook, and requests and a trail that tell of `ann` and of others.
async fn tell(store: &Arc<dyn Store>, instance: InstanceId, secs: i64) -> WebhookId {
    let events = [EventType::DeviceBound, EventType::PublishToUsersAttempt];
    let id = webhook(store, instance, &events).await;
    let device = device_of(store, instance, 1, "ann").await;
    let bobs = device_of(store, instance, 2, "bob").await;
    for _ in 0..2 {
        publish_to(store, instance, to_users(&["nobody"]), UNLEASED).await;
    }
    let claimed = loop {
        // What is left of another instance's is due too.
        let claimed = claim(store, secs).await.expect("there is work");
        if claimed.instance == instance {
            break claimed.requests;
        }
    };
    let unmade = claimed
        .iter()
        .filter(|request| matches!(request.content, Content::OfPublish { .. }));
    // In a list, with a piece behind it; and one that has the word, but not as a user.
    let payloads = [
        (r#"{"users_no_devices":["bob","ann"]}"#, Some(user("ann"))),
        (r#"{"platform":"ann","ann":"x"}"#, None),
    ];
    for (request, (payload, rest)) in unmade.zip(payloads) {
        let made = store.make_request(request.number, request.fence, payload.into(), rest);
        assert_eq!(made.await.unwrap(), crate::publishes::Settled::Done);
    }
    let line = |device, name: Option<&str>| Trace {
        device,
        user: name.map(user),
        ..Trace::new(at(0), TraceKind::Accepted)
    };
    let lines = vec![
        line(None, Some("ann")),
        line(Some(device), None),
        line(Some(bobs), Some("bob")),
    ];
    store.append_trail(instance, lines).await.unwrap();
    id
}

pub async fn a_forgotten_user_is_in_no_webhook_and_no_trail(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let hook = tell(&store, mine, 10).await;
    let theirs = tell(&store, other, 100).await;
    let named = async |instance| {
        let page = store.user_traces(instance, user("ann"), None).await;
        page.unwrap().webhook_requests
    };
    let told: Vec<_> = named(mine)
        .await
        .iter()
        .map(|r| (r.webhook, r.event))
        .collect();
    assert_eq!(
        told,
        [
            (hook, EventType::DeviceBound),
            (hook, EventType::PublishToUsersAttempt),
            (hook, EventType::PublishToUsersAttempt),
        ]
    );
    assert_eq!(named(other).await.len(), 3);
    let before = requests(&store, other, theirs).await.len();
    let forgotten = store.forget_user(mine, user("ann"), user("x")).await;
    assert_eq!(forgotten.unwrap().webhook_requests, 3);
    assert_eq!((named(mine).await.len(), named(other).await.len()), (0, 3));
    let left = requests(&store, mine, hook).await;
    let left: Vec<_> = left.iter().map(|request| request.event).collect();
    assert_eq!(
        left,
        [EventType::DeviceBound, EventType::PublishToUsersAttempt]
    );
    assert_eq!(requests(&store, other, theirs).await.len(), before);
    let lines = async |instance| store.trail(instance, None, 10).await.unwrap().len();
    assert_eq!((lines(mine).await, lines(other).await), (1, 3));
}
