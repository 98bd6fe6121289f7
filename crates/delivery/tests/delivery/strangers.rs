//! Web Push hosts that never answer, in numbers: one name can stand for any number of hosts, and whoever subscribes names them.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::device::Platform;
use domain::publish::{AudienceKind, PublishId};
use emulator::{Gateway, Verdict};
use futures_util::future::join_all;
use gateway::Resolver;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{World, settings, wait_for};

/// More than a node has connections to at once, and threads to look names up.
const DEAD: usize = 600;
/// How many threads look names up, as in a process without other settings.
const THREADS: usize = 512;

/// Takes connections to every address of loopback, never says a word, and knows which addresses were tried.
struct Silent {
    port: u16,
    tried: Arc<Mutex<HashSet<IpAddr>>>,
    _task: JoinSet<()>,
}

impl Silent {
    async fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tried = Arc::new(Mutex::new(HashSet::new()));
        let seen = Arc::clone(&tried);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut held = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                let address = connection.local_addr().unwrap().ip();
                seen.lock().unwrap().insert(address);
                held.push(connection);
            }
        });
        Self {
            port,
            tried,
            _task: task,
        }
    }

    fn endpoint(&self, number: usize) -> String {
        let (high, low) = (1 + number / 250, 1 + number % 250);
        format!("https://127.9.{high}.{low}:{}/x", self.port)
    }

    fn tried(&self) -> usize {
        self.tried.lock().unwrap().len()
    }
}

/// Has a thread for each lookup, as the operating system's resolver has, and name servers that never answer for some names: their
/// threads wait, whoever asked has long gone.
#[derive(Debug)]
struct Tarpit {
    threads: Semaphore,
}

#[async_trait]
impl Resolver for Tarpit {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let thread = self.threads.acquire().await.unwrap();
        if host.ends_with(".tarpit.test") {
            thread.forget();
            std::future::pending::<()>().await;
        }
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
    }
}

impl World {
    /// Browsers with these endpoints, subscribed to `interest`.
    async fn browsers(&self, interest: &str, endpoints: impl Iterator<Item = String>) {
        let subscription = self.emulators.create_subscription(None).unwrap();
        let subscription = serde_json::to_value(subscription).unwrap();
        let registering = endpoints.map(|endpoint| {
            let mut subscription = subscription.clone();
            subscription["endpoint"] = json!(endpoint);
            self.browser(interest, subscription)
        });
        join_all(registering).await;
    }

    /// Browsers that are there.
    async fn live_browsers(&self, interest: &str, count: usize) {
        for _ in 0..count {
            let subscription = self.emulators.create_subscription(None).unwrap();
            self.browser(interest, serde_json::to_value(subscription).unwrap())
                .await;
        }
    }

    async fn browser(&self, interest: &str, subscription: Value) {
        let token = STANDARD.encode(subscription.to_string());
        let id = self.register(Platform::Web, &token).await;
        self.subscribe(id, interest).await;
    }

    async fn web_total(&self, expected: u64) {
        wait_for("the live browsers to get it", async || {
            let web = self.emulators.total(Gateway::WebPush, Verdict::Accepted);
            (web == expected).then_some(())
        })
        .await;
    }

    async fn is_finished(&self, publish: PublishId) -> bool {
        let report = self.store.publish_report(self.instance, publish).await;
        report.unwrap().unwrap().finished_at.is_some()
    }
}

fn web() -> Value {
    json!({"web": {"notification": {"title": "hi"}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn many_dead_web_push_hosts_hold_up_nobody_else() {
    let world = World::new().await;
    let node = world.start(settings());
    let silent = Silent::start().await;
    world.live_browsers("before", 1).await;
    let dead = (0..DEAD).map(|number| silent.endpoint(number));
    world.browsers("news", dead).await;
    // Behind all the others.
    world.live_browsers("news", 20).await;
    node.publish(AudienceKind::Interests, &["before"], web())
        .await;
    world.web_total(1).await;
    for copies in 1..=2 {
        let publish = node
            .publish(AudienceKind::Interests, &["news"], web())
            .await;
        world.web_total(1 + 20 * copies).await;
        // They did not wait until it was found out of each other host that it is dead.
        assert!(silent.tried() < DEAD / 2, "{} were tried", silent.tried());
        assert!(!world.is_finished(publish).await);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_web_push_host_is_reached_among_dead_ones() {
    let world = World::new().await;
    let node = world.start(settings());
    let silent = Silent::start().await;
    let dead = (0..100).map(|number| silent.endpoint(number));
    world.browsers("news", dead).await;
    world.live_browsers("news", 20).await;
    let publish = node
        .publish(AudienceKind::Interests, &["news"], web())
        .await;
    world.web_total(20).await;
    assert!(!world.is_finished(publish).await);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_never_looked_up_hold_up_no_other_name() {
    let resolver = Arc::new(Tarpit {
        threads: Semaphore::new(THREADS),
    });
    let world = World::with(|config| {
        config.apns_url = config.apns_url.replace("127.0.0.1", "localhost");
        assert!(config.apns_url.contains("localhost"));
        config.resolver = Arc::<Tarpit>::clone(&resolver);
    })
    .await;
    let mut settings = settings();
    settings.page_length = 1000;
    let node = world.start(settings);
    let dead = (0..DEAD).map(|number| format!("https://{number}.tarpit.test/x"));
    world.browsers("dead", dead).await;
    world.subscribers(Platform::Apns, "news", 20).await;
    let publish = node
        .publish(AudienceKind::Interests, &["dead"], web())
        .await;
    wait_for("all of them to be put off", async || {
        let report = world.store.publish_report(world.instance, publish).await;
        (report.unwrap().unwrap().retries >= DEAD as u64).then_some(())
    })
    .await;
    let alert = json!({"apns": {"aps": {"alert": "hi"}}});
    node.publish(AudienceKind::Interests, &["news"], alert)
        .await;
    wait_for("the name of APNs to be looked up", async || {
        let apns = world.emulators.total(Gateway::Apns, Verdict::Accepted);
        (apns == 20).then_some(())
    })
    .await;
    assert!(resolver.threads.available_permits() > THREADS / 2);
    node.stop().await;
}
