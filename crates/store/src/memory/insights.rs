//! What devices reported, by the hour and by the day; and how many there are.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;
use domain::publish::PublishId;

use super::MemoryStore;
use super::state::State;
use crate::StoreError;
use crate::activity::{self, CountedDevices, Day, FoundDevices, Seen, WantedDevices};
use crate::insights::{EventDay, EventHour, Insights, ListedEvent};
use crate::publishes::EventKind;

const fn kind(is_open: bool) -> EventKind {
    if is_open {
        EventKind::Open
    } else {
        EventKind::Delivery
    }
}

#[async_trait]
impl Insights for MemoryStore {
    async fn event_hours(
        &self,
        instance: InstanceId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<EventHour>, StoreError> {
        self.step(|state| {
            let is_there = state.instance(instance).is_some();
            let counted = state.event_hours.iter().filter(|_| is_there);
            let mut hours: Vec<_> = counted
                .filter(|((of, hour, _, _), _)| *of == instance && (from..until).contains(hour))
                .map(|((_, hour, platform, is_open), count)| EventHour {
                    hour: *hour,
                    platform: *platform,
                    kind: kind(*is_open),
                    count: *count,
                })
                .collect();
            hours.sort_by_key(|hour| (hour.hour, hour.platform.as_str(), hour.kind.as_str()));
            hours
        })
    }

    async fn event_days(
        &self,
        instance: InstanceId,
        from: Day,
        until: Day,
    ) -> Result<Vec<EventDay>, StoreError> {
        self.step(|state| {
            if state.instance(instance).is_none() {
                return Vec::new();
            }
            let hours = state.event_hours.iter();
            let hours = hours.map(|((of, hour, platform, is_open), count)| {
                ((*of, Day::of(*hour), *platform, *is_open), *count)
            });
            let days = state.event_days.iter().map(|(key, count)| (*key, *count));
            let mut sums = BTreeMap::new();
            for ((of, day, platform, is_open), count) in hours.chain(days) {
                if of == instance && (from..=until).contains(&day) {
                    *sums.entry((day, platform, is_open)).or_insert(0) += count;
                }
            }
            let day = |((day, platform, is_open), count)| EventDay {
                day,
                platform,
                kind: kind(is_open),
                count,
            };
            let mut days: Vec<EventDay> = sums.into_iter().map(day).collect();
            days.sort_by_key(|day| (day.day, day.platform.as_str(), day.kind.as_str()));
            days
        })
    }

    async fn roll_up_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| {
            let old = state.old_hours(before, limit);
            for key in &old {
                let (instance, hour, platform, is_open) = *key;
                let count = state.event_hours.remove(key).unwrap_or_default();
                let day = (instance, Day::of(hour), platform, is_open);
                *state.event_days.entry(day).or_default() += count;
            }
            old.len() as u64
        })
    }

    async fn prune_event_counts(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| {
            let hours = state.old_hours(before, limit);
            for key in &hours {
                state.event_hours.remove(key);
            }
            let days = state.event_days.keys();
            let days = days.filter(|(_, day, _, _)| *day < Day::of(before));
            let days: Vec<_> = days.take(limit).copied().collect();
            for key in &days {
                state.event_days.remove(key);
            }
            (hours.len() + days.len()) as u64
        })
    }

    async fn prune_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| {
            let old = state.finished_before(before, limit, |row| row.has_events);
            for number in &old {
                if let Some(row) = state.publishes.rows.get_mut(number) {
                    row.has_events = false;
                    row.events.clear();
                }
            }
            old.len() as u64
        })
    }

    async fn publish_events(
        &self,
        instance: InstanceId,
        id: PublishId,
        kind: EventKind,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<ListedEvent>>, StoreError> {
        self.step(|state| {
            let publish = state.publish(instance, id)?;
            let row = state.publishes.rows.get(&publish)?;
            let is_wanted = |(is_open, device): (bool, i64)| {
                is_open == (kind == EventKind::Open) && device > after.0
            };
            let events = row.events.iter().filter(|(key, _)| is_wanted(**key));
            let listed = |((_, number), at): (&(bool, i64), &Timestamp)| {
                let device = state.devices.rows.get(number);
                let user = device.and_then(|device| state.users.rows.get(&device.user?));
                ListedEvent {
                    ordinal: DeviceOrdinal(*number),
                    device: device.map(|device| device.id),
                    user: user.map(|(_, id)| id.clone()),
                    at: *at,
                }
            };
            Some(events.take(limit).map(listed).collect())
        })
    }

    async fn device_count(&self, instance: InstanceId) -> Result<u64, StoreError> {
        self.step(|state| {
            let instance = state.instance(instance);
            instance.map_or(0, |instance| state.device_count(instance))
        })
    }

    async fn count_devices(
        &self,
        instance: InstanceId,
        today: Day,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<CountedDevices, StoreError> {
        self.step(|state| activity::counted(&state.seen(instance, after, limit), today, limit))
    }

    async fn find_devices(
        &self,
        instance: InstanceId,
        wanted: WantedDevices,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<FoundDevices, StoreError> {
        self.step(|state| {
            let seen = state.seen(instance, after, usize::MAX);
            let (numbers, next) = activity::found(&seen, &wanted, limit, usize::MAX);
            let rows = numbers.iter().filter_map(|number| {
                let device = state.devices.rows.get(number)?;
                Some(state.listed(*number, device))
            });
            FoundDevices {
                devices: rows.collect(),
                next,
            }
        })
    }
}

impl State {
    fn old_hours(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Vec<(InstanceId, Timestamp, domain::device::Platform, bool)> {
        let hours = self.event_hours.keys();
        let old = hours.filter(|(_, hour, _, _)| *hour < before);
        old.take(limit).copied().collect()
    }

    /// What counting needs of an instance's devices behind `after`, ascending.
    fn seen(&self, instance: InstanceId, after: DeviceOrdinal, limit: usize) -> Vec<Seen> {
        let of = self.instance(instance);
        let behind = self.devices.rows.range(after.0.saturating_add(1)..);
        let seen = behind
            .filter(|(_, device)| Some(device.instance) == of)
            .map(|(number, device)| Seen {
                device: *number,
                platform: device.id.platform(),
                activity: device.activity,
            });
        seen.take(limit).collect()
    }
}
