//! One run: nodes start, publishes are made, blows fall, and at last everything has its end.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::instances::Instances;
use delivery::jitter::Jitter;
use delivery::runner::{Runner, Settings, Taken};
use domain::idempotency::{Fingerprint, Idempotency, IdempotencyKey};
use domain::publish::{AudienceKind, PublishId, PublishRequest};
use serde_json::json;
use store::Store;
use store::conformance::world::Dice;
use store::lookup::Cancelled;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check;
use crate::faulty::FaultyStore;
use crate::gateways::FaultyGateways;
use crate::node::Pulse;
use crate::plot::{Blow, Plan, Plot};
use crate::world::{World, interest, keys, user};

/// By when everything must be over once all trouble has ended, in virtual time.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// How long a caller waits for an answer.
const CALLER_PATIENCE: Duration = Duration::from_secs(5);
/// How long the last stop may take, in virtual time.
const GRACE: Duration = Duration::from_secs(3600);

/// What a run had in it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) publishes: u64,
    pub(crate) deliveries: u64,
    pub(crate) accepted: u64,
    pub(crate) repeated: u64,
    pub(crate) takeovers: u64,
    pub(crate) reclaims: u64,
    pub(crate) virtual_secs: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, other: &Self) {
        self.publishes += other.publishes;
        self.deliveries += other.deliveries;
        self.accepted += other.accepted;
        self.repeated += other.repeated;
        self.takeovers += other.takeovers;
        self.reclaims += other.reclaims;
        self.virtual_secs += other.virtual_secs;
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} publishes, {} deliveries, {} accepted by gateways, {} of them repeated; {} jobs and {} retries taken over; \
             {} hours of virtual time",
            self.publishes,
            self.deliveries,
            self.accepted,
            self.repeated,
            self.takeovers,
            self.reclaims,
            self.virtual_secs / 3600
        )
    }
}

/// A run in which nothing was wrong.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) trace: Vec<String>,
    pub(crate) sum: Sum,
}

/// Runs a seed. What was wrong, with the story of the run, if anything was.
pub(crate) fn seed(seed: u64) -> Result<Outcome, String> {
    // Keys are made outside of the paused time.
    keys();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(run(seed))
}

async fn run(seed: u64) -> Result<Outcome, String> {
    let mut dice = Dice(seed);
    let plot = Plot::draw(&mut dice);
    let world = Arc::new(World::new(plot, dice).await);
    let begin = Instant::now();
    let cluster = Cluster::start(&world);
    let answered = Arc::<Mutex<Vec<PublishId>>>::default();
    let mut publishing = JoinSet::new();
    for (number, plan) in world.plot.publishes.iter().enumerate() {
        let (plan, answered) = (*plan, Arc::clone(&answered));
        let cluster = cluster.clone();
        publishing.spawn(async move {
            tokio::time::sleep_until(begin + plan.at).await;
            let published = cluster.publish(number, plan).await;
            answered.lock().unwrap().extend(published);
            if let (Some(id), Some(after)) = (published, plan.cancelled_after) {
                tokio::time::sleep(after).await;
                cluster.cancel(id).await;
            }
        });
    }
    for (at, device) in &world.plot.deletions {
        let (at, device, world) = (begin + *at, *device, Arc::clone(&world));
        publishing.spawn(async move {
            tokio::time::sleep_until(at).await;
            world.delete(device).await;
        });
    }
    let mut blows = JoinSet::new();
    for (at, node, blow) in &world.plot.blows {
        let (at, node, blow, cluster) = (begin + *at, *node, *blow, cluster.clone());
        blows.spawn(async move {
            tokio::time::sleep_until(at).await;
            cluster.strike(node, blow).await;
        });
    }
    tokio::time::sleep_until(begin + world.plot.trouble).await;
    world.end_trouble();
    blows.join_all().await;
    let stuck = cluster.settle().await;
    // What is still waiting for a node that is gone waits for ever.
    publishing.abort_all();
    let answered = answered.lock().unwrap().clone();
    let checked = match stuck {
        Some(stuck) => Err(stuck),
        None => check::everything(&world, &answered).await,
    };
    cluster.stop().await;
    let trace = world.ledger.trace();
    match checked {
        Ok(mut sum) => {
            sum.virtual_secs = begin.elapsed().as_secs();
            Ok(Outcome { trace, sum })
        }
        Err(wrong) => Err(format!("{wrong}\n{:#?}\n{}", world.plot, trace.join("\n"))),
    }
}

struct Node {
    pulse: Arc<Pulse>,
    runner: Runner,
    instances: Arc<Instances>,
}

/// The nodes; a place is empty while its node is being stopped or is gone.
#[derive(Clone)]
struct Cluster {
    world: Arc<World>,
    places: Arc<Mutex<Vec<Option<Arc<Node>>>>>,
}

impl Cluster {
    fn start(world: &Arc<World>) -> Self {
        let cluster = Self {
            world: Arc::clone(world),
            places: Arc::new(Mutex::new(vec![None; world.plot.nodes])),
        };
        for place in 0..world.plot.nodes {
            cluster.start_node(place);
        }
        cluster
    }

    fn start_node(&self, place: usize) {
        let pulse = Arc::new(Pulse::new());
        let (world, keys) = (&self.world, keys());
        let store: Arc<dyn Store> = Arc::new(FaultyStore {
            world: Arc::clone(world),
            pulse: Arc::clone(&pulse),
        });
        let gateways = keys.gateways.scripted(Arc::new(FaultyGateways {
            world: Arc::clone(world),
            pulse: Arc::clone(&pulse),
        }));
        let clock = Arc::clone(&world.clock);
        let vault = keys.vault.clone();
        let instances = Instances::new(Arc::clone(&store), vault, gateways, Arc::clone(&clock));
        let dice = Arc::clone(world);
        let settings = Settings {
            jitter: Jitter::new(move || dice.jitter()),
            ..world.plot.settings.clone()
        };
        let runner = Runner::start(settings, store, Arc::clone(&instances), clock);
        world.ledger.note(&format!("node {place} starts"));
        self.places.lock().unwrap()[place] = Some(Arc::new(Node {
            pulse,
            runner,
            instances,
        }));
    }

    fn take(&self, place: usize) -> Option<Arc<Node>> {
        self.places.lock().unwrap()[place].take()
    }

    fn node(&self, place: usize) -> Option<Arc<Node>> {
        self.places.lock().unwrap()[place].clone()
    }

    async fn strike(&self, place: usize, blow: Blow) {
        let ledger = &self.world.ledger;
        match blow {
            Blow::Crash { back_after } => {
                let Some(node) = self.take(place) else { return };
                node.pulse.crash();
                ledger.note(&format!("node {place} crashes"));
                tokio::time::sleep(back_after).await;
                self.start_node(place);
            }
            Blow::Stall { lasts } => {
                let Some(node) = self.node(place) else { return };
                node.pulse.stall();
                ledger.note(&format!("node {place} stalls for {lasts:?}"));
                tokio::time::sleep(lasts).await;
                node.pulse.go_on();
                if !node.pulse.is_gone() {
                    ledger.note(&format!("node {place} goes on"));
                }
            }
            Blow::Stop { grace } => {
                let Some(node) = self.take(place) else { return };
                ledger.note(&format!("node {place} is to stop within {grace:?}"));
                node.runner.stop(grace).await;
                // The process ends, and whatever is left of it with it.
                node.pulse.crash();
                ledger.note(&format!("node {place} has stopped"));
                self.start_node(place);
            }
        }
    }

    /// Makes a publish through one of the nodes. Its id if it was answered. A request that has a key is repeated until it is
    /// answered, as a backend would.
    async fn publish(&self, number: usize, plan: Plan) -> Option<PublishId> {
        let mut request = self.request();
        let now = self.world.clock.now();
        request.send_at = plan.sent_after.map(|after| now.after(after));
        let idempotency = plan.has_key.then(|| Idempotency {
            key: IdempotencyKey::parse(format!("key-{number}").as_bytes()).unwrap(),
            fingerprint: Fingerprint::of("publish", &[]),
        });
        let Some(idempotency) = idempotency else {
            return self.publish_once(request, None).await;
        };
        loop {
            let call = self.publish_once(request.clone(), Some(idempotency.clone()));
            if let Ok(Some(id)) = tokio::time::timeout(CALLER_PATIENCE, call).await {
                // Now and then it does not believe its eyes.
                if self.world.roll(2) == 0 {
                    return Some(id);
                }
            }
            tokio::time::sleep(CALLER_PATIENCE / 10).await;
        }
    }

    async fn publish_once(
        &self,
        request: PublishRequest,
        idempotency: Option<Idempotency>,
    ) -> Option<PublishId> {
        let places = self.world.plot.nodes;
        let first = self.world.roll(places);
        let found = (0..places).find_map(|step| self.node((first + step) % places));
        let node = found?;
        let instance = node.instances.get(keys().instance).await.ok()??;
        match node.runner.publish(&instance, request, idempotency).await {
            Ok(Taken::New(id) | Taken::Repeated(id)) => Some(id),
            _ => None,
        }
    }

    async fn cancel(&self, publish: PublishId) {
        let (store, now) = (&self.world.store, self.world.clock.now());
        let cancelled = store.cancel_publish(keys().instance, publish, now).await;
        if cancelled.unwrap() == Cancelled::Done {
            self.world.ledger.cancelled(publish);
        }
    }

    fn request(&self) -> PublishRequest {
        let world = &self.world;
        let plot = &world.plot;
        let mut body = json!({});
        let kind = if world.roll(3) == 0 {
            let names = (0..=world.roll(plot.users)).map(|_| user(world.roll(plot.users)));
            body["users"] = json!(names.collect::<Vec<_>>());
            AudienceKind::Users
        } else {
            let names = (0..=world.roll(3)).map(|_| interest(world.roll(plot.interests)));
            body["interests"] = json!(names.collect::<Vec<_>>());
            AudienceKind::Interests
        };
        let which = world.roll(5);
        if which != 0 {
            body["apns"] = json!({"aps": {"alert": "hello"}});
        }
        if which != 1 {
            body["fcm"] = json!({"notification": {"title": "hello"}});
        }
        if which != 2 {
            body["web"] = json!({"notification": {"title": "hello"}});
        }
        if let Some(secs) = plot.time_to_live_secs {
            for platform in ["fcm", "web"] {
                if body.get(platform).is_some() {
                    body[platform]["time_to_live"] = json!(secs);
                }
            }
        }
        PublishRequest::parse(kind, body.to_string().as_bytes()).unwrap()
    }

    /// Waits until every publish is finished; what still waits if that takes too long.
    async fn settle(&self) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let depth = self.world.store.queue_depth(self.world.clock.now()).await;
            let depth = depth.unwrap();
            if depth.jobs == 0 && depth.retries == 0 && check::all_finished(&self.world).await {
                return None;
            }
            if Instant::now() > deadline {
                return Some(format!("it does not come to its end: {depth:?}"));
            }
        }
    }

    async fn stop(&self) {
        for place in 0..self.world.plot.nodes {
            if let Some(node) = self.take(place) {
                node.runner.stop(GRACE).await;
            }
        }
    }
}
