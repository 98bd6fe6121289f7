//! Hosts that take their time to say that they want less, in virtual time: a store in memory, gateways that a script plays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::gates::HostLimits;
use delivery::instances::Instances;
use delivery::runner::{Runner, Settings, Taken};
use delivery::vault::Vault;
use domain::clock::{Clock, Timestamp};
use domain::device::{
    DeviceId, DeviceMetadata, GatewayToken, Platform, Registration, WebPushSubscription,
};
use domain::instance::{InstanceId, InstanceName, SecretKey};
use domain::interest::InterestName;
use domain::outcome::Outcome;
use domain::publish::{AudienceKind, PublishId, PublishRequest};
use domain::seal::MasterKey;
use futures_util::future::BoxFuture;
use gateway::{Attempt, Delivery, Gateways, Script};
use serde_json::json;
use store::Store;
use store::devices::Changed;
use store::lookup::PublishReport;
use store::memory::MemoryStore;
use tokio::time::Instant;

/// How long a slow host takes to answer: less than the timeout of requests.
const SLOWLY: Duration = Duration::from_secs(29);

#[derive(Debug)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000).after(self.0.elapsed())
    }
}

/// What a push service answers, by what its name begins with.
#[derive(Debug, Default)]
struct Services {
    /// How often each was asked.
    asked: Mutex<BTreeMap<String, u32>>,
}

impl Services {
    /// How often those were asked whose names begin so.
    fn asked(&self, begin: &str) -> u32 {
        let asked = self.asked.lock().unwrap();
        let of_them = asked.iter().filter(|(origin, _)| origin.starts_with(begin));
        of_them.map(|(_, times)| times).sum()
    }

    async fn answer(&self, delivery: &Delivery<'_>) -> Outcome {
        let GatewayToken::Web(subscription) = &delivery.recipient.token else {
            panic!("browsers alone are registered")
        };
        let origin = subscription.origin().to_owned();
        let before = {
            let mut asked = self.asked.lock().unwrap();
            let asked = asked.entry(origin.clone()).or_default();
            *asked += 1;
            *asked - 1
        };
        let throttled = |after| Outcome::Retry {
            reason: "too_many_requests".into(),
            after,
        };
        match origin.strip_prefix("https://").unwrap() {
            // Wants less, and says so late.
            name if name.starts_with("slow") => {
                tokio::time::sleep(SLOWLY).await;
                throttled(None)
            }
            // Fails, but takes enough of them in between to be pressed hard.
            name if name.starts_with("sly") => {
                tokio::time::sleep(SLOWLY).await;
                match before % 10 {
                    0 => Outcome::Accepted,
                    _ => Outcome::retry("internal_server_error"),
                }
            }
            // Takes it, but late.
            name if name.starts_with("late") => {
                tokio::time::sleep(SLOWLY).await;
                Outcome::Accepted
            }
            // Has a bad moment.
            name if name.starts_with("busy") && before < 3 => Outcome::retry("unavailable"),
            _ => Outcome::Accepted,
        }
    }
}

impl Script for Services {
    fn send<'a>(&'a self, _: Platform, delivery: &'a Delivery<'a>) -> BoxFuture<'a, Attempt> {
        Box::pin(async { self.answer(delivery).await.into() })
    }

    fn in_flight_limit(&self, _: Platform) -> usize {
        1000
    }
}

struct Stage {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Vault,
    services: Arc<Services>,
    instances: Arc<Instances>,
}

impl Stage {
    fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock(Instant::now()));
        let vault = Vault::new(MasterKey::random());
        let services = Arc::<Services>::default();
        let gateways = Gateways::new(gateway::Config::default(), Arc::clone(&clock)).unwrap();
        let gateways = gateways.scripted(Arc::clone(&services) as _);
        let instances = Instances::new(
            Arc::clone(&store),
            vault.clone(),
            gateways,
            Arc::clone(&clock),
        );
        Self {
            store,
            clock,
            vault,
            services,
            instances,
        }
    }

    fn start(&self, hosts: HostLimits) -> Runner {
        let settings = Settings {
            hosts,
            // So that a publish is many jobs.
            job_span: 1000,
            ..Settings::default()
        };
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Runner::start(settings, store, Arc::clone(&self.instances), clock)
    }

    async fn instance(&self, name: &str) -> InstanceId {
        let instance = InstanceId::random();
        let name = InstanceName::parse(name).unwrap();
        let new = self
            .vault
            .new_instance(instance, name, &SecretKey::random(), self.clock.now());
        self.store.create_instance(new.unwrap()).await.unwrap();
        instance
    }

    /// Browsers of an instance with this push service, all subscribed to "news".
    async fn browsers(&self, instance: InstanceId, service: &str, count: usize) {
        for number in 0..count {
            let endpoint = format!("https://{service}/{number}");
            let keys = [7; WebPushSubscription::KEYS_LENGTH];
            let token = GatewayToken::from_parts(Platform::Web, &endpoint, Some(&keys));
            let registration = Registration {
                instance,
                token: token.unwrap(),
                bundle_id: None,
                metadata: DeviceMetadata::default(),
            };
            let (id, now) = (DeviceId::random(Platform::Web), self.clock.now());
            let registered = self.store.register_device(registration, id, None, now);
            registered.await.unwrap();
            let news = InterestName::parse("news").unwrap();
            let added = self.store.add_interest(instance, id, news, 10, now).await;
            assert_eq!(added.unwrap(), Changed::Done);
        }
    }

    async fn publish(&self, runner: &Runner, instance: InstanceId) -> PublishId {
        let body = json!({"interests": ["news"], "web": {"notification": {"title": "hi"}}});
        let body = body.to_string();
        let request = PublishRequest::parse(AudienceKind::Interests, body.as_bytes()).unwrap();
        let instance = self.instances.get(instance).await.unwrap().unwrap();
        match runner.publish(&instance, request, None).await.unwrap() {
            Taken::New(id) => id,
            other => panic!("{other:?}"),
        }
    }

    async fn report(&self, instance: InstanceId, publish: PublishId) -> PublishReport {
        let report = self.store.publish_report(instance, publish).await;
        report.unwrap().unwrap()
    }

    /// How long it takes until what is asked for is so.
    async fn until(&self, mut ask: impl AsyncFnMut() -> bool) -> Duration {
        const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
        let began = Instant::now();
        while !ask().await {
            assert!(began.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        began.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_throttles_slowly_holds_up_no_fanout_and_no_retry() {
    let stage = Stage::new();
    let (attacked, other) = (
        stage.instance("attacked").await,
        stage.instance("other").await,
    );
    // A page of them comes before the browsers of everybody else.
    stage.browsers(attacked, "slow.example", 1500).await;
    stage.browsers(attacked, "push.example", 20).await;
    stage.browsers(other, "busy.example", 20).await;
    let runner = stage.start(HostLimits::default());
    stage.publish(&runner, attacked).await;
    let services = &stage.services;
    let waited = stage
        .until(async || services.asked("https://push.example") >= 20)
        .await;
    assert!(waited < 4 * SLOWLY, "{waited:?}");
    let publish = stage.publish(&runner, other).await;
    let waited = stage
        .until(async || stage.report(other, publish).await.finished_at.is_some())
        .await;
    assert!(waited < SLOWLY, "{waited:?}");
    runner.stop(2 * SLOWLY).await;
}

#[tokio::test(start_paused = true)]
async fn slow_hosts_of_one_instance_leave_room_for_the_retries_of_others() {
    let stage = Stage::new();
    let (attacked, other) = (
        stage.instance("attacked").await,
        stage.instance("other").await,
    );
    for number in 0..5 {
        let service = format!("sly{number}.example");
        stage.browsers(attacked, &service, 1000).await;
    }
    stage.browsers(other, "busy.example", 20).await;
    let runner = stage.start(HostLimits::default());
    stage.publish(&runner, attacked).await;
    // All were tried once, and as many as may be are being tried again.
    let services = &stage.services;
    stage
        .until(async || services.asked("https://sly") > 6500)
        .await;
    let publish = stage.publish(&runner, other).await;
    let waited = stage
        .until(async || stage.report(other, publish).await.finished_at.is_some())
        .await;
    assert!(services.asked("https://busy") > 20, "some were retried");
    assert!(waited < SLOWLY / 2, "{waited:?}");
    runner.stop(2 * SLOWLY).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_awaits_what_a_gateway_has_and_parks_what_waits_for_its_place() {
    let stage = Stage::new();
    let instance = stage.instance("slow").await;
    stage.browsers(instance, "late.example", 50).await;
    let runner = stage.start(HostLimits {
        in_flight_max: 2,
        ..HostLimits::default()
    });
    let publish = stage.publish(&runner, instance).await;
    let services = &stage.services;
    // The first answer lets two more in.
    stage
        .until(async || services.asked("https://late") == 3)
        .await;
    let began = Instant::now();
    runner.stop(Duration::from_secs(3600)).await;
    assert!(began.elapsed() <= SLOWLY, "{:?}", began.elapsed());
    assert_eq!(services.asked("https://late"), 3);
    let report = stage.report(instance, publish).await;
    assert_eq!((report.retries, report.finished_at), (47, None));
}
