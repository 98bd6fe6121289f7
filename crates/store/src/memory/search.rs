//! Searching through publishes.

use async_trait::async_trait;
use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;
use domain::publish::{Audience, PublishId};
use domain::user::UserId;

use super::MemoryStore;
use super::state::{PublishRow, State};
use crate::StoreError;
use crate::lookup::{PublishCursor, Waiting};
use crate::search::{
    FoundPublish, FoundPublishes, PublishLabel, Reach, Searching, WantedPublishes,
};

#[async_trait]
impl Searching for MemoryStore {
    async fn search_publishes(
        &self,
        instance: InstanceId,
        wanted: WantedPublishes,
        after: Option<PublishCursor>,
        reach: Reach,
    ) -> Result<FoundPublishes, StoreError> {
        self.step(|state| state.search(instance, &wanted, after, reach))
    }

    async fn publish_label(
        &self,
        instance: InstanceId,
        id: PublishId,
    ) -> Result<Option<PublishLabel>, StoreError> {
        self.step(|state| {
            let row = state.publishes.rows.get(&state.publish(instance, id)?)?;
            Some(label(row))
        })
    }

    async fn publish_waiting(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<Waiting>>, StoreError> {
        self.step(|state| state.waiting(instance, id, after, limit))
    }
}

impl State {
    fn search(
        &self,
        instance: InstanceId,
        wanted: &WantedPublishes,
        after: Option<PublishCursor>,
        reach: Reach,
    ) -> FoundPublishes {
        let mut found = FoundPublishes::default();
        let Some(instance) = self.instance(instance) else {
            return found;
        };
        let before = after.map_or(i64::MAX, |cursor| cursor.0);
        let rows = self.publishes.rows.range(..before).rev();
        let rows = rows
            .filter(|(_, row)| row.instance == instance)
            .filter(|(_, row)| wanted.state.is_none_or(|state| row.state == state))
            .filter(|(_, row)| {
                let at = row.publish.accepted_at;
                wanted.until.is_none_or(|until| at < until)
            });
        let mut last = None;
        for (looked_at, (number, row)) in rows.enumerate() {
            let accepted_at = row.publish.accepted_at;
            if wanted.is_behind(accepted_at) {
                return found;
            }
            if looked_at == reach.depth || found.publishes.len() == reach.limit {
                found.next = last.map(PublishCursor);
                return found;
            }
            last = Some(*number);
            found.back_to = Some(accepted_at);
            if wanted.has_time(accepted_at) && self.is_wanted(*number, row, wanted) {
                found.publishes.extend(self.found(*number, row));
            }
        }
        found
    }

    fn waiting(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Option<Vec<Waiting>> {
        let number = self.publish(instance, id)?;
        let is_over = self.publishes.rows.get(&number)?.finished_at.is_some();
        let retries = self.retries.rows.values().filter(|_| !is_over);
        let own = retries.filter(|retry| retry.publish == number && retry.device > after.0);
        let mut found: Vec<Waiting> = own
            .filter_map(|retry| {
                let device = self.devices.rows.get(&retry.device)?;
                let user = device.user.and_then(|user| self.users.rows.get(&user));
                Some(Waiting {
                    device: device.id,
                    ordinal: DeviceOrdinal(retry.device),
                    user: user.map(|(_, id)| id.clone()),
                    attempts: retry.attempts,
                    due_at: retry.due_at,
                    reason: retry.reason.clone(),
                })
            })
            .collect();
        found.sort_by_key(|waiting| waiting.ordinal);
        found.truncate(limit);
        Some(found)
    }

    fn is_wanted(&self, number: i64, row: &PublishRow, wanted: &WantedPublishes) -> bool {
        let interest = wanted.interest.as_ref();
        let user = wanted.user.as_ref();
        interest.is_none_or(|name| row.interests.contains(name))
            && user.is_none_or(|user| self.names(number, row, user))
            && wanted.has_title(&titles(row))
    }

    fn names(&self, number: i64, row: &PublishRow, user: &UserId) -> bool {
        let is_user = |(name, _): &(UserId, Option<i64>)| name == user;
        let waits = matches!(&row.scheduled, Some(Audience::Users(users)) if users.contains(user));
        let listed = self.listed_users(number);
        waits || row.named.iter().any(is_user) || listed.is_some_and(|all| all.iter().any(is_user))
    }

    fn found(&self, number: i64, row: &PublishRow) -> Option<FoundPublish> {
        Some(FoundPublish {
            report: self.report(number)?,
            label: label(row),
        })
    }
}

fn label(row: &PublishRow) -> PublishLabel {
    PublishLabel {
        title: titles(row).into_iter().next(),
        interests: row.interests.clone(),
    }
}

fn titles(row: &PublishRow) -> Vec<String> {
    if row.has_payload {
        row.publish.payloads.titles()
    } else {
        Vec::new()
    }
}
