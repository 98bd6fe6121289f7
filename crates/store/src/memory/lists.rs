//! Lists of users.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Recipient};
use domain::instance::InstanceId;
use domain::payload::Values;
use domain::publish::PublishId;
use domain::user::{UserId, UserOrdinal};

use super::MemoryStore;
use super::state::{ListRow, State};
use crate::StoreError;
use crate::lists::{Listed, UserLists};
use crate::publishes::{Job, Page};

#[async_trait]
impl UserLists for MemoryStore {
    async fn begin_list(&self, instance: InstanceId, now: Timestamp) -> Result<i64, StoreError> {
        self.step(|state| {
            let instance = state.known_instance(instance)?;
            Ok(state.lists.add(ListRow {
                instance,
                publish: None,
                created_at: now,
                users: Vec::new(),
            }))
        })?
    }

    async fn extend_list(
        &self,
        list: i64,
        length: u64,
        users: Vec<Listed>,
    ) -> Result<Option<usize>, StoreError> {
        self.step(|state| state.extend_list(list, length, users))?
    }

    async fn discard_list(&self, list: i64) -> Result<(), StoreError> {
        self.step(|state| {
            let is_open = |row: &ListRow| row.publish.is_none();
            if state.lists.rows.get(&list).is_some_and(is_open) {
                state.lists.rows.remove(&list);
            }
        })
    }

    async fn prune_lists(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| state.prune_lists(before, limit))
    }

    async fn user_values(
        &self,
        publish: PublishId,
        devices: Vec<DeviceOrdinal>,
    ) -> Result<Vec<(DeviceOrdinal, Values)>, StoreError> {
        self.step(|state| state.user_values(publish, devices))
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the list of users is gone".into())
}

impl ListRow {
    /// The users with what their outcomes are kept under.
    pub(super) fn kept_under(&self) -> impl Iterator<Item = (i64, &Listed)> {
        let users = (1..).zip(&self.users);
        users.filter_map(|(place, listed): (i64, _)| Some((-place, listed.as_ref()?)))
    }
}

impl State {
    /// A list that no publish was accepted for.
    pub(super) fn open_list(&self, instance: i64, list: i64) -> Result<(), StoreError> {
        let found = self.lists.rows.get(&list);
        let fits = |row: &&ListRow| row.instance == instance && row.publish.is_none();
        found.filter(fits).map(|_| ()).ok_or_else(gone)
    }

    fn extend_list(
        &mut self,
        list: i64,
        length: u64,
        users: Vec<Listed>,
    ) -> Result<Option<usize>, StoreError> {
        let row = self.lists.rows.get_mut(&list);
        let row = row.filter(|row| row.publish.is_none()).ok_or_else(gone)?;
        row.users
            .truncate(usize::try_from(length).unwrap_or(usize::MAX));
        let mut known: BTreeSet<&UserId> = row
            .users
            .iter()
            .flatten()
            .map(|listed| &listed.user)
            .collect();
        let twice = users.iter().position(|listed| !known.insert(&listed.user));
        if twice.is_none() {
            row.users.extend(users.into_iter().map(Some));
        }
        Ok(twice)
    }

    pub(super) fn list_length(&self, list: i64) -> i64 {
        let length = self.lists.rows.get(&list).map_or(0, |row| row.users.len());
        i64::try_from(length).unwrap_or(i64::MAX)
    }

    fn prune_lists(&mut self, before: Timestamp, limit: usize) -> u64 {
        let is_old = |row: &ListRow| row.publish.is_none() && row.created_at < before;
        let rows = self.lists.rows.iter();
        let old = rows.filter(|(_, row)| is_old(row)).map(|(list, _)| *list);
        let old: Vec<i64> = old.take(limit).collect();
        for list in &old {
            self.lists.rows.remove(list);
        }
        old.len() as u64
    }

    /// The devices of the next users, whole users only.
    pub(super) fn list_page(
        &self,
        job: &Job,
        list: i64,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Page {
        let after = after.max(job.cursor);
        let mut page = Page {
            cursor: after,
            ..Page::default()
        };
        let Some(row) = self.lists.rows.get(&list) else {
            page.last = true;
            return page;
        };
        for place in after.0 + 1..=job.end.0 {
            let index = usize::try_from(place - 1).unwrap_or(usize::MAX);
            let user = row.users.get(index).and_then(Option::as_ref);
            let user = user.and_then(|listed| self.user(row.instance, &listed.user));
            let found = user.map(|user| self.recipients_of(job, user));
            let found = found.unwrap_or_default();
            if !page.recipients.is_empty() && page.recipients.len() + found.len() > limit {
                return page;
            }
            page.recipients.extend(found);
            page.cursor = DeviceOrdinal(place);
        }
        page.last = true;
        page.cursor = job.end;
        page
    }

    fn recipients_of(&self, job: &Job, user: i64) -> Vec<Recipient> {
        self.devices_of(user, 0, i64::MAX)
            .filter_map(|number| {
                let device = self.devices.rows.get(&number)?;
                let is_wanted = job.publish.payloads.has(device.id.platform());
                is_wanted.then(|| Recipient {
                    user: Some(UserOrdinal(user)),
                    ..device.recipient(number)
                })
            })
            .collect()
    }

    /// The users of a publish's list, ascending, with what their outcomes are kept under.
    pub(super) fn listed_users(&self, publish: i64) -> Option<Vec<(UserId, Option<i64>)>> {
        let (_, row) = self.lists.find(|row| row.publish == Some(publish))?;
        let mut users: Vec<_> = row
            .kept_under()
            .map(|(under, listed)| (listed.user.clone(), Some(under)))
            .collect();
        users.sort_unstable();
        Some(users)
    }

    /// What the outcome of a user is kept under in a publish: the number, or the negative place in the publish's list, where the
    /// user is found by id; `None` of one who has no device any more.
    pub(super) fn kept_under(&self, publish: i64, user: i64) -> Option<i64> {
        let Some((_, row)) = self.lists.find(|row| row.publish == Some(publish)) else {
            return Some(user);
        };
        let (_, id) = self.users.rows.get(&user)?;
        let mut users = row.kept_under();
        let found = users.find(|(_, listed)| listed.user == *id)?;
        Some(found.0)
    }

    /// The list of a publish, or of the one that it replays.
    pub(super) fn list_behind(&self, publish: i64) -> Option<&ListRow> {
        let mut next = Some(publish);
        while let Some(number) = next {
            if let Some((_, list)) = self.lists.find(|row| row.publish == Some(number)) {
                return Some(list);
            }
            next = self.publishes.rows.get(&number)?.replay_of;
        }
        None
    }

    fn user_values(
        &self,
        publish: PublishId,
        devices: Vec<DeviceOrdinal>,
    ) -> Vec<(DeviceOrdinal, Values)> {
        let found = self.publishes.find(|row| row.publish.id == publish);
        let Some(list) = found.and_then(|(number, _)| self.list_behind(number)) else {
            return Vec::new();
        };
        let of = |device: DeviceOrdinal| {
            let user = self.devices.rows.get(&device.0)?.user?;
            let (_, id) = self.users.rows.get(&user)?;
            let listed = list
                .users
                .iter()
                .flatten()
                .find(|listed| listed.user == *id)?;
            Some((device, listed.values.clone()?))
        };
        devices.into_iter().filter_map(of).collect()
    }
}
