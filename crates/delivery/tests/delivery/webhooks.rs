//! Webhooks in virtual time: a store in memory, a receiver that a script plays, hours that pass at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::instances::Instances;
use delivery::runner::{Runner, Settings};
use delivery::vault::Vault;
use delivery::webhooks::WebhookSettings;
use domain::clock::{Clock, Timestamp};
use domain::device::{DeviceId, DeviceMetadata, GatewayToken, Platform, Registration};
use domain::instance::{InstanceId, InstanceName, SecretKey};
use domain::publish::{AudienceKind, PublishRequest};
use domain::seal::MasterKey;
use domain::webhook::{CustomData, EventType, Events, Scheme, WebhookId, WebhookSecret};
use futures_util::future::BoxFuture;
use gateway::{Attempt, Delivery, Gateways, Post, Posted, Script};
use serde_json::Value;
use store::Store;
use store::memory::MemoryStore;
use store::webhooks::{NewWebhook, RequestState};
use tokio::time::Instant;

const SECRET: &str = "top secret";
const BEGIN: Timestamp = Timestamp::from_secs(1_800_000_000);

#[derive(Debug)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        BEGIN.after(self.0.elapsed())
    }
}

/// What a receiver saw of a request.
#[derive(Debug, Clone)]
struct Seen {
    at_secs: u64,
    headers: HashMap<&'static str, String>,
    body: Vec<u8>,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Receivers by the host of their URL: what each answers, and what it saw.
#[derive(Debug)]
struct Receivers {
    began: Instant,
    answers: Mutex<HashMap<String, Posted>>,
    seen: Mutex<HashMap<String, Vec<Seen>>>,
}

impl Receivers {
    fn answer(&self, url: &str, answer: Posted) {
        self.answers.lock().unwrap().insert(url.into(), answer);
    }

    fn seen(&self, url: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.get(url).cloned().unwrap_or_default()
    }
}

/// A receiver that never answers is given up after as long.
const TIMEOUT: Duration = Duration::from_secs(3);

impl Script for Receivers {
    fn send<'a>(&'a self, _: Platform, _: &'a Delivery<'a>) -> BoxFuture<'a, Attempt> {
        Box::pin(async { domain::outcome::Outcome::Accepted.into() })
    }

    fn post<'a>(&'a self, post: &'a Post<'a>) -> BoxFuture<'a, Posted> {
        let seen = Seen {
            at_secs: self.began.elapsed().as_secs(),
            headers: post.headers.iter().cloned().collect(),
            body: post.body.to_vec(),
        };
        let mut all = self.seen.lock().unwrap();
        all.entry(post.url.into()).or_default().push(seen);
        let answers = self.answers.lock().unwrap();
        let answer = answers.get(post.url).copied();
        Box::pin(async move {
            let answer = answer.unwrap_or(Posted::Answered(200));
            if answer == Posted::Failed("timeout") {
                tokio::time::sleep(TIMEOUT).await;
            }
            answer
        })
    }

    fn in_flight_limit(&self, _: Platform) -> usize {
        100
    }
}

struct Stage {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Vault,
    instance: InstanceId,
    receivers: Arc<Receivers>,
}

impl Stage {
    async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock(Instant::now()));
        let vault = Vault::new(MasterKey::random());
        let instance = InstanceId::random();
        let name = InstanceName::parse("test").unwrap();
        let new = vault.new_instance(instance, name, &SecretKey::random(), BEGIN);
        store.create_instance(new.unwrap()).await.unwrap();
        let receivers = Arc::new(Receivers {
            began: Instant::now(),
            answers: Mutex::default(),
            seen: Mutex::default(),
        });
        Self {
            store,
            clock,
            vault,
            instance,
            receivers,
        }
    }

    fn start(&self, webhooks: WebhookSettings) -> Runner {
        self.start_with(self.vault.clone(), webhooks)
    }

    fn start_with(&self, vault: Vault, webhooks: WebhookSettings) -> Runner {
        let gateways = Gateways::new(gateway::Config::default(), Arc::clone(&self.clock));
        let gateways = gateways.unwrap().scripted(Arc::clone(&self.receivers) as _);
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let instances = Instances::new(Arc::clone(&store), vault, gateways, Arc::clone(&clock));
        let settings = Settings {
            webhooks,
            ..Settings::default()
        };
        Runner::start(settings, store, instances, clock)
    }

    async fn webhook(&self, url: &str, events: &[EventType]) -> WebhookId {
        let id = WebhookId::random();
        let secret = WebhookSecret::parse(Scheme::Beams, SECRET).unwrap();
        let new = NewWebhook {
            id,
            url: url.into(),
            secret: self
                .vault
                .seal_webhook_secret(self.instance, id, &secret)
                .unwrap(),
            scheme: Scheme::Beams,
            events: Events::of(events.iter().copied()).unwrap(),
            custom_data: CustomData::default(),
            created_at: BEGIN,
        };
        assert!(
            self.store
                .add_webhook(self.instance, new, 10)
                .await
                .unwrap()
        );
        id
    }

    async fn register(&self, number: usize) {
        let registration = Registration {
            instance: self.instance,
            token: GatewayToken::parse(Platform::Fcm, &format!("token-{number}")).unwrap(),
            bundle_id: None,
            metadata: DeviceMetadata::default(),
        };
        let fresh = DeviceId::random(Platform::Fcm);
        let now = self.clock.now();
        self.store
            .register_device(registration, fresh, None, now)
            .await
            .unwrap();
    }

    async fn states(&self, id: WebhookId) -> Vec<RequestState> {
        let found = self
            .store
            .webhook_requests(self.instance, id, None, None, 1000);
        found
            .await
            .unwrap()
            .unwrap()
            .iter()
            .map(|r| r.state)
            .collect()
    }
}

/// Lets so much virtual time pass.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

const MINUTE: Duration = Duration::from_secs(60);
const A: &str = "https://a.example/hook";
const B: &str = "https://b.example/hook";

#[tokio::test(start_paused = true)]
async fn a_failing_request_is_repeated_as_beams_does_and_given_up() {
    let stage = Stage::new().await;
    let id = stage.webhook(A, &[EventType::DeviceRegistered]).await;
    stage.receivers.answer(A, Posted::Answered(500));
    let runner = stage.start(WebhookSettings::default());
    stage.register(1).await;
    pass(20 * MINUTE).await;
    let seen = stage.receivers.seen(A);
    let times: Vec<u64> = seen.iter().map(|s| s.at_secs).collect();
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(seen.len(), 5, "{times:?}");
    for (gap, wanted) in gaps.iter().zip([10, 30, 120, 300]) {
        assert!((wanted..=wanted + 1).contains(gap), "{gaps:?}");
    }
    assert!(
        seen.iter()
            .all(|s| s.body == seen[0].body && s.headers == seen[0].headers)
    );
    let secret = WebhookSecret::parse(Scheme::Beams, SECRET).unwrap();
    let headers = &seen[0].headers;
    assert_eq!(
        headers["webhook-signature"],
        secret.sign_beams(&seen[0].body)
    );
    assert_eq!(headers["user-agent"], "pusher-webhooks");
    assert_eq!(headers["webhook-event-type"], "v1.DeviceRegistered");
    assert_eq!(headers["webhook-id-uuid"], id.to_string());
    assert_eq!(stage.states(id).await, [RequestState::Failed]);

    // Replayed, it is the same request from its first attempt on.
    stage.receivers.answer(A, Posted::Answered(204));
    let request = headers["webhook-request-id-uuid"].parse().unwrap();
    let now = stage.clock.now();
    let replayed = stage.store.replay_request(stage.instance, id, request, now);
    assert!(replayed.await.unwrap());
    pass(MINUTE).await;
    let again = stage.receivers.seen(A).pop().unwrap();
    assert_eq!(
        (again.body, &again.headers),
        (seen[0].body.clone(), headers)
    );
    assert_eq!(stage.states(id).await, [RequestState::Delivered]);
    runner.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn what_never_left_the_node_is_no_attempt() {
    let stage = Stage::new().await;
    let id = stage.webhook(A, &[EventType::DeviceRegistered]).await;
    stage.receivers.answer(A, Posted::NotAsked);
    let runner = stage.start(WebhookSettings::default());
    stage.register(1).await;
    pass(60 * MINUTE).await;
    assert!(stage.receivers.seen(A).len() > 5, "more than would be told");
    stage.receivers.answer(A, Posted::Answered(200));
    pass(3 * MINUTE).await;
    assert_eq!(stage.states(id).await, [RequestState::Delivered]);
    runner.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_does_not_open_loses_no_event() {
    let stage = Stage::new().await;
    let id = stage.webhook(A, &[EventType::DeviceRegistered]).await;
    let other_key = Vault::new(MasterKey::random());
    let runner = stage.start_with(other_key, WebhookSettings::default());
    stage.register(1).await;
    pass(60 * MINUTE).await;
    assert_eq!(stage.states(id).await, [RequestState::Waiting]);
    runner.stop(MINUTE).await;
    let runner = stage.start(WebhookSettings::default());
    pass(3 * MINUTE).await;
    assert_eq!(stage.states(id).await, [RequestState::Delivered]);
    runner.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn anything_but_a_2xx_is_a_failure() {
    let stage = Stage::new().await;
    let runner = stage.start(WebhookSettings::default());
    for (number, answer) in [
        Posted::Answered(301),
        Posted::Answered(404),
        Posted::Answered(199),
        Posted::Failed("connect_failed"),
        Posted::Failed("timeout"),
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("https://{number}.example/");
        stage.receivers.answer(&url, answer);
        let id = stage.webhook(&url, &[EventType::DeviceRegistered]).await;
        stage.register(number).await;
        pass(Duration::from_secs(5)).await;
        assert_eq!(
            stage.states(id).await,
            [RequestState::Waiting],
            "{answer:?}"
        );
        assert!(
            stage
                .store
                .remove_webhook(stage.instance, id)
                .await
                .unwrap()
        );
    }
    runner.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_holds_up_nobody_else() {
    let stage = Stage::new().await;
    let hanging = stage.webhook(A, &[EventType::DeviceRegistered]).await;
    let fine = stage.webhook(B, &[EventType::DeviceRegistered]).await;
    stage.receivers.answer(A, Posted::Failed("timeout"));
    for number in 0..100 {
        stage.register(number).await;
    }
    let runner = stage.start(WebhookSettings::default());
    // Less than what one attempt at the other one takes.
    pass(Duration::from_secs(2)).await;
    assert_eq!(stage.receivers.seen(B).len(), 100);
    assert_eq!(stage.states(fine).await, [RequestState::Delivered; 100]);
    assert_eq!(
        stage.receivers.seen(A).len(),
        gateway::POSTS_PER_WEBHOOK_MAX
    );
    // From then on it gets one at a time, until it answers again.
    pass(Duration::from_secs(10)).await;
    assert!(stage.receivers.seen(A).len() < 2 * gateway::POSTS_PER_WEBHOOK_MAX);
    stage.receivers.answer(A, Posted::Answered(200));
    pass(2 * MINUTE).await;
    assert_eq!(stage.states(hanging).await, [RequestState::Delivered; 100]);
    runner.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_for_too_long_is_disabled_until_somebody_enables_it() {
    let stage = Stage::new().await;
    let id = stage.webhook(A, &[EventType::DeviceRegistered]).await;
    stage.receivers.answer(A, Posted::Answered(503));
    let hour = 60 * MINUTE;
    let runner = stage.start(WebhookSettings {
        disable_after: 2 * hour,
        ..WebhookSettings::default()
    });
    for number in 0..3 {
        stage.register(number).await;
        pass(hour).await;
    }
    let disabled = || async {
        let all = stage.store.webhooks(stage.instance).await.unwrap();
        all[0].disabled.clone()
    };
    let told = disabled().await.expect("it is disabled by now");
    assert!(told.since >= BEGIN.after(2 * hour));
    assert_eq!(told.reason, "every request has failed for too long");
    let before = stage.receivers.seen(A).len();
    stage.register(10).await;
    pass(hour).await;
    assert_eq!(stage.receivers.seen(A).len(), before);
    stage.receivers.answer(A, Posted::Answered(200));
    assert!(
        stage
            .store
            .set_webhook(stage.instance, id, None)
            .await
            .unwrap()
    );
    stage.register(11).await;
    pass(MINUTE).await;
    assert_eq!(stage.receivers.seen(A).len(), before + 1);
    assert_eq!(disabled().await, None);
    runner.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_node_had_claimed_is_sent_by_another() {
    let stage = Stage::new().await;
    let id = stage.webhook(A, &[EventType::DeviceRegistered]).await;
    stage.register(1).await;
    let due = stage
        .store
        .due_webhooks(stage.clock.now(), 10)
        .await
        .unwrap();
    let lease = store::publishes::Lease {
        owner: uuid::Uuid::new_v4(),
        until: stage.clock.now().after(2 * MINUTE),
    };
    let claimed = stage
        .store
        .claim_requests(due[0].number, lease, stage.clock.now(), 10)
        .await
        .unwrap()
        .expect("there is one");
    let runner = stage.start(WebhookSettings::default());
    pass(MINUTE).await;
    assert!(stage.receivers.seen(A).is_empty());
    pass(2 * MINUTE).await;
    let seen = stage.receivers.seen(A);
    assert_eq!(seen.len(), 1);
    let request = claimed.requests[0].id.to_string();
    assert_eq!(seen[0].headers["webhook-request-id-uuid"], request);
    assert_eq!(stage.states(id).await, [RequestState::Delivered]);
    runner.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_publish_to_very_many_users_is_told_of_in_pieces() {
    let stage = Stage::new().await;
    let id = stage.webhook(A, &[EventType::PublishToUsersAttempt]).await;
    let runner = stage.start(WebhookSettings::default());
    let number = stage
        .store
        .begin_list(stage.instance, stage.clock.now())
        .await
        .unwrap();
    let user = |number: u64| domain::user::UserId::parse(format!("user-{number:04}")).unwrap();
    let users: Vec<_> = (0..2500)
        .map(|number| store::lists::Listed {
            user: user(number),
            values: None,
        })
        .collect();
    stage.store.extend_list(number, 0, users).await.unwrap();
    let body = br#"{"users":["x"],"fcm":{"data":{}}}"#;
    let mut request = PublishRequest::parse(AudienceKind::Users, body).unwrap();
    request.audience = domain::publish::Audience::List(domain::publish::UserList {
        number,
        users: 2500,
    });
    let gateways = Gateways::new(gateway::Config::default(), Arc::clone(&stage.clock)).unwrap();
    let instances = Instances::new(
        Arc::clone(&stage.store),
        stage.vault.clone(),
        gateways,
        Arc::clone(&stage.clock),
    );
    let instance = instances.get(stage.instance).await.unwrap().unwrap();
    runner.publish(&instance, request, None).await.unwrap();
    pass(MINUTE).await;
    let seen = stage.receivers.seen(A);
    let told: Vec<Vec<Value>> = seen
        .iter()
        .map(|s| {
            s.json()["payload"]["users_no_devices"]
                .as_array()
                .unwrap()
                .clone()
        })
        .collect();
    let lengths: Vec<_> = told.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1000, 1000, 500]);
    let mut all: Vec<_> = told
        .concat()
        .iter()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect();
    all.dedup();
    assert_eq!(all.len(), 2500);
    let events: std::collections::HashSet<_> = seen
        .iter()
        .map(|s| s.json()["metadata"]["event_id"].to_string())
        .collect();
    assert_eq!(events.len(), 3);
    assert_eq!(stage.states(id).await, [RequestState::Delivered; 3]);
    runner.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_settles_what_is_under_way() {
    let stage = Stage::new().await;
    let id = stage.webhook(A, &[EventType::DeviceRegistered]).await;
    stage.receivers.answer(A, Posted::Failed("timeout"));
    let runner = stage.start(WebhookSettings::default());
    stage.register(1).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(stage.receivers.seen(A).len(), 1);
    runner.stop(MINUTE).await;
    let found = stage
        .store
        .webhook_requests(stage.instance, id, None, None, 10);
    let found = found.await.unwrap().unwrap();
    assert_eq!(found[0].attempts, 1, "the attempt counts");
    assert_eq!(found[0].error.as_deref(), Some("timeout"));
}
