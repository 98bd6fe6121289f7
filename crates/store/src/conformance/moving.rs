//! Rules of moving everything from one store to another. A backend's tests call these with two stores, of whichever backends.

use std::sync::Arc;

use domain::device::{DeviceId, DeviceOrdinal, Platform};
use domain::idempotency::{Fingerprint, Idempotency, IdempotencyKey};
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;
use domain::publish::{Audience, PublishId, UserList};
use domain::seal::Sealed;
use domain::webhook::EventType;
use uuid::Uuid;

use super::webhooks::webhook;
use super::world::*;
use crate::Store;
use crate::activity::Day;
use crate::administration::AuditFilter;
use crate::cluster::{Presence, TokenName};
use crate::instances::NewCredential;
use crate::lists::Listed;
use crate::lookup::{Cancelled, PublishState};
use crate::moving::{Kind, Mover, Moving, Reached, Refusal, Summary};
use crate::publishes::{
    Accepted, Event, EventKind, Failure, NewPublish, Once, Plan, Recorded, Settlement, UserTally,
};
use crate::transfer::{DeviceImport, ImportRules};
use crate::webhooks::PublishWebhook;

/// More than one page of some kinds.
const DEVICES: usize = 2500;

/// What stands in the store that is moved.
struct Filled {
    instance: InstanceId,
    empty: InstanceId,
    running: PublishId,
    later: PublishId,
    cancelled: PublishId,
    to_list: PublishId,
    /// How many requests wait for webhooks.
    told: u64,
    once: Once,
}

fn once() -> Once {
    Once {
        idempotency: Idempotency {
            key: IdempotencyKey::parse(b"a-key").unwrap(),
            fingerprint: Fingerprint::of("publish", b"a request"),
        },
        since: at(-1000),
    }
}

async fn accept(store: &Arc<dyn Store>, new: NewPublish) -> PublishId {
    let id = new.publish.id;
    let accepted = store.create_publish(new, UNLEASED).await.unwrap();
    assert!(matches!(accepted, Accepted::New(_)));
    id
}

/// A publish in the middle of its work: a page settled with everything that a settlement has, a retry, and a job that somebody
/// holds a lease on.
async fn run_half(store: &Arc<dyn Store>, instance: InstanceId) -> PublishId {
    let plan = Plan {
        lease: Some(lease(1, 0)),
        job_span: 1000,
        ..UNLEASED
    };
    let (id, jobs) = publish_to(store, instance, to_interests(&["news"]), plan).await;
    assert!(jobs.len() > 1);
    let page = store
        .audience_page(&jobs[0], jobs[0].cursor, 10)
        .await
        .unwrap();
    let ordinal = |place: usize| page.recipients[place].device;
    let settlement = Settlement {
        tallies: vec![
            tally(OutcomeKind::Accepted, 8),
            tally(OutcomeKind::Rejected, 1),
        ],
        retries: vec![retry(ordinal(3), at(20))],
        failures: vec![Failure {
            device: ordinal(4),
            outcome: OutcomeKind::Rejected,
            reason: "too_large".into(),
        }],
        users: vec![UserTally {
            user: domain::user::UserOrdinal(1),
            accepted: 1,
            failed: 0,
        }],
        ..Settlement::default()
    };
    let settled = store
        .settle_page(&jobs[0], page.cursor, false, at(60), settlement, at(2))
        .await;
    assert_eq!(settled.unwrap(), crate::publishes::Settled::Done);
    id
}

fn line(number: usize) -> DeviceImport {
    DeviceImport {
        id: DeviceId::random(Platform::Fcm),
        id_is_known: false,
        token: token(Platform::Fcm, number),
        bundle_id: None,
        environment: None,
        metadata: None,
        user: (number < 20).then(|| user(&format!("user-{}", number / 2))),
        interests: names(&["news"]),
        registered_at: None,
    }
}

async fn list_of(store: &Arc<dyn Store>, instance: InstanceId, ids: &[&str]) -> Audience {
    let number = store.begin_list(instance, at(5)).await.unwrap();
    let listed = |id: &&str| Listed {
        user: user(id),
        values: None,
    };
    let listed: Vec<_> = ids.iter().map(listed).collect();
    let extended = store.extend_list(number, 0, listed).await.unwrap();
    assert_eq!(extended, None);
    Audience::List(UserList {
        number,
        users: ids.len() as u64,
    })
}

fn credential() -> NewCredential {
    NewCredential {
        platform: Platform::Fcm,
        sealed: Sealed::from_bytes(vec![9; 100]),
        summary: "a project".into(),
        set_at: at(1),
    }
}

async fn fill(store: &Arc<dyn Store>) -> Filled {
    let (instance, empty) = (instance(store).await, instance(store).await);
    store.set_credential(instance, credential()).await.unwrap();
    let lines: Vec<_> = (0..DEVICES).map(line).collect();
    let devices: Vec<_> = lines.iter().map(|line| line.id).collect();
    let rules = ImportRules {
        devices_max: DEVICES_MAX,
        interests_max: 10,
        stop_at_refused: true,
    };
    let imported = store.import_devices(instance, lines.into(), rules, at(1));
    assert_eq!(imported.await.unwrap().len(), DEVICES);
    device(store, instance, web_token(1, 3)).await;
    device(store, instance, token(Platform::Apns, 1)).await;
    // Numbers of what is gone are not given again.
    let gone = subscriber(store, instance, DEVICES, &["gone"]).await;
    assert!(store.delete_device(instance, gone).await.unwrap());

    let running = run_half(store, instance).await;
    let event = |kind, received| Event {
        instance,
        publish: running,
        device: devices[0],
        kind,
        at: at(3),
        received,
        user: None,
    };
    // One that stands by the day, and one that stands by the hour.
    let recorded = store.record_events(vec![event(EventKind::Open, at(3))]);
    assert_eq!(recorded.await.unwrap(), [Recorded::New]);
    assert_eq!(store.roll_up_events(at(86_400), 10).await.unwrap(), 1);
    let recorded = store.record_events(vec![event(EventKind::Delivery, at(86_400))]);
    assert_eq!(recorded.await.unwrap(), [Recorded::New]);
    let mut later = publish(instance, &[Platform::Fcm]);
    Arc::get_mut(&mut later).unwrap().send_at = at(1000);
    let new = |publish, audience, once| NewPublish {
        publish,
        audience,
        once,
        webhook: Some(PublishWebhook(Sealed::from_bytes(vec![7]))),
    };
    let later = accept(store, new(later, to_users(&["user-1", "nobody"]), None)).await;
    let keyed = publish(instance, &[Platform::Fcm, Platform::Apns, Platform::Web]);
    let cancelled = accept(store, new(keyed, to_users(&["user-2"]), Some(once()))).await;
    let called_off = store.cancel_publish(instance, cancelled, at(4)).await;
    assert_eq!(called_off.unwrap(), Cancelled::Done);
    let audience = list_of(store, instance, &["user-3", "user-4"]).await;
    let to_list = publish(instance, &[Platform::Fcm]);
    let to_list = accept(store, new(to_list, audience, None)).await;
    webhook(store, instance, &[EventType::DeviceRegistered]).await;
    device(store, instance, token(Platform::Fcm, 2 * DEVICES)).await;
    let told = store.webhook_depth().await.unwrap();
    let shared = store.share_token(TokenName::new("apns/x"), None, Sealed::from_bytes(vec![5]));
    shared.await.unwrap();
    super::administration::manage(store, instance).await;
    Filled {
        instance,
        empty,
        running,
        later,
        cancelled,
        to_list,
        told,
        once: once(),
    }
}

async fn run(source: &Arc<dyn Moving>, target: &Arc<dyn Moving>) -> Result<Summary, Refusal> {
    let mover = Mover {
        source: Arc::clone(source),
        target: Arc::clone(target),
        watch: &|_| {},
    };
    mover.run(at(10)).await
}

fn rows(summary: &Summary, kind: Kind) -> u64 {
    let found = summary.kinds.iter().find(|(found, _)| *found == kind);
    found.unwrap().1.rows()
}

/// Everything is there, and goes on where it was.
pub async fn everything_moves(source: Arc<dyn Moving>, target: Arc<dyn Moving>) {
    let from: Arc<dyn Store> = Arc::clone(&source) as _;
    let filled = fill(&from).await;
    let summary = run(&source, &target).await.unwrap();
    assert_eq!(summary.resumed, 0);
    for kind in Kind::ALL {
        let is_there = rows(&summary, *kind) > 0;
        assert!(is_there || *kind == Kind::Emptied, "no {kind:?} was moved");
    }
    assert_eq!(rows(&summary, Kind::Devices), DEVICES as u64 + 3);
    assert_eq!(rows(&summary, Kind::Subscriptions), DEVICES as u64);

    let to: Arc<dyn Store> = Arc::clone(&target) as _;
    assert!(!to.is_being_filled().await.unwrap());
    let Filled { instance, .. } = filled;
    for id in [filled.instance, filled.empty] {
        let (before, after) = (
            from.instance(id).await.unwrap(),
            to.instance(id).await.unwrap(),
        );
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
    }
    let version =
        |store: Arc<dyn Store>| async move { store.configuration_version().await.unwrap() };
    assert!(version(Arc::clone(&to)).await > version(Arc::clone(&from)).await);
    for id in [
        filled.running,
        filled.later,
        filled.cancelled,
        filled.to_list,
    ] {
        assert_eq!(
            report(&from, instance, id).await,
            report(&to, instance, id).await
        );
    }
    let log = async |store: &Arc<dyn Store>| {
        let page = store.audit_page(AuditFilter::default(), None, 10).await;
        (
            page.unwrap(),
            format!("{:?}", store.admin_tokens().await.unwrap()),
        )
    };
    assert_eq!(log(&from).await, log(&to).await);
    let (first, today) = (Day::of(at(0)), Day::of(at(86_400)));
    let insights = async |store: &Arc<dyn Store>| {
        let days = store.event_days(instance, first, today).await.unwrap();
        assert_eq!(days.len(), 2);
        let counted = store.count_devices(instance, today, DeviceOrdinal(0), DEVICES * 2);
        let count = store.device_count(instance).await.unwrap();
        (days, counted.await.unwrap(), count)
    };
    assert_eq!(insights(&from).await, insights(&to).await);
    let repeated = to.repeated_publish(instance, filled.once.clone()).await;
    assert_eq!(repeated.unwrap(), Some(filled.cancelled));
    goes_on(&to, &filled).await;

    // What is full is not filled again, and the source is as it was.
    let again = run(&source, &target).await;
    assert!(matches!(again, Err(Refusal::NotEmpty)), "{again:?}");
    let same = run(&source, &source).await;
    assert!(matches!(same, Err(Refusal::Same)), "{same:?}");
    let device = subscriber(&from, instance, DEVICES + 5, &["news"]).await;
    assert!(from.device(instance, device).await.unwrap().is_some());
}

/// What webhooks were to be told, they are told by the store it was moved to.
async fn webhooks_go_on(to: &Arc<dyn Store>, told: u64) {
    let mut claimed = 0;
    for due in to.due_webhooks(at(10), 10).await.unwrap() {
        let requests = to.claim_requests(due.number, lease(2, 10), at(10), 100);
        claimed += requests.await.unwrap().unwrap().requests.len() as u64;
    }
    assert!(claimed > 2 && claimed == told, "{claimed} of {told}");
}

/// The work that was left is done in the store it was moved to.
async fn goes_on(to: &Arc<dyn Store>, filled: &Filled) {
    let Filled { instance, .. } = *filled;
    webhooks_go_on(to, filled.told).await;
    // Leases stayed behind, so all jobs are there to be claimed.
    let jobs = to.claim_jobs(lease(2, 10), at(10), 100).await.unwrap();
    let mut devices = Vec::new();
    for job in jobs.iter().filter(|job| job.publish.id == filled.running) {
        devices.extend(all_of(to, job, 700).await);
        finish_job(to, job, Settlement::default()).await;
    }
    assert_eq!(devices.len(), DEVICES - 10);
    let listed: Vec<_> = jobs
        .iter()
        .filter(|job| job.publish.id == filled.to_list)
        .collect();
    assert_eq!(listed.len(), 1);
    let page = to
        .audience_page(listed[0], listed[0].cursor, 10)
        .await
        .unwrap();
    assert_eq!(page.recipients.len(), 4);
    let retries = to.claim_retries(lease(2, 20), at(20), 100).await.unwrap();
    assert_eq!(retries.len(), 1);
    assert_eq!(retries[0].retries.len(), 1);
    let settled = to
        .settle_retries(
            filled.running,
            ids(&retries[0]),
            Settlement::default(),
            at(21),
        )
        .await;
    assert_eq!(settled.unwrap(), crate::publishes::Settled::Done);
    let finished = report(to, instance, filled.running).await;
    assert_eq!(
        (finished.state, finished.opened),
        (PublishState::Finished, 1)
    );
    let failures = to
        .publish_failures(instance, filled.running, DeviceOrdinal(0), 10)
        .await;
    assert_eq!(failures.unwrap().unwrap().len(), 1);
    let begun = to.start_scheduled(UNLEASED, at(1000), 10).await.unwrap();
    assert!(begun.is_empty());
    assert_eq!(
        to.claim_jobs(lease(2, 1000), at(1000), 100)
            .await
            .unwrap()
            .len(),
        2
    );
    // What is new gets numbers that nothing had before.
    let fresh = subscriber(to, instance, DEVICES + 1, &["fresh"]).await;
    let (_, jobs) = publish_to(
        to,
        instance,
        to_interests(&["fresh"]),
        Plan {
            lease: Some(lease(1, 0)),
            ..UNLEASED
        },
    )
    .await;
    let page = to
        .audience_page(&jobs[0], jobs[0].cursor, 10)
        .await
        .unwrap();
    assert_eq!(page.recipients.len(), 1);
    assert!(page.recipients[0].device.0 > DEVICES as i64 + 3, "{fresh}");
}

/// A move that was cut short is not to be worked on, and goes on.
pub async fn a_move_goes_on_where_it_was_cut(source: Arc<dyn Moving>, target: Arc<dyn Moving>) {
    let from: Arc<dyn Store> = Arc::clone(&source) as _;
    let filled = fill(&from).await;
    let identity = source.identity().await.unwrap();
    target.begin_move(identity).await.unwrap();
    let kinds = Kind::ALL.iter().take_while(|kind| **kind != Kind::Devices);
    for kind in kinds {
        let page = source.read_rows(*kind, None, 10_000).await.unwrap();
        assert!(page.next.is_none());
        let reached = Reached {
            kind: *kind,
            place: None,
            rows: page.rows.len() as u64,
        };
        target.write_rows(page.rows, reached).await.unwrap();
    }
    let page = source.read_rows(Kind::Devices, None, 100).await.unwrap();
    assert_eq!(page.rows.len(), 100);
    let reached = Reached {
        kind: Kind::Devices,
        place: page.next.clone(),
        rows: 100,
    };
    // Whoever does not know whether it was written writes it again.
    for _ in 0..2 {
        target
            .write_rows(page.rows.clone(), reached.clone())
            .await
            .unwrap();
    }
    assert!(target.is_being_filled().await.unwrap());
    let summary = run(&source, &target).await.unwrap();
    assert_eq!(rows(&summary, Kind::Devices), DEVICES as u64 + 3);
    assert!(summary.resumed > 100, "{}", summary.resumed);
    assert!(!target.is_being_filled().await.unwrap());
    let to: Arc<dyn Store> = Arc::clone(&target) as _;
    goes_on(&to, &filled).await;
}

/// Nothing is moved out of or into what is in use, half full, or full of something else.
pub async fn a_move_is_refused(source: Arc<dyn Moving>, target: Arc<dyn Moving>) {
    let from: Arc<dyn Store> = Arc::clone(&source) as _;
    instance(&from).await;
    let presence = Presence {
        lease: lease(7, 0),
        is_worker: true,
        keys: Vec::new(),
    };
    for store in [&source, &target] {
        store.present(presence.clone(), at(10)).await.unwrap();
        let refused = run(&source, &target).await;
        assert!(
            matches!(refused, Err(Refusal::InUse { count: 1, .. })),
            "{refused:?}"
        );
        store.depart(presence.lease.owner).await.unwrap();
    }
    target.begin_move(Uuid::from_u128(1)).await.unwrap();
    let refused = run(&source, &target).await;
    assert!(matches!(refused, Err(Refusal::FromAnother)), "{refused:?}");
    let refused = run(&target, &source).await;
    assert!(
        matches!(refused, Err(Refusal::SourceUnfinished)),
        "{refused:?}"
    );
    assert_eq!(target.count_rows(Kind::Instances).await.unwrap(), 0);
}
