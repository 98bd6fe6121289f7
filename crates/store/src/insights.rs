//! Insights: what devices reported, counted by the hour.
//!
//! A report that counts for its publish (see [`Store::record_events`](crate::Store::record_events)) counts for its hour in the same
//! transaction, so the two never differ. An hour is the one in which the server got the report, never what a device's clock says:
//! so there is at most one row for each hour, platform and kind, whatever devices send. The counts outlive the publishes. Those of
//! hours long ago are added up by day, and stand in one place or the other, never in both. Reports themselves go before their
//! publish does; from then on it counts no more, so that nothing counts twice.
//!
//! And how many devices there are and were active, which is of [`crate::activity`].

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::user::UserId;

use crate::StoreError;
use crate::activity::{CountedDevices, Day, FoundDevices, WantedDevices};
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

/// How often devices of a platform reported something on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventDay {
    /// The day.
    pub day: Day,
    /// The devices'.
    pub platform: Platform,
    /// What they reported.
    pub kind: EventKind,
    /// How often; never 0.
    pub count: u64,
}

/// A report of a device on a publish, in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEvent {
    /// The device's number, where a list goes on.
    pub ordinal: DeviceOrdinal,
    /// The device; `None` if it is gone.
    pub device: Option<DeviceId>,
    /// Its user now.
    pub user: Option<UserId>,
    /// When, by the device's own clock.
    pub at: Timestamp,
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

    /// What was reported on the days from `from` to `until`, both told of, whether it still stands by the hour or not: by day, then
    /// platform, then kind, each by its word. Nothing for an instance that does not exist.
    async fn event_days(
        &self,
        instance: InstanceId,
        from: Day,
        until: Day,
    ) -> Result<Vec<EventDay>, StoreError>;

    /// Adds the counts of hours that began before `before` up by day, of all instances: they are no hours any more. Of how many
    /// hours. Works on at most `limit` of them at once.
    async fn roll_up_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Forgets the counts of hours that began, and of days that ended, before `before`, of all instances; how many. Works on at
    /// most `limit` of either at once.
    async fn prune_event_counts(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Removes what devices reported of up to `limit` publishes that finished before `before`. How often it was reported stays, and
    /// no report on these publishes counts any more. Of how many it was removed.
    async fn prune_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// What devices reported of a publish, behind `after`, ascending by the device's number, at most `limit`. `None` if there is no
    /// such publish. None is left once they were removed, although it is known how many there were.
    async fn publish_events(
        &self,
        instance: InstanceId,
        id: PublishId,
        kind: EventKind,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<ListedEvent>>, StoreError>;

    /// How many devices an instance has, whatever their platform. Costs the same however many there are. None for an instance that does
    /// not exist.
    async fn device_count(&self, instance: InstanceId) -> Result<u64, StoreError>;

    /// Counts devices of an instance behind `after`, ascending by number, at most `limit`.
    async fn count_devices(
        &self,
        instance: InstanceId,
        today: Day,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<CountedDevices, StoreError>;

    /// Devices of an instance that are wanted, behind `after`, at most `limit`. A call looks at a bounded number of devices,
    /// so it may find none although there are some further on.
    async fn find_devices(
        &self,
        instance: InstanceId,
        wanted: WantedDevices,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<FoundDevices, StoreError>;
}
