//! What really happened, seen from outside of the nodes: what reached the gateways, and what the store handed out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use domain::clock::Timestamp;
use domain::idempotency::IdempotencyKey;
use domain::publish::PublishId;
use store::publishes::{Job, JobId, NewPublish, RetryBatch};
use tokio::time::Instant;

/// What became of one publish at the gateways.
#[derive(Debug, Default, Clone)]
pub(crate) struct Account {
    /// How often a gateway took it, by device.
    pub(crate) accepted: BTreeMap<usize, u32>,
    /// The devices of which a gateway said something final: taken, dead, refused.
    pub(crate) ended: BTreeSet<usize>,
    /// Deliveries that a gateway took and whose answers got lost.
    pub(crate) answers_lost: u64,
    /// How often a job was claimed that somebody had claimed before and not given back.
    pub(crate) takeovers: u64,
    /// How often a retry was.
    pub(crate) reclaims: u64,
}

impl Account {
    /// How many copies came beyond the first to each device.
    pub(crate) fn repeated(&self) -> u64 {
        self.accepted
            .values()
            .map(|count| u64::from(count - 1))
            .sum()
    }
}

/// A publish that the store has.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: PublishId,
    /// The key of the request that made it.
    pub(crate) key: Option<IdempotencyKey>,
    /// The devices that it was for when it was accepted, or when its time came.
    pub(crate) audience: BTreeSet<usize>,
}

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    pages: Mutex<Pages>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Pages {
    stored: Vec<Stored>,
    /// Those whose time has not come.
    scheduled: Vec<NewPublish>,
    /// Devices that their owners deleted.
    deleted: BTreeSet<usize>,
    /// What must not happen and did.
    wrong: Vec<String>,
    accounts: HashMap<PublishId, Account>,
    claimed: BTreeSet<i64>,
    released: BTreeSet<i64>,
    retries_claimed: BTreeSet<i64>,
    trace: Vec<String>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            pages: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// Adds a line to the story of the run.
    pub(crate) fn note(&self, what: &str) {
        let at = self.started.elapsed().as_millis();
        let line = format!("{at:>8} ms  {what}");
        self.pages.lock().unwrap().trace.push(line);
    }

    pub(crate) fn trace(&self) -> Vec<String> {
        self.pages.lock().unwrap().trace.clone()
    }

    pub(crate) fn stored(&self, stored: Stored) {
        let size = stored.audience.len();
        let number = {
            let mut pages = self.pages.lock().unwrap();
            pages.stored.push(stored);
            pages.stored.len()
        };
        self.note(&format!("publish {number} to {size} devices is stored"));
    }

    pub(crate) fn scheduled(&self, new: NewPublish) {
        self.note("a publish is stored for later");
        self.pages.lock().unwrap().scheduled.push(new);
    }

    /// Takes out those whose time has come.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<NewPublish> {
        let mut pages = self.pages.lock().unwrap();
        let is_due = |new: &mut NewPublish| new.publish.send_at <= now;
        pages.scheduled.extract_if(.., is_due).collect()
    }

    pub(crate) fn has_scheduled(&self) -> bool {
        !self.pages.lock().unwrap().scheduled.is_empty()
    }

    /// A publish was called off.
    pub(crate) fn cancelled(&self, publish: PublishId) {
        self.note("a publish is called off");
        let mut pages = self.pages.lock().unwrap();
        pages.scheduled.retain(|new| new.publish.id != publish);
    }

    pub(crate) fn deleted(&self, device: usize) {
        self.pages.lock().unwrap().deleted.insert(device);
    }

    pub(crate) fn deletions(&self) -> BTreeSet<usize> {
        self.pages.lock().unwrap().deleted.clone()
    }

    pub(crate) fn blame(&self, what: String) {
        self.pages.lock().unwrap().wrong.push(what);
    }

    pub(crate) fn wrong(&self) -> Option<String> {
        self.pages.lock().unwrap().wrong.first().cloned()
    }

    pub(crate) fn publishes(&self) -> Vec<Stored> {
        self.pages.lock().unwrap().stored.clone()
    }

    pub(crate) fn account(&self, publish: PublishId) -> Account {
        let pages = self.pages.lock().unwrap();
        pages.accounts.get(&publish).cloned().unwrap_or_default()
    }

    /// A gateway is handed a delivery.
    pub(crate) fn attempted(&self, publish: PublishId) {
        let pages = self.pages.lock().unwrap();
        let is_early = pages.scheduled.iter().any(|new| new.publish.id == publish);
        drop(pages);
        if is_early {
            self.blame("a publish was sent before its time".into());
        }
    }

    /// A gateway said something final of a delivery.
    pub(crate) fn ended(&self, publish: PublishId, device: usize, accepted: bool) {
        let mut pages = self.pages.lock().unwrap();
        let account = pages.accounts.entry(publish).or_default();
        account.ended.insert(device);
        if accepted {
            *account.accepted.entry(device).or_default() += 1;
        }
    }

    pub(crate) fn answer_lost(&self, publish: PublishId) {
        let mut pages = self.pages.lock().unwrap();
        pages.accounts.entry(publish).or_default().answers_lost += 1;
    }

    /// The store hands out jobs.
    pub(crate) fn jobs(&self, jobs: &[Job]) {
        let mut pages = self.pages.lock().unwrap();
        for job in jobs {
            // Who gave a job back sends nothing more of it.
            let was_released = pages.released.remove(&job.id.0);
            if !pages.claimed.insert(job.id.0) && !was_released {
                pages.accounts.entry(job.publish.id).or_default().takeovers += 1;
            }
        }
    }

    /// The store took a job back.
    pub(crate) fn released(&self, job: JobId) {
        self.pages.lock().unwrap().released.insert(job.0);
    }

    /// The store hands out retries.
    pub(crate) fn retries(&self, batches: &[RetryBatch]) {
        let mut pages = self.pages.lock().unwrap();
        for batch in batches {
            for retry in &batch.retries {
                if !pages.retries_claimed.insert(retry.id.0) {
                    pages.accounts.entry(batch.publish.id).or_default().reclaims += 1;
                }
            }
        }
    }
}
