//! The publishes that were read last. A publish does not change once it is written, so nothing here goes out of date; it is
//! bounded by count, the least recently used going first. A number comes back only where a database has lost what it had taken,
//! as after a failover to a server that was behind: whoever works on one that several servers may have asks with its id, too.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Stored;

#[derive(Debug)]
pub(crate) struct PublishCache {
    entries: Mutex<Entries>,
    length_max: usize,
}

#[derive(Debug, Default)]
struct Entries {
    by_number: HashMap<i64, (u64, Stored)>,
    uses: u64,
}

impl PublishCache {
    pub(crate) fn new(length_max: usize) -> Self {
        Self {
            entries: Mutex::default(),
            length_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, number: i64) -> Option<Stored> {
        let mut entries = self.lock();
        entries.uses += 1;
        let now = entries.uses;
        let (used, stored) = entries.by_number.get_mut(&number)?;
        *used = now;
        Some(stored.clone())
    }

    pub(crate) fn put(&self, number: i64, stored: Stored) {
        let mut entries = self.lock();
        entries.uses += 1;
        let now = entries.uses;
        entries.by_number.insert(number, (now, stored));
        if entries.by_number.len() > self.length_max {
            // An eighth at once, so that the search for the oldest is paid once for many.
            let mut used: Vec<u64> = entries.by_number.values().map(|(used, _)| *used).collect();
            let surplus = (self.length_max / 8).min(used.len() - 1);
            let (_, bound, _) = used.select_nth_unstable(surplus);
            let bound = *bound;
            entries.by_number.retain(|_, (used, _)| *used > bound);
        }
    }

    pub(crate) fn clear(&self) {
        self.lock().by_number.clear();
    }
}
