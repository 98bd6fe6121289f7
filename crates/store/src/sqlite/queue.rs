//! A bounded queue between async callers and threads that block.
//!
//! Callers never wait: a full queue refuses at once. Threads sleep until something comes. Once closed, it takes nothing
//! more, and hands out what it has before it tells the threads to end. It has two lanes, so that what strangers may ask for
//! neither fills the queue for the rest, nor memory, nor makes a group long that the rest waits for.

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

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Whoever has proved something, and what the server does by itself: publishes, deliveries, administration.
    Own,
    /// What devices ask for, which anybody can in any number, and how many names it comes with.
    Devices { names: usize },
}

/// Devices get one part in so many of a group, whether others wait or not, and of the queue.
const DEVICES_SHARE: usize = 4;
/// How many names may wait with what devices ask for: some 20 MB at their longest. Most of what devices ask for has none.
const DEVICES_NAMES_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    length_max: usize,
}

#[derive(Debug)]
struct State<T> {
    own: VecDeque<T>,
    /// With how many names each has, and all of them have.
    devices: VecDeque<(usize, T)>,
    names: usize,
    closed: bool,
}

impl<T> State<T> {
    fn len(&self) -> usize {
        self.own.len() + self.devices.len()
    }
}

impl<T> Queue<T> {
    pub(super) fn new(length_max: usize) -> Self {
        let state = State {
            own: VecDeque::new(),
            devices: VecDeque::new(),
            names: 0,
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

    /// Each lane has a length of its own.
    pub(super) fn push(&self, lane: Lane, item: T) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        match lane {
            Lane::Own if state.own.len() >= self.length_max => return Err(Refused::Full),
            Lane::Own => state.own.push_back(item),
            Lane::Devices { names } => {
                let is_full = state.devices.len() >= self.length_max.div_ceil(DEVICES_SHARE);
                if is_full || names > DEVICES_NAMES_MAX.saturating_sub(state.names) {
                    return Err(Refused::Full);
                }
                state.names += names;
                state.devices.push_back((names, item));
            }
        }
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for an item, then moves what is there, at most `max` items and at most a share of them for devices, into `group`.
    /// `false` once the queue is closed and empty.
    pub(super) fn take(&self, group: &mut Vec<T>, max: usize) -> bool {
        let mut state = self.lock();
        while state.len() == 0 {
            if state.closed {
                return false;
            }
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let max = max.max(1);
        let devices = state.devices.len().min(max.div_ceil(DEVICES_SHARE));
        // Even a group of one comes round to devices.
        let room = max.saturating_sub(devices).max(1);
        let own = state.own.len().min(room);
        let mut freed = 0;
        group.extend(state.own.drain(..own));
        for (names, item) in state.devices.drain(..devices) {
            freed += names;
            group.push(item);
        }
        state.names -= freed;
        true
    }

    /// Takes back what was taken for devices and not begun, to be the first to be taken again.
    pub(super) fn put_back(&self, devices: impl DoubleEndedIterator<Item = (usize, T)>) {
        let mut state = self.lock();
        for (names, item) in devices.rev() {
            state.names += names;
            state.devices.push_front((names, item));
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_refuses_when_full_or_closed_and_hands_out_the_rest() {
        let queue = Queue::new(2);
        let push = |item| queue.push(Lane::Own, item);
        assert_eq!(push(1), Ok(()));
        assert_eq!(push(2), Ok(()));
        assert_eq!(push(3), Err(Refused::Full));
        queue.close();
        assert_eq!(push(3), Err(Refused::Closed));
        let mut group = Vec::new();
        assert!(queue.take(&mut group, 1));
        assert_eq!(group, [1]);
        assert!(queue.take(&mut group, 9));
        assert_eq!(group, [1, 2]);
        assert!(!queue.take(&mut group, 9));
    }

    #[test]
    fn devices_fill_their_own_lane_alone_and_wait_in_no_one_s_way() {
        let queue = Queue::new(8);
        const DEVICES: Lane = Lane::Devices { names: 0 };
        while queue.push(DEVICES, "device").is_ok() {}
        assert_eq!(queue.len(), 2);
        for _ in 0..8 {
            assert_eq!(queue.push(Lane::Own, "own"), Ok(()));
        }
        let mut group = Vec::new();
        assert!(queue.take(&mut group, 4));
        assert_eq!(group, ["own", "own", "own", "device"]);
        group.clear();
        assert!(queue.take(&mut group, 100));
        assert_eq!(group, ["own", "own", "own", "own", "own", "device"]);
        // Alone, they make no long group either.
        let queue = Queue::new(4000);
        for _ in 0..1000 {
            assert_eq!(queue.push(DEVICES, "device"), Ok(()));
        }
        group.clear();
        assert!(queue.take(&mut group, 100));
        assert_eq!(group.len(), 25);
    }

    #[test]
    fn names_have_a_bound_and_what_is_put_back_comes_first() {
        let queue = Queue::new(100);
        let push = |names, item| queue.push(Lane::Devices { names }, item);
        assert_eq!(push(DEVICES_NAMES_MAX - 1, 1), Ok(()));
        assert_eq!(push(2, 2), Err(Refused::Full));
        assert_eq!(push(1, 2), Ok(()));
        assert_eq!(push(0, 3), Ok(()));
        let mut group = Vec::new();
        assert!(queue.take(&mut group, 100));
        assert_eq!(group, [1, 2, 3]);
        assert_eq!(push(DEVICES_NAMES_MAX, 4), Ok(()));
        queue.put_back([(1, 2), (0, 3)].into_iter());
        assert_eq!(push(1, 5), Err(Refused::Full), "what is put back counts");
        group.clear();
        assert!(queue.take(&mut group, 100));
        assert_eq!(group, [2, 3, 4]);
        assert_eq!(push(DEVICES_NAMES_MAX, 5), Ok(()));
    }
}
