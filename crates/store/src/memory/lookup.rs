//! What is told of publishes afterwards, and how one is called off.

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::publish::{Audience, PublishId};
use domain::user::UserId;
use uuid::Uuid;

use super::state::{PublishRow, State};
use crate::lookup::{
    AudienceCount, Cancelled, Failed, PublishCursor, PublishPage, PublishReport, PublishState,
    Target, UserOutcome,
};
use crate::publishes::{EventKind, ResolvedAudience, Tally};

impl State {
    pub(super) fn publish_report(
        &self,
        instance: InstanceId,
        id: PublishId,
    ) -> Option<PublishReport> {
        self.report(self.publish(instance, id)?)
    }

    pub(super) fn report(&self, number: i64) -> Option<PublishReport> {
        let row = self.publishes.rows.get(&number)?;
        let retries = self.retries.rows.values();
        let publish = &row.publish;
        Some(PublishReport {
            id: publish.id,
            state: row.state,
            target: self.target(row),
            accepted_at: publish.accepted_at,
            send_at: publish.send_at,
            expires_at: publish.expires_at,
            finished_at: row.finished_at,
            tallies: row.tallies(),
            retries: retries.filter(|retry| retry.publish == number).count() as u64,
            delivered: row.reported(EventKind::Delivery),
            opened: row.reported(EventKind::Open),
        })
    }

    /// One that is deleted has no id any more.
    fn target(&self, row: &PublishRow) -> Target {
        match row.replay_of {
            Some(source) if !self.publishes.rows.contains_key(&source) => {
                Target::FailuresOf(PublishId::from_uuid(Uuid::nil()))
            }
            _ => row.target,
        }
    }

    pub(super) fn list_publishes(
        &self,
        instance: InstanceId,
        state: Option<PublishState>,
        after: Option<PublishCursor>,
        limit: usize,
    ) -> PublishPage {
        let Some(instance) = self.instance(instance) else {
            return PublishPage::default();
        };
        let before = after.map_or(i64::MAX, |cursor| cursor.0);
        let rows = self.publishes.rows.range(..before).rev();
        let mut fitting = rows
            .filter(|(_, row)| row.instance == instance)
            .filter(|(_, row)| state.is_none_or(|state| row.state == state))
            .map(|(number, _)| *number);
        let numbers: Vec<i64> = fitting.by_ref().take(limit).collect();
        let is_more = fitting.next().is_some();
        let last = numbers.last().copied();
        PublishPage {
            publishes: numbers.iter().filter_map(|n| self.report(*n)).collect(),
            next: last.filter(|_| is_more).map(PublishCursor),
        }
    }

    pub(super) fn publish_users(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Option<Vec<UserOutcome>> {
        let number = self.publish(instance, id)?;
        let row = self.publishes.rows.get(&number)?;
        let listed = self.listed_users(number);
        let named = listed.as_ref().unwrap_or(&row.named).iter();
        let behind = named.filter(|(user, _)| after.is_none_or(|after| user > after));
        let outcome = |(user, number): &(UserId, Option<i64>)| {
            let tally = number.and_then(|number| row.users.get(&number));
            let (accepted, failed) = tally.copied().unwrap_or_default();
            UserOutcome {
                user: user.clone(),
                accepted,
                failed,
            }
        };
        Some(behind.take(limit).map(outcome).collect())
    }

    pub(super) fn publish_failures(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Option<Vec<Failed>> {
        let row = self.publishes.rows.get(&self.publish(instance, id)?)?;
        let failures = row.failures.values();
        let behind = failures.filter(|failed| failed.ordinal > after);
        Some(behind.take(limit).cloned().collect())
    }

    pub(super) fn count_audience(
        &self,
        instance: InstanceId,
        audience: &Audience,
        platforms: &[Platform],
    ) -> AudienceCount {
        let mut count = AudienceCount::default();
        let Some(instance) = self.instance(instance) else {
            return count;
        };
        let (resolved, _) = self.resolve(instance, audience);
        for number in self.devices_in(&resolved, 0, i64::MAX) {
            let device = self.devices.rows.get(&number);
            let platform = device.map(|device| device.id.platform());
            if let Some(platform) = platform.filter(|p| platforms.contains(p)) {
                count.add(platform, 1);
            }
        }
        if let ResolvedAudience::Users(users) = resolved {
            let has_any =
                |user: &&i64| platforms.iter().any(|p| self.count_devices(**user, *p) > 0);
            count.users = users.iter().filter(has_any).count() as u64;
        }
        count
    }

    pub(super) fn cancel_publish(
        &mut self,
        instance: InstanceId,
        id: PublishId,
        now: Timestamp,
    ) -> Cancelled {
        self.finish_what_is_done(now);
        let number = self.publish(instance, id);
        let found = number.and_then(|n| Some((n, self.publishes.rows.get_mut(&n)?)));
        let Some((number, row)) = found else {
            return Cancelled::Unknown;
        };
        match row.state {
            PublishState::Finished => return Cancelled::Finished,
            PublishState::Cancelled => return Cancelled::Done,
            PublishState::Scheduled | PublishState::Running => {}
        }
        let had_begun = row.state == PublishState::Running;
        row.scheduled = None;
        row.end(PublishState::Cancelled, now);
        self.remove_work(number);
        if had_begun {
            self.publish_ended(number);
        }
        Cancelled::Done
    }
}

impl PublishRow {
    fn tallies(&self) -> Vec<Tally> {
        let mut tallies = Vec::new();
        for ((platform, outcome, reason), count) in &self.tallies {
            tallies.push(Tally {
                platform: *platform,
                outcome: *outcome,
                reason: reason.clone(),
                count: *count,
            });
        }
        tallies
    }
}
