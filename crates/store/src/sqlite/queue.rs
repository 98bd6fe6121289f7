//! A bounded queue between async callers and threads that block.
//!
//! Callers never wait: a full queue refuses at once. Threads sleep until something comes. Once closed, it takes nothing
//! more, and hands out what it has before it tells the threads to end.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Why an item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many items wait as may.
    Full,
    /// The queue is closed.
    Closed,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    length_max: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(length_max: usize) -> Self {
        let state = State {
            items: VecDeque::new(),
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            arrived: Condvar::new(),
            length_max: length_max.max(1),
        }
    }

    /// The lock is never held while foreign code runs, so a poisoned one still guards a sound state.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, item: T) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.items.len() >= self.length_max {
            return Err(Refused::Full);
        }
        state.items.push_back(item);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for an item, then moves what is there, at most `max` items, into `group`. `false` once the queue is closed
    /// and empty.
    pub(super) fn take(&self, group: &mut Vec<T>, max: usize) -> bool {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return false;
            }
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.items.len().min(max.max(1));
        group.extend(state.items.drain(..count));
        true
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_refuses_when_full_or_closed_and_hands_out_the_rest() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.push(3), Err(Refused::Full));
        queue.close();
        assert_eq!(queue.push(3), Err(Refused::Closed));
        let mut group = Vec::new();
        assert!(queue.take(&mut group, 1));
        assert_eq!(group, [1]);
        assert!(queue.take(&mut group, 9));
        assert_eq!(group, [1, 2]);
        assert!(!queue.take(&mut group, 9));
    }
}
