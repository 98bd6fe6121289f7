//! Lanes: a publish to a few devices never waits behind one to millions.
//!
//! Every job starts in the express lane, which is wide. One that turns out long must get a place in the bulk lane to go on,
//! which is narrow; while it waits there it sends nothing, and its place in the express lane is free for others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The two lanes of a node.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    express: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

/// A job's place in one of the lanes.
#[derive(Debug)]
pub(crate) struct Permit {
    place: Option<OwnedSemaphorePermit>,
    bulk: Arc<Semaphore>,
}

impl Lanes {
    /// Lanes for this many jobs at once.
    pub(crate) fn new(express: usize, bulk: usize) -> Self {
        Self {
            express: Arc::new(Semaphore::new(express)),
            bulk: Arc::new(Semaphore::new(bulk)),
        }
    }

    /// A place in the express lane, if one is free now.
    pub(crate) fn try_enter(&self) -> Option<Permit> {
        let place = Arc::clone(&self.express).try_acquire_owned().ok()?;
        Some(Permit {
            place: Some(place),
            bulk: Arc::clone(&self.bulk),
        })
    }

    /// How many places are free in the express lane.
    pub(crate) fn free(&self) -> usize {
        self.express.available_permits()
    }
}

impl Permit {
    /// Moves from the express lane to the bulk lane, waiting for a place there.
    pub(crate) async fn leave_express(&mut self) {
        self.place = None;
        // The semaphore is never closed, so this waits until it has a place.
        self.place = Arc::clone(&self.bulk).acquire_owned().await.ok();
    }
}
