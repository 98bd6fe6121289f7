//! What each instance has at most of something that all instances share.
//!
//! Invariant: a share is remembered for as long as anybody holds or waits for a part of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use domain::instance::InstanceId;
use tokio::sync::Semaphore;

/// The shares of all instances.
#[derive(Debug)]
pub(crate) struct Shares {
    each: usize,
    by_instance: Mutex<HashMap<InstanceId, Weak<Semaphore>>>,
}

impl Shares {
    /// So much for each.
    pub(crate) fn new(each: usize) -> Self {
        Self {
            each,
            by_instance: Mutex::default(),
        }
    }

    /// The share of an instance.
    pub(crate) fn of(&self, instance: InstanceId) -> Arc<Semaphore> {
        let mut shares = self
            .by_instance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&instance).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.each));
        shares.insert(instance, Arc::downgrade(&share));
        share
    }
}
