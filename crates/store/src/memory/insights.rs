//! What devices reported, by the hour.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::instance::InstanceId;

use super::MemoryStore;
use crate::StoreError;
use crate::insights::{EventHour, Insights};
use crate::publishes::EventKind;

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
                    kind: if *is_open {
                        EventKind::Open
                    } else {
                        EventKind::Delivery
                    },
                    count: *count,
                })
                .collect();
            hours.sort_by_key(|hour| (hour.hour, hour.platform.as_str(), hour.kind.as_str()));
            hours
        })
    }

    async fn prune_event_hours(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| {
            let old = state
                .event_hours
                .keys()
                .filter(|(_, hour, _, _)| *hour < before);
            let old: Vec<_> = old.take(limit).copied().collect();
            for key in &old {
                state.event_hours.remove(key);
            }
            old.len() as u64
        })
    }
}
