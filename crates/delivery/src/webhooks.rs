//! Tells webhooks what happened: a lane of its own, apart from deliveries to devices.
//!
//! The store queues what is to be told in the transaction in which it happens. This lane looks which webhooks have requests due,
//! and gives each of them a worker, which claims a few, sends them side by side, and settles them together. A receiver that
//! hangs keeps its own worker waiting and nobody else; one whose last attempt failed gets one request at a time. Invariant:
//! a request is claimed before it is sent and settled after, so a crash repeats at most those in flight, with their ids.

mod make;
mod send;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::clock::Clock;
use domain::webhook::EventType;
use futures_util::StreamExt as _;
use futures_util::stream;
use gateway::{POSTS_MAX, POSTS_PER_WEBHOOK_MAX};
use store::Store;
use store::publishes::Lease;
use store::webhooks::{Attempted, Care, ClaimedRequests, DueWebhook, Next, WebhookNumber};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::instances::Instances;
use crate::measure;
use crate::persist::pause;

/// How often it is looked which webhooks have requests due.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often the queues are looked after.
const TEND_EVERY: Duration = Duration::from_secs(10);
/// How many webhooks have a worker at once.
const WORKERS_MAX: usize = 10_000;
/// How long claimed requests are nobody else's; far longer than it takes to send as many as are claimed at once.
const LEASE_LENGTH: Duration = Duration::from_secs(120);
/// How many ended requests one transaction deletes.
const PRUNED_AT_ONCE: usize = 5_000;

/// How webhooks are told.
#[derive(Debug, Clone, Copy)]
pub struct WebhookSettings {
    /// How long a webhook may fail, without a single success, before it is disabled.
    pub disable_after: Duration,
    /// How many requests may wait for one webhook; what happens beyond that it is not told.
    pub waiting_max: usize,
    /// How long requests are kept that were delivered or given up.
    pub keep: Duration,
    /// How many of those one webhook keeps, of either kind.
    pub keep_max: usize,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            disable_after: Duration::from_secs(5 * 24 * 60 * 60),
            waiting_max: 100_000,
            keep: Duration::from_secs(7 * 24 * 60 * 60),
            keep_max: 10_000,
        }
    }
}

/// What the lane needs.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    store: Arc<dyn Store>,
    instances: Arc<Instances>,
    clock: Arc<dyn Clock>,
    owner: Uuid,
    settings: WebhookSettings,
    stopping: CancellationToken,
}

/// The webhooks that have a worker.
type Busy = Arc<Mutex<HashSet<WebhookNumber>>>;

/// A worker's entry among the busy, taken back however it ends.
struct Entry(Busy, WebhookNumber);

impl Entry {
    fn of(busy: &Busy, webhook: WebhookNumber) -> Option<Self> {
        let mut all = busy.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = all.len() < WORKERS_MAX && all.insert(webhook);
        is_new.then(|| Self(Arc::clone(busy), webhook))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.1);
    }
}

impl Lane {
    /// The lane of this node.
    pub(crate) fn new(
        settings: WebhookSettings,
        store: &Arc<dyn Store>,
        instances: &Arc<Instances>,
        clock: &Arc<dyn Clock>,
        stopping: &CancellationToken,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            instances: Arc::clone(instances),
            clock: Arc::clone(clock),
            owner: Uuid::new_v4(),
            settings,
            stopping: stopping.clone(),
        }
    }

    /// Runs until the node stops and what is under way is settled.
    pub(crate) async fn run(self) {
        let places = Arc::new(Semaphore::new(POSTS_MAX));
        let busy = Busy::default();
        let mut workers = JoinSet::new();
        let mut tend_at = Instant::now();
        while !self.stopping.is_cancelled() {
            while workers.try_join_next().is_some() {}
            if Instant::now() >= tend_at {
                self.tend().await;
                tend_at = Instant::now() + TEND_EVERY;
            }
            match self.store.due_webhooks(self.clock.now(), WORKERS_MAX).await {
                Ok(all) => {
                    for due in all {
                        if let Some(entry) = Entry::of(&busy, due.number) {
                            let worker = self.clone().work(due, Arc::clone(&places), entry);
                            workers.spawn(worker);
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "it could not be looked up which webhooks have requests due");
                }
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        while workers.join_next().await.is_some() {}
    }

    /// Sends what a webhook has due, until nothing is.
    async fn work(self, due: DueWebhook, places: Arc<Semaphore>, _entry: Entry) {
        let mut failing = due.failing;
        while !self.stopping.is_cancelled() {
            let limit = if failing { 1 } else { POSTS_PER_WEBHOOK_MAX };
            let now = self.clock.now();
            let lease = Lease {
                owner: self.owner,
                until: now.after(LEASE_LENGTH),
            };
            let claimed = self
                .store
                .claim_requests(due.number, lease, now, limit)
                .await;
            let claimed = match claimed {
                Ok(Some(claimed)) => claimed,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "requests to a webhook could not be claimed");
                    return;
                }
            };
            let attempts = self.attempts(&claimed, &places).await;
            if attempts.is_empty() {
                // Nobody can say what they carry now, or there was no room to send it. Their lease ends.
                return;
            }
            failing = !attempts.iter().any(|a| a.next == Next::Delivered);
            for attempt in &attempts {
                let mut requests = claimed.requests.iter();
                if let Some(request) = requests.find(|r| r.number == attempt.number) {
                    measure::webhook_request(request.event, attempt.next);
                }
            }
            if self.settle(due.number, attempts).await {
                measure::webhook_disabled();
                tracing::error!(
                    instance = %claimed.instance, webhook = %claimed.webhook.id,
                    "a webhook has failed for too long and is disabled: mend its receiver, then enable it again"
                );
            }
        }
    }

    /// Sends claimed requests side by side. Only that a publish has ended is told after all else, so that who is told of its
    /// beginning at the same time hears of that first.
    async fn attempts(&self, claimed: &ClaimedRequests, places: &Semaphore) -> Vec<Attempted> {
        let mut made = Vec::with_capacity(claimed.requests.len());
        for last in [false, true] {
            let is_last = |event| (event == EventType::PublishFinished) == last;
            let numbers = 0..claimed.requests.len();
            let attempts = stream::iter(numbers).map(|number| async move {
                let request = claimed.requests.get(number)?;
                if !is_last(request.event) {
                    return None;
                }
                let _place = places.acquire().await;
                self.attempt(claimed, request).await
            });
            let attempts = attempts.buffer_unordered(POSTS_PER_WEBHOOK_MAX);
            made.extend(
                attempts
                    .filter_map(std::future::ready)
                    .collect::<Vec<_>>()
                    .await,
            );
        }
        made
    }

    /// Writes what became of attempts, trying again while the store fails: for as long, this node sends the webhook nothing else,
    /// and nothing again; another may once the lease has ended. Whether the webhook was disabled by it.
    async fn settle(&self, webhook: WebhookNumber, attempts: Vec<Attempted>) -> bool {
        let now = self.clock.now();
        let mut tries = 0;
        loop {
            let disable_after = self.settings.disable_after;
            let settled = self
                .store
                .settle_requests(webhook, attempts.clone(), disable_after, now)
                .await;
            match settled {
                Ok(disabled) => return disabled,
                Err(error) => {
                    tracing::warn!(%error, "the store did not take what became of a webhook's requests, trying again");
                }
            }
            tries += 1;
            if !pause(tries, LEASE_LENGTH / 3, &self.stopping).await {
                return false;
            }
        }
    }

    /// Keeps the queues within their bounds.
    async fn tend(&self) {
        loop {
            let now = self.clock.now();
            let care = Care {
                now,
                waiting_max: self.settings.waiting_max,
                before: now.before(self.settings.keep),
                ended_max: self.settings.keep_max,
                limit: PRUNED_AT_ONCE,
            };
            match self.store.tend_webhooks(care).await {
                Ok(deleted) if deleted >= PRUNED_AT_ONCE as u64 => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, "the queues of webhooks could not be looked after");
                    return;
                }
            }
            if self.stopping.is_cancelled() {
                return;
            }
        }
    }
}
