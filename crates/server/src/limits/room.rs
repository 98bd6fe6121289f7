//! Room in memory for what callers begin to send and do not finish, and for what they ask for and do not read.
//!
//! Invariant: beyond a first few KiB of each body and answer, which are free, no more is held than there is room for, and no
//! address holds more than its share of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::caller;

/// How many bytes of each body and each answer take no room. Nearly all have no more, so that whoever takes all room is in the
/// way of large ones alone.
pub(crate) const FREE_BYTES: usize = 4096;
/// One address may take so great a part of the room: a quarter.
const SHARES: usize = 4;

/// The room of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    taken: Arc<Mutex<Taken>>,
    max: usize,
}

/// Bytes, in all and of each address that holds any.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The room that one caller may take.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    rooms: Rooms,
    of: Option<IpAddr>,
}

/// What is held for one body or answer, until dropped.
#[derive(Debug)]
pub(crate) struct Held {
    room: Room,
    bytes: usize,
}

impl Rooms {
    /// Of so many bytes; zero is no limit.
    pub(crate) fn new(max: usize) -> Self {
        tell(0);
        Self {
            taken: Arc::default(),
            max,
        }
    }

    /// The room for a caller at this address. `is_proxy` says whether it stands for many callers: they have no share then, and all
    /// that there is, as this machine has.
    pub(crate) fn of(&self, from: IpAddr, is_proxy: bool) -> Room {
        Room {
            rooms: self.clone(),
            of: caller(from).filter(|_| !is_proxy),
        }
    }
}

impl Room {
    /// Holds so many bytes, if there is room for them.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        let mut held = Held {
            room: self.clone(),
            bytes: 0,
        };
        held.grow_to(bytes).then_some(held)
    }

    fn take(&self, more: usize) -> bool {
        let Rooms { taken, max } = &self.rooms;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_limited = *max > 0;
        if is_limited && taken.all + more > *max {
            return false;
        }
        if let Some(address) = self.of {
            let own = taken.by_address.get(&address).copied().unwrap_or(0) + more;
            if is_limited && own > *max / SHARES {
                return false;
            }
            taken.by_address.insert(address, own);
        }
        taken.all += more;
        tell(taken.all);
        true
    }
}

impl Held {
    /// Holds so many bytes in all from now on; `false`, and nothing is changed, if there is no room for them.
    #[must_use]
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let bytes = bytes.saturating_sub(FREE_BYTES);
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && !self.room.take(more) {
            return false;
        }
        self.bytes += more;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let taken = &self.room.rooms.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= self.bytes;
        tell(taken.all);
        if let Some(address) = self.room.of
            && let Some(own) = taken.by_address.get_mut(&address)
        {
            *own -= self.bytes;
            if *own == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn tell(bytes: usize) {
    metrics::gauge!("heliostat_http_held_bytes").set(bytes as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 16_000;

    fn room(rooms: &Rooms, address: &str) -> Room {
        rooms.of(address.parse().unwrap(), false)
    }

    #[test]
    fn an_address_has_its_share_and_leaves_no_trace() {
        let rooms = Rooms::new(MAX);
        let one = room(&rooms, "198.51.100.1");
        let mut held = one.hold(FREE_BYTES + 3000).unwrap();
        assert!(one.hold(FREE_BYTES + 1001).is_none());
        assert!(held.grow_to(FREE_BYTES + 4000));
        assert!(!held.grow_to(FREE_BYTES + 4001));
        assert!(held.grow_to(1), "what is held is not given back by halves");
        assert!(one.hold(FREE_BYTES + 1).is_none());
        let same = room(&rooms, "::ffff:198.51.100.1");
        assert!(same.hold(FREE_BYTES + 1).is_none(), "the same address");
        let free: Vec<_> = (0..99).map(|_| one.hold(FREE_BYTES).unwrap()).collect();
        let other = room(&rooms, "198.51.100.2").hold(FREE_BYTES + 4000);
        drop((held, free, other.unwrap()));
        let taken = rooms.taken.lock().unwrap();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }

    #[test]
    fn there_is_so_much_room_for_all() {
        let rooms = Rooms::new(MAX);
        let proxy = rooms.of("198.51.100.9".parse().unwrap(), true);
        let held = proxy.hold(FREE_BYTES + MAX).expect("it has no share");
        assert!(proxy.hold(FREE_BYTES + 1).is_none());
        assert!(room(&rooms, "127.0.0.1").hold(FREE_BYTES + 1).is_none());
        assert!(room(&rooms, "198.51.100.1").hold(FREE_BYTES).is_some());
        drop(held);
        assert!(room(&rooms, "127.0.0.1").hold(FREE_BYTES + MAX).is_some());
        let endless = room(&Rooms::new(0), "198.51.100.1");
        assert!(endless.hold(usize::MAX).is_some());
    }
}
