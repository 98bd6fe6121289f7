//! What the tests of the suite are made of: instances, devices, publishes with little in them, and a made-up time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::clock::Timestamp;
use domain::device::{
    DeviceId, DeviceMetadata, DeviceOrdinal, GatewayToken, Platform, Registration,
    WebPushSubscription,
};
use domain::instance::{InstanceId, InstanceName};
use domain::interest::InterestName;
use domain::outcome::OutcomeKind;
use domain::publish::{Audience, AudienceKind, Publish, PublishId, PublishRequest};
use domain::seal::Sealed;
use domain::trace::TraceParent;
use domain::user::UserId;
use uuid::Uuid;

use crate::Store;
use crate::devices::{Bound, Changed};
use crate::instances::{NewInstance, NewSecretKey};
use crate::lookup::PublishReport;
use crate::publishes::{
    Fence, Job, Lease, NewPublish, NewRetry, Plan, RetryBatch, RetryId, Settled, Settlement, Tally,
};

/// A moment that all tests begin at, `secs` later.
pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

/// How many devices of a platform a user may have in these tests.
pub const DEVICES_MAX: u32 = 100;

/// A plan that makes one job of most audiences and leaves it to whoever claims first.
pub const UNLEASED: Plan = Plan {
    job_span: 1_000_000,
    jobs_max: 64,
    lease: None,
    first_page_max: 0,
};

/// The lease of somebody, for a minute from `secs` on.
pub fn lease(owner: u128, secs: i64) -> Lease {
    Lease {
        owner: Uuid::from_u128(owner),
        until: at(secs + 60),
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (sides.max(1) as u64)).unwrap()
    }
}

pub fn interest(name: &str) -> InterestName {
    InterestName::parse(name).unwrap()
}

pub fn names(names: &[&str]) -> Vec<InterestName> {
    names.iter().map(|name| interest(name)).collect()
}

pub fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

pub fn secret_key(hint: &str) -> NewSecretKey {
    NewSecretKey {
        sealed: Sealed::from_bytes(hint.as_bytes().to_vec()),
        hint: hint.into(),
        created_at: at(0),
    }
}

pub fn new_instance(id: InstanceId, name: &str) -> NewInstance {
    NewInstance {
        id,
        name: InstanceName::parse(name).unwrap(),
        vapid_public_key: vec![4; 65],
        vapid_private_key: Sealed::from_bytes(vec![7; 40]),
        secret_key: secret_key("1234"),
        created_at: at(0),
    }
}

pub async fn instance(store: &Arc<dyn Store>) -> InstanceId {
    let id = InstanceId::random();
    store
        .create_instance(new_instance(id, "an app"))
        .await
        .unwrap();
    id
}

/// The token number `number` of a platform.
pub fn token(platform: Platform, number: usize) -> GatewayToken {
    match platform {
        Platform::Apns => GatewayToken::parse(platform, &format!("{number:064x}")).unwrap(),
        Platform::Fcm => GatewayToken::parse(platform, &format!("fcm:{number}")).unwrap(),
        Platform::Web => web_token(number, 1),
    }
}

/// A browser's subscription number `number`, with keys that differ by `keys`.
pub fn web_token(number: usize, keys: u8) -> GatewayToken {
    let endpoint = format!("https://push.example.com/{number}");
    let keys = [keys; WebPushSubscription::KEYS_LENGTH];
    GatewayToken::from_parts(Platform::Web, &endpoint, Some(&keys)).unwrap()
}

pub fn registration(instance: InstanceId, token: GatewayToken) -> Registration {
    Registration {
        instance,
        token,
        bundle_id: None,
        metadata: DeviceMetadata::default(),
    }
}

pub async fn device(store: &Arc<dyn Store>, instance: InstanceId, token: GatewayToken) -> DeviceId {
    let fresh = DeviceId::random(token.platform());
    let registered = store
        .register_device(registration(instance, token), fresh, None, at(0))
        .await
        .unwrap();
    registered.id
}

/// A device of the platform `fcm`, subscribed to `interests`.
pub async fn subscriber(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    number: usize,
    interests: &[&str],
) -> DeviceId {
    let id = device(store, instance, token(Platform::Fcm, number)).await;
    let set = store
        .set_interests(instance, id, names(interests), at(0))
        .await
        .unwrap();
    assert_eq!(set, Changed::Done);
    id
}

pub async fn bind(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    device: DeviceId,
    id: &str,
) -> Bound {
    store
        .bind_user(instance, device, user(id), DEVICES_MAX, at(0))
        .await
        .unwrap()
}

/// Binds a device that can be bound.
pub async fn bound(store: &Arc<dyn Store>, instance: InstanceId, device: DeviceId, id: &str) {
    assert_eq!(bind(store, instance, device, id).await, Bound::Done);
}

pub fn to_interests(names: &[&str]) -> Audience {
    Audience::Interests(
        names
            .iter()
            .map(|name| interest(name))
            .collect::<BTreeSet<_>>(),
    )
}

pub fn to_users(ids: &[&str]) -> Audience {
    Audience::Users(ids.iter().map(|id| user(id)).collect::<BTreeSet<_>>())
}

/// A publish with a payload for each of `platforms`.
pub fn publish(instance: InstanceId, platforms: &[Platform]) -> Arc<Publish> {
    let mut body = serde_json::json!({"interests": ["x"]});
    for platform in platforms {
        body[platform.as_str()] = match platform {
            Platform::Apns => serde_json::json!({"aps": {"alert": "hello"}, "data": {"n": 1.50}}),
            Platform::Fcm => {
                serde_json::json!({"notification": {"title": "hello"}, "data": {"n": "1"}})
            }
            Platform::Web => serde_json::json!({"notification": {"title": "hello"}}),
        };
    }
    // A number written as no value tree would write it.
    let body = body.to_string().replace("1.5", "1.50");
    let request = PublishRequest::parse(AudienceKind::Interests, body.as_bytes()).unwrap();
    let id = PublishId::random();
    Arc::new(Publish {
        id,
        instance,
        accepted_at: at(0),
        send_at: at(0),
        expires_at: None,
        payloads: request.payloads,
        trace: trace_of(id),
    })
}

/// Where the publish of this id belongs in a trace, in these tests.
pub fn trace_of(id: PublishId) -> Option<TraceParent> {
    TraceParent::new(*id.uuid().as_bytes(), [9; 8])
}

/// Publishes to an audience through FCM.
pub async fn publish_to(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    audience: Audience,
    plan: Plan,
) -> (PublishId, Vec<Job>) {
    let publish = publish(instance, &[Platform::Fcm]);
    let id = publish.id;
    let jobs = store
        .create_publish(
            NewPublish {
                publish,
                audience,
                once: None,
                webhook: None,
            },
            plan,
        )
        .await
        .unwrap()
        .into_jobs();
    (id, jobs)
}

/// Publishes to the interest `news` of one subscriber and claims the job.
pub async fn one_job(store: &Arc<dyn Store>, instance: InstanceId) -> (PublishId, Job) {
    let plan = Plan {
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    let (id, mut jobs) = publish_to(store, instance, to_interests(&["news"]), plan).await;
    assert_eq!(jobs.len(), 1);
    (id, jobs.remove(0))
}

/// All devices of a job, page by page.
pub async fn all_of(
    store: &Arc<dyn Store>,
    job: &Job,
    limit: usize,
) -> Vec<domain::device::Recipient> {
    let mut after = job.cursor;
    let mut found = Vec::new();
    loop {
        let page = store.audience_page(job, after, limit).await.unwrap();
        assert!(
            page.recipients.len() <= limit,
            "{} of {limit}",
            page.recipients.len()
        );
        assert!(
            page.last || page.cursor > after,
            "a page that is not the last moves on"
        );
        assert!(
            page.recipients
                .iter()
                .all(|r| r.device > after && r.device <= page.cursor)
        );
        found.extend(page.recipients);
        after = page.cursor;
        if page.last {
            assert_eq!(after, job.end);
            return found;
        }
    }
}

pub async fn report(store: &Arc<dyn Store>, instance: InstanceId, id: PublishId) -> PublishReport {
    store
        .publish_report(instance, id)
        .await
        .unwrap()
        .expect("the publish is there")
}

pub fn tally(outcome: OutcomeKind, count: u64) -> Tally {
    Tally {
        platform: Platform::Fcm,
        outcome,
        reason: "".into(),
        count,
    }
}

pub fn retry(device: DeviceOrdinal, due_at: Timestamp) -> NewRetry {
    NewRetry {
        device,
        attempts: 1,
        due_at,
        reason: "throttled".into(),
        user: None,
    }
}

/// Settles a job's last page with these retries.
pub async fn finish_job(store: &Arc<dyn Store>, job: &Job, settlement: Settlement) {
    let settled = store
        .settle_page(job, job.end, true, at(60), settlement, at(1))
        .await
        .unwrap();
    assert_eq!(settled, Settled::Done);
}

pub fn ids(batch: &RetryBatch) -> Vec<(RetryId, Fence)> {
    batch
        .retries
        .iter()
        .map(|retry| (retry.id, retry.fence))
        .collect()
}

/// Waits for all of some concurrent calls.
pub async fn all<T: Send + 'static>(
    calls: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut set = tokio::task::JoinSet::new();
    for call in calls {
        set.spawn(call);
    }
    set.join_all().await
}

/// One minute.
pub const MINUTE: Duration = Duration::from_secs(60);
