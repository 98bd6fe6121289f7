//! A bounded queue between async callers and threads that block.
//!
//! Callers never wait: a full queue refuses at once. Threads sleep until something comes. Once closed, it takes nothing
//! more, and hands out what it has before it tells the threads to end. It has three lanes: what strangers may ask for neither
//! fills the queue for the rest, nor memory; and neither that nor deliveries that are tried again make a group long that the rest
//! waits for.

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
    /// Deliveries that are tried again, of which there are as many at once as a gateway refused while it was out of order.
    Retries,
    /// What devices ask for, which anybody can in any number, and how many names it comes with.
    Devices { names: usize },
}

/// Devices and retries each get one part in so many of a group, whether others wait or not; devices also of the queue.
const SHARE: usize = 4;
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
    retries: VecDeque<T>,
    /// With how many names each has, and all of them have.
    devices: VecDeque<(usize, T)>,
    names: usize,
    closed: bool,
}

impl<T> State<T> {
    fn len(&self) -> usize {
        self.own.len() + self.retries.len() + self.devices.len()
    }
}

impl<T> Queue<T> {
    pub(super) fn new(length_max: usize) -> Self {
        let state = State {
            own: VecDeque::new(),
            retries: VecDeque::new(),
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
            Lane::Retries if state.retries.len() >= self.length_max => return Err(Refused::Full),
            Lane::Retries => state.retries.push_back(item),
            Lane::Devices { names } => {
                let is_full = state.devices.len() >= self.length_max.div_ceil(SHARE);
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

    /// Waits for an item, then moves what is there into `group`, lane by lane: at most `max` items, and at most a share of them for
    /// retries and for devices each. `false` once the queue is closed and empty.
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
        let share = max.div_ceil(SHARE).max(1);
        let retries = state.retries.len().min(share);
        let devices = state.devices.len().min(share);
        // Even a group of one comes round to every lane.
        let room = max.saturating_sub(retries + devices).max(1);
        let own = state.own.len().min(room);
        let mut freed = 0;
        group.extend(state.own.drain(..own));
        group.extend(state.retries.drain(..retries));
        for (names, item) in state.devices.drain(..devices) {
            freed += names;
            group.push(item);
        }
        state.names -= freed;
        true
    }

    /// Takes back what was taken and not begun, to be the first to be taken again.
    pub(super) fn put_back(&self, items: impl DoubleEndedIterator<Item = (Lane, T)>) {
        let mut state = self.lock();
        for (lane, item) in items.rev() {
            match lane {
                Lane::Own => state.own.push_front(item),
                Lane::Retries => state.retries.push_front(item),
                Lane::Devices { names } => {
                    state.names += names;
                    state.devices.push_front((names, item));
                }
            }
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
    fn retries_have_a_share_beside_devices_and_come_back_in_their_order() {
        let queue = Queue::new(100);
        const DEVICES: Lane = Lane::Devices { names: 0 };
        for number in 0..10 {
            for (lane, item) in [(Lane::Retries, 10), (DEVICES, 20), (Lane::Own, 0)] {
                assert_eq!(queue.push(lane, item + number), Ok(()));
            }
        }
        let mut group = Vec::new();
        assert!(queue.take(&mut group, 8));
        assert_eq!(group, [0, 1, 2, 3, 10, 11, 20, 21]);
        queue.put_back([(Lane::Retries, 11), (DEVICES, 20), (DEVICES, 21)].into_iter());
        group.clear();
        assert!(queue.take(&mut group, 8));
        assert_eq!(group, [4, 5, 6, 7, 11, 12, 20, 21]);
        group.clear();
        assert!(queue.take(&mut group, 1));
        assert_eq!(group, [8, 13, 22], "each lane has its turn");
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
        let taken = [(1, 2), (0, 3)].map(|(names, item)| (Lane::Devices { names }, item));
        queue.put_back(taken.into_iter());
        assert_eq!(push(1, 5), Err(Refused::Full), "what is put back counts");
        group.clear();
        assert!(queue.take(&mut group, 100));
        assert_eq!(group, [2, 3, 4]);
        assert_eq!(push(DEVICES_NAMES_MAX, 5), Ok(()));
    }
}
