//! Lanes: a publish to a few devices never waits behind one to millions.
//!
//! Every job starts in the express lane, which is wide. One that turns out long must get a place in the bulk lane to go on,
//! which is narrow; while it waits there it sends nothing, and its place in the express lane is free for others. No instance
//! has more than half of the bulk lane, so one that publishes to millions all day leaves room for the next.

use std::sync::Arc;

use domain::instance::InstanceId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shares::Shares;

/// The two lanes of a node.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    express: Arc<Semaphore>,
    bulk: Arc<Bulk>,
}

#[derive(Debug)]
struct Bulk {
    places: Arc<Semaphore>,
    /// How many places one instance may have.
    shares: Shares,
}

/// A job's place in one of the lanes.
#[derive(Debug)]
pub(crate) struct Permit {
    place: Place,
    bulk: Arc<Bulk>,
}

#[derive(Debug)]
enum Place {
    /// Held until it is dropped.
    Express { _place: OwnedSemaphorePermit },
    /// On the way from one lane to the other.
    Between,
    /// Held until they are dropped: one of the instance's share, and one of the lane.
    Bulk { _places: [OwnedSemaphorePermit; 2] },
}

impl Lanes {
    /// Lanes for this many jobs at once.
    pub(crate) fn new(express: usize, bulk: usize) -> Self {
        let bulk = Bulk {
            places: Arc::new(Semaphore::new(bulk)),
            shares: Shares::new(bulk.div_ceil(2)),
        };
        Self {
            express: Arc::new(Semaphore::new(express)),
            bulk: Arc::new(bulk),
        }
    }

    /// A place in the express lane, if one is free now.
    pub(crate) fn try_enter(&self) -> Option<Permit> {
        let place = Arc::clone(&self.express).try_acquire_owned().ok()?;
        Some(self.permit(place))
    }

    /// A place in the express lane, when one is free.
    pub(crate) async fn enter(&self) -> Option<Permit> {
        // The semaphore is never closed.
        let place = Arc::clone(&self.express).acquire_owned().await.ok()?;
        Some(self.permit(place))
    }

    /// How many places are free in the express lane.
    pub(crate) fn free(&self) -> usize {
        self.express.available_permits()
    }

    fn permit(&self, place: OwnedSemaphorePermit) -> Permit {
        Permit {
            place: Place::Express { _place: place },
            bulk: Arc::clone(&self.bulk),
        }
    }
}

impl Permit {
    /// Moves from the express lane to the bulk lane, waiting for a place there.
    pub(crate) async fn leave_express(&mut self, instance: InstanceId) {
        self.place = Place::Between;
        let share = self.bulk.shares.of(instance);
        // The semaphores are never closed, so this waits until there is a place.
        let own = share.acquire_owned().await;
        let common = Arc::clone(&self.bulk.places).acquire_owned().await;
        if let (Ok(own), Ok(common)) = (own, common) {
            self.place = Place::Bulk {
                _places: [own, common],
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_instance_has_half_of_the_bulk_lane_at_most() {
        let lanes = Lanes::new(10, 4);
        let (greedy, modest) = (InstanceId::random(), InstanceId::random());
        let mut permits: Vec<_> = (0..4).map(|_| lanes.try_enter().unwrap()).collect();
        permits[0].leave_express(greedy).await;
        permits[1].leave_express(greedy).await;
        assert_eq!(lanes.free(), 8);
        let mut third = permits.pop().unwrap();
        let mut waiting = Box::pin(third.leave_express(greedy));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        permits[2].leave_express(modest).await;
        // A place of the instance's own share is free, so it goes on.
        permits.remove(0);
        waiting.await;
    }

    #[tokio::test]
    async fn a_full_express_lane_takes_nobody() {
        let lanes = Lanes::new(1, 1);
        let permit = lanes.try_enter();
        assert!(permit.is_some());
        assert!(lanes.try_enter().is_none());
        drop(permit);
        assert!(lanes.try_enter().is_some());
    }
}
