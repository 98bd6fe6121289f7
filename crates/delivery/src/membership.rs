//! This node among those on the same store: says that it lives, and learns how many deliver.
//!
//! What a gateway grants to all nodes together is divided among those that live and deliver (see `Sharers`): each keeps to
//! its part without asking anybody, so that a quota costs no call of the store for a delivery. A node that dies leaves its
//! part unused for [`PRESENT_FOR`]; a new one may exceed the whole by its part until the others have heard of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::clock::Clock;
use domain::seal::KeyId;
use store::cluster::Presence;
use store::publishes::Lease;
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often a node says that it lives.
const PRESENT_EVERY: Duration = Duration::from_secs(3);
/// For how long that counts.
pub const PRESENT_FOR: Duration = Duration::from_secs(15);
/// How long a node that stops may take to say so.
const DEPART_TIMEOUT: Duration = Duration::from_secs(2);

/// Among how many nodes what is granted to all of them is divided. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sharers(Arc<AtomicU32>);

impl Default for Sharers {
    /// This node alone.
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl Sharers {
    /// At least one.
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed).max(1)
    }

    /// Whether it was another number before.
    pub(crate) fn set(&self, count: u64) -> bool {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        self.0.swap(count, Ordering::Relaxed) != count
    }
}

/// What it takes to be one of the nodes.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) node: Uuid,
    pub(crate) is_worker: bool,
    /// Its master keys, the one that seals first.
    pub(crate) keys: Vec<KeyId>,
    pub(crate) sharers: Sharers,
    /// All nodes, those that do not deliver too.
    pub(crate) nodes: Sharers,
    pub(crate) stopping: CancellationToken,
}

impl Membership {
    /// Runs until the node stops.
    pub(crate) async fn run(self) {
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(PRESENT_EVERY) => {}
            }
            if let Err(error) = self.present().await {
                tracing::warn!(%error, "the other nodes could not be told of this one");
            }
        }
    }

    /// Says once that the node lives.
    pub(crate) async fn present(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let presence = Presence {
            lease: Lease {
                owner: self.node,
                until: now.after(PRESENT_FOR),
            },
            is_worker: self.is_worker,
            keys: self.keys.clone(),
        };
        let population = self.store.present(presence, now).await?;
        if self.sharers.set(population.workers) {
            let workers = population.workers;
            tracing::info!(workers, "this many nodes deliver now");
        }
        self.nodes.set(population.nodes);
        Ok(())
    }

    /// Says that the node is gone, so that nobody counts on it until its presence ends.
    pub(crate) async fn depart(&self) {
        let departed = tokio::time::timeout(DEPART_TIMEOUT, self.store.depart(self.node)).await;
        if !matches!(departed, Ok(Ok(()))) {
            tracing::debug!("the other nodes could not be told that this one stops");
        }
    }
}
