//! Runs delivery on one node: takes publishes, starts on them at once, picks up what others left, stops without loss.

mod settings;

use std::sync::Arc;
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use domain::idempotency::{IDEMPOTENCY_KEPT, Idempotency};
use domain::instance::InstanceId;
use domain::publish::{PublishId, PublishRequest};
use store::lookup::{Fresh, Replayed};
use store::publishes::{Accepted, Job, Lease, Once};
use store::{Store, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::fanout::{Fanout, Left};
use crate::instances::{Instance, Instances};
use crate::janitor::Janitor;
use crate::lanes::{Lanes, Permit};
use crate::lease::Leases;
use crate::measure;
use crate::membership::Membership;
use crate::persist::give_back;
use crate::planner::Planner;
use crate::retry::Retries;
use crate::schedule::Schedule;
use crate::trail::{Teller, Trail};
use crate::webhooks::Lane;

pub use settings::{Keep, Settings};

/// What became of a request to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is a publish.
    New(PublishId),
    /// It repeats an earlier request, which made this publish.
    Repeated(PublishId),
    /// Its key was used for another request.
    KeyReused,
}

/// What became of a request to publish again to the devices that a publish failed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// As with any other publish.
    Taken(Taken),
    /// The publish has work left, so its failures are not all known.
    Unfinished,
    /// The publish was not to be sent any more after a time that is past.
    Expired,
    /// There is no such publish.
    Unknown,
}

fn once(idempotency: Idempotency, now: Timestamp) -> Once {
    Once {
        idempotency,
        since: now.before(IDEMPOTENCY_KEPT),
    }
}

/// Delivery on this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runner {
    shared: Arc<Shared>,
}

/// What runs beside the jobs.
struct Parts {
    retries: Retries,
    janitor: Janitor,
    schedule: Schedule,
    membership: Membership,
    teller: Teller,
    webhooks: Lane,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    instances: Arc<Instances>,
    fanout: Fanout,
    planner: Planner,
    trail: Trail,
    leases: Leases,
    lanes: Lanes,
    /// Wakes the search for jobs: some were left for whoever has a place.
    wake: Notify,
    /// Wakes the schedule: a publish may be due earlier than it knows.
    scheduled: Arc<Notify>,
    membership: Membership,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Runner {
    /// Starts delivery: what waits in the store is taken up at once, by a node that delivers.
    pub fn start(
        settings: Settings,
        store: Arc<dyn Store>,
        instances: Arc<Instances>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stopping = CancellationToken::new();
        let (runner, parts) = Self::assemble(settings, store, instances, clock, stopping);
        let Parts {
            retries,
            janitor,
            schedule,
            membership,
            teller,
            webhooks,
        } = parts;
        let tasks = &runner.shared.tasks;
        tasks.spawn(membership.run());
        tasks.spawn(teller.run());
        if runner.shared.settings.is_worker {
            tasks.spawn(retries.run());
            tasks.spawn(janitor.run());
            tasks.spawn(webhooks.run());
            tasks.spawn(schedule.run(runner.clone()));
            tasks.spawn(runner.clone().take_up());
        }
        runner
    }

    /// A node that accepts publishes and delivers none: they are left to the nodes that do.
    pub fn resting(
        settings: Settings,
        store: Arc<dyn Store>,
        instances: Arc<Instances>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stopping = CancellationToken::new();
        stopping.cancel();
        Self::assemble(settings, store, instances, clock, stopping).0
    }

    fn assemble(
        settings: Settings,
        store: Arc<dyn Store>,
        instances: Arc<Instances>,
        clock: Arc<dyn Clock>,
        stopping: CancellationToken,
    ) -> (Self, Parts) {
        let leases = Leases {
            owner: Uuid::new_v4(),
            length: settings.lease,
            clock: Arc::clone(&clock),
        };
        let membership = settings.membership(&store, &leases, &instances, stopping.clone());
        let (trail, teller) = Trail::new(Arc::clone(&store), Arc::clone(&clock), stopping.clone());
        let webhooks = Lane::new(settings.webhooks, &store, &instances, &clock, &stopping);
        let sender = settings.sender(
            &store,
            Arc::clone(&instances),
            Arc::clone(&clock),
            membership.sharers.clone(),
            trail.clone(),
            stopping.clone(),
        );
        let retries = Retries {
            store: Arc::clone(&store),
            sender: sender.clone(),
            leases: leases.clone(),
            clock: Arc::clone(&clock),
            poll: settings.poll,
            spans: settings.spans.clone(),
        };
        let janitor = settings.janitor(&store, &leases, stopping.clone());
        let fanout = settings.fanout(&store, sender, &leases);
        let planner = Planner::of(&settings);
        let schedule = Schedule {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            planner,
            leases: leases.clone(),
            poll: settings.poll,
            wake: Arc::default(),
            stopping: stopping.clone(),
        };
        let shared = Shared {
            lanes: Lanes::new(settings.express_jobs_max, settings.bulk_jobs_max),
            settings,
            store,
            clock,
            instances,
            fanout,
            planner,
            trail,
            leases,
            wake: Notify::new(),
            scheduled: Arc::clone(&schedule.wake),
            membership: membership.clone(),
            stopping,
            tasks: TaskTracker::new(),
        };
        let runner = Self {
            shared: Arc::new(shared),
        };
        let parts = Parts {
            retries,
            janitor,
            schedule,
            membership,
            teller,
            webhooks,
        };
        (runner, parts)
    }

    /// Among how many nodes on the same store what is granted to all of them is divided: those that were alive when this one
    /// looked last, itself at least.
    pub fn nodes(&self) -> u32 {
        self.shared.membership.nodes.count()
    }

    /// Tells the other nodes of this one, before anybody relies on it. Afterwards it does so by itself.
    pub async fn join(&self) -> Result<(), StoreError> {
        self.shared.membership.present().await
    }

    /// Accepts a publish. When this returns, it is durable, and this node is on it (or, if it has its hands full, whoever
    /// has a hand free first), or it waits for its time.
    pub async fn publish(
        &self,
        instance: &Instance,
        request: PublishRequest,
        idempotency: Option<Idempotency>,
    ) -> Result<Taken, StoreError> {
        let shared = &self.shared;
        // A stop waits for it, so that no job is leased to a node that has stopped.
        let _task = shared.tasks.token();
        let kind = request.audience.kind();
        let now = shared.clock.now();
        let (permit, lease) = self.enter();
        let once = idempotency.map(|idempotency| once(idempotency, now));
        let own_webhook = request.webhook.clone();
        let (id, spans) = (PublishId::random(), &shared.settings.spans);
        let mut work = spans.accept(instance.id(), id, kind.as_str());
        let fresh = Fresh {
            id,
            trace: work.parent(),
        };
        let (mut new, plan) = shared
            .planner
            .plan(instance.id(), request, fresh, once, now, lease);
        if let Some(own) = &own_webhook {
            let sealed = shared.instances.vault().seal_brought(id, own);
            new.webhook = Some(sealed.map_err(|error| StoreError::Unavailable(Box::new(error)))?);
        }
        let is_later = new.publish.send_at > new.publish.accepted_at;
        let told = shared.trail.of_publish(&new);
        let accepted = shared.store.create_publish(new, plan).await;
        let jobs = match accepted.inspect_err(|_| work.failed("the store failed"))? {
            Accepted::New(jobs) => jobs,
            Accepted::Repeated(before) => {
                work.was(before);
                return Ok(Taken::Repeated(before));
            }
            Accepted::KeyReused => {
                work.failed("the key was used for another request");
                return Ok(Taken::KeyReused);
            }
        };
        drop(work);
        measure::publish(kind.as_str());
        if let Some(told) = told {
            shared.trail.note(instance.id(), |_| told);
        }
        if is_later {
            shared.scheduled.notify_one();
        } else {
            self.begin(permit, jobs);
        }
        Ok(Taken::New(id))
    }

    /// Where the debug console is told what happens.
    pub fn trail(&self) -> &Trail {
        &self.shared.trail
    }

    /// The publish that the same request made before, if its key still counts.
    pub async fn repeated(
        &self,
        instance: InstanceId,
        idempotency: Idempotency,
    ) -> Result<Option<PublishId>, StoreError> {
        let once = once(idempotency, self.shared.clock.now());
        self.shared.store.repeated_publish(instance, once).await
    }

    /// Accepts a publish of what another one carries to the devices that it failed for.
    pub async fn replay(
        &self,
        instance: InstanceId,
        of: PublishId,
        idempotency: Option<Idempotency>,
    ) -> Result<Replay, StoreError> {
        let shared = &self.shared;
        let _task = shared.tasks.token();
        let now = shared.clock.now();
        let (permit, lease) = self.enter();
        let once = idempotency.map(|idempotency| once(idempotency, now));
        let plan = shared.planner.cut(lease);
        let id = PublishId::random();
        let mut work = shared.settings.spans.accept(instance, id, "failures");
        let fresh = Fresh {
            id,
            trace: work.parent(),
        };
        let replayed = shared
            .store
            .replay_publish(instance, of, fresh, once, plan, now)
            .await;
        let replayed = replayed.inspect_err(|_| work.failed("the store failed"))?;
        match &replayed {
            Replayed::Accepted(_) => {}
            Replayed::Repeated(before) => work.was(*before),
            _ => work.failed("refused"),
        }
        drop(work);
        Ok(match replayed {
            Replayed::Accepted(jobs) => {
                measure::publish("failures");
                self.begin(permit, jobs);
                Replay::Taken(Taken::New(id))
            }
            Replayed::Repeated(before) => Replay::Taken(Taken::Repeated(before)),
            Replayed::KeyReused => Replay::Taken(Taken::KeyReused),
            Replayed::Unfinished => Replay::Unfinished,
            Replayed::Expired => Replay::Expired,
            Replayed::Unknown => Replay::Unknown,
        })
    }

    /// A place in the express lane, with the lease that goes with it, if one is free and the node delivers and is not stopping.
    fn enter(&self) -> (Option<Permit>, Option<Lease>) {
        let shared = &self.shared;
        let takes_work = shared.settings.is_worker && !shared.stopping.is_cancelled();
        let permit = if takes_work {
            shared.lanes.try_enter()
        } else {
            None
        };
        let lease = permit.is_some().then(|| shared.leases.new_lease());
        (permit, lease)
    }

    /// Begins jobs that are leased to this node; without any, looks for those that were left to whoever claims them.
    pub(crate) fn begin(&self, mut permit: Option<Permit>, jobs: Vec<Job>) {
        let shared = &self.shared;
        if jobs.is_empty() || permit.is_none() {
            shared.wake.notify_one();
        }
        for job in jobs {
            // Further shards need a place of their own; without one they go back to be claimed when there is.
            match permit.take().or_else(|| shared.lanes.try_enter()) {
                Some(permit) => self.spawn(job, permit),
                None => self.leave(job),
            }
        }
    }

    /// Stops without loss: nothing new is begun, what gateways have is awaited and settled, the rest goes back to the store. After
    /// `grace` nothing is awaited any more: what is not settled when the process ends is sent again by whoever runs next.
    pub async fn stop(&self, grace: Duration) {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(grace, self.shared.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "some deliveries were still in flight at the end of the grace period; they will be sent again"
            );
        }
        self.shared.membership.depart().await;
    }

    fn spawn(&self, job: Job, permit: Permit) {
        let runner = self.clone();
        self.shared
            .tasks
            .spawn(async move { runner.run(job, permit).await });
    }

    fn leave(&self, job: Job) {
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            give_back(&*shared.store, &job).await;
            shared.wake.notify_one();
        });
    }

    async fn run(self, job: Job, mut permit: Permit) {
        let left = self.shared.fanout.run(&job, &mut permit).await;
        drop(permit);
        if left == Left::Done {
            let duration_ms = millis_since(job.publish.send_at, self.shared.clock.now());
            tracing::debug!(
                publish = %job.publish.id, instance = %job.publish.instance, job = job.id.0, duration_ms,
                "a job of a publish is done"
            );
        }
    }

    /// Takes up jobs that nobody works on: at the start, when a node died, when this one had its hands full.
    async fn take_up(self) {
        let shared = &self.shared;
        while !shared.stopping.is_cancelled() {
            // Asking for the wake-up before looking is what makes it impossible to miss one.
            let woken = shared.wake.notified();
            // Waited for here, so that jobs need not tell of their end: mostly, no other waits for the place.
            let permit = tokio::select! {
                biased;
                () = shared.stopping.cancelled() => break,
                permit = shared.lanes.enter() => permit,
            };
            if self.claim(permit).await {
                continue;
            }
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => {}
                () = woken => {}
                () = shared.store.wait_for_work() => {}
                () = tokio::time::sleep(shared.settings.poll) => {}
            }
        }
    }

    /// Claims as many jobs as there are places. Whether there may be more.
    async fn claim(&self, permit: Option<Permit>) -> bool {
        let shared = &self.shared;
        let places = usize::from(permit.is_some()) + shared.lanes.free();
        let claimed =
            shared
                .store
                .claim_jobs(shared.leases.new_lease(), shared.clock.now(), places);
        match claimed.await {
            Ok(jobs) => {
                let (any, mut permit) = (!jobs.is_empty(), permit);
                for job in jobs {
                    match permit.take().or_else(|| shared.lanes.try_enter()) {
                        Some(permit) => self.spawn(job, permit),
                        None => self.leave(job),
                    }
                }
                any
            }
            Err(error) => {
                tracing::warn!(%error, "jobs could not be claimed");
                false
            }
        }
    }
}

/// How long ago `earlier` was, for logs.
fn millis_since(earlier: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.since(earlier).as_millis()).unwrap_or(u64::MAX)
}
