//! Trails.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::user::UserId;

use super::MemoryStore;
use super::state::{State, Table};
use crate::StoreError;
use crate::console::{Addressee, Console, TRAIL_LENGTH_MAX, Trace, TraceNumber, Watched};

/// All trails, and who watches.
#[derive(Debug, Default)]
pub(super) struct Trails {
    /// By instance: until when it is watched, and whether payloads are shown.
    watches: BTreeMap<i64, (Timestamp, bool)>,
    traces: Table<(i64, Trace)>,
}

impl Trails {
    /// Forgets an instance.
    pub(super) fn forget(&mut self, instance: i64) {
        self.watches.remove(&instance);
        self.traces.rows.retain(|_, (of, _)| *of != instance);
    }

    /// Forgets a user of an instance, and the user's devices.
    pub(super) fn forget_user(&mut self, instance: i64, user: &UserId, devices: &[DeviceId]) {
        self.traces.rows.retain(|_, (of, trace)| {
            let is_of_user = trace.user.as_ref() == Some(user)
                || trace.device.is_some_and(|device| devices.contains(&device));
            *of != instance || !is_of_user
        });
    }
}

#[async_trait]
impl Console for MemoryStore {
    async fn watch_trail(&self, instance: InstanceId, until: Timestamp) -> Result<(), StoreError> {
        self.step(|state| {
            let watch = state.watch(instance)?;
            watch.0 = watch.0.max(until);
            Ok(())
        })?
    }

    async fn watched_trails(&self, now: Timestamp) -> Result<Vec<Watched>, StoreError> {
        self.step(|state| {
            let watches = state.trails.watches.iter();
            let running = watches.filter(|(_, (until, _))| *until > now);
            let watched = running.filter_map(|(number, (_, shows_payloads))| {
                let instance = state.instances.rows.get(number)?.id;
                Some(Watched {
                    instance,
                    shows_payloads: *shows_payloads,
                })
            });
            watched.collect()
        })
    }

    async fn show_payloads(&self, instance: InstanceId, shows: bool) -> Result<(), StoreError> {
        self.step(|state| {
            state.watch(instance)?.1 = shows;
            Ok(())
        })?
    }

    async fn shows_payloads(&self, instance: InstanceId) -> Result<bool, StoreError> {
        self.step(|state| {
            let number = state.instance(instance);
            let watch = number.and_then(|number| state.trails.watches.get(&number));
            watch.is_some_and(|watch| watch.1)
        })
    }

    async fn append_trail(
        &self,
        instance: InstanceId,
        traces: Vec<Trace>,
    ) -> Result<(), StoreError> {
        self.step(|state| {
            let Some(instance) = state.instance(instance) else {
                return;
            };
            for trace in traces {
                state.trails.traces.add((instance, trace));
            }
            let mine = state.trails.traces.rows.iter();
            let mine = mine.filter(|(_, (of, _))| *of == instance);
            let beyond: Vec<i64> = mine.rev().skip(TRAIL_LENGTH_MAX).map(|(n, _)| *n).collect();
            for number in beyond {
                state.trails.traces.rows.remove(&number);
            }
        })
    }

    async fn trail(
        &self,
        instance: InstanceId,
        after: Option<TraceNumber>,
        limit: usize,
    ) -> Result<Vec<(TraceNumber, Trace)>, StoreError> {
        self.step(|state| {
            let Some(instance) = state.instance(instance) else {
                return Vec::new();
            };
            let rows = state.trails.traces.rows.iter();
            let mine = rows.filter(|(_, (of, _))| *of == instance);
            let mine = mine.map(|(number, (_, trace))| (TraceNumber(*number), trace.clone()));
            match after {
                Some(after) => mine
                    .filter(|(number, _)| *number > after)
                    .take(limit)
                    .collect(),
                None => {
                    let mut newest: Vec<_> = mine.rev().take(limit).collect();
                    newest.reverse();
                    newest
                }
            }
        })
    }

    async fn addressees(
        &self,
        instance: InstanceId,
        devices: Vec<DeviceOrdinal>,
    ) -> Result<Vec<Addressee>, StoreError> {
        self.step(|state| {
            let instance = state.instance(instance);
            let known = devices.into_iter().filter_map(|ordinal| {
                let device = state.devices.rows.get(&ordinal.0)?;
                let user = device.user.and_then(|user| state.users.rows.get(&user));
                (Some(device.instance) == instance).then(|| Addressee {
                    ordinal,
                    device: device.id,
                    user: user.map(|(_, id)| id.clone()),
                })
            });
            known.collect()
        })
    }

    async fn prune_trails(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| {
            let rows = state.trails.traces.rows.iter();
            let old = rows.filter(|(_, (_, trace))| trace.at < before);
            let old: Vec<i64> = old.take(limit).map(|(number, _)| *number).collect();
            for number in &old {
                state.trails.traces.rows.remove(number);
            }
            old.len() as u64
        })
    }
}

impl State {
    fn watch(&mut self, instance: InstanceId) -> Result<&mut (Timestamp, bool), StoreError> {
        let number = self.known_instance(instance)?;
        let nobody = (Timestamp::from_millis(0), false);
        Ok(self.trails.watches.entry(number).or_insert(nobody))
    }
}
