//! Insights: what devices reported, counted by the hour.
//!
//! A report that counts for its publish (see [`Store::record_events`](crate::Store::record_events)) counts for its hour in the same
//! transaction, so the two never differ. An hour is the one in which the server got the report, never what a device's clock says:
//! so there is at most one row for each hour, platform and kind, whatever devices send. The counts outlive the publishes.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;

use crate::StoreError;
use crate::publishes::EventKind;

/// An hour.
pub const HOUR: Duration = Duration::from_secs(60 * 60);

/// The beginning of the hour that a point in time is in, in UTC.
pub const fn hour_of(at: Timestamp) -> Timestamp {
    let hour = 60 * 60 * 1000;
    Timestamp::from_millis(at.as_millis().div_euclid(hour) * hour)
}

/// How often devices of a platform reported something within an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHour {
    /// Its beginning.
    pub hour: Timestamp,
    /// The devices'.
    pub platform: Platform,
    /// What they reported.
    pub kind: EventKind,
    /// How often; never 0.
    pub count: u64,
}

/// What a store counts over time. The contract of [`Store`](crate::Store) holds here too.
#[async_trait]
pub trait Insights: Send + Sync + fmt::Debug {
    /// What was reported in the hours that begin at or after `from` and before `until`: by hour, then platform, then kind, each
    /// by its word. Nothing for an instance that does not exist.
    async fn event_hours(
        &self,
        instance: InstanceId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<EventHour>, StoreError>;

    /// Forgets the counts of hours that began before `before`, of all instances; how many. Works on at most `limit` of them at
    /// once.
    async fn prune_event_hours(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;
}
