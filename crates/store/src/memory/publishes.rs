//! Publishes: cut into jobs, read in pages, finished and pruned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Recipient};
use domain::publish::Audience;
use domain::user::{UserId, UserOrdinal};

use super::state::{PublishRow, State};
use crate::administration::Forgotten;
use crate::insights::hour_of;
use crate::lookup::PublishState;
use crate::publishes::{
    Event, EventKind, Fence, Job, JobId, Page, Plan, Recorded, ResolvedAudience,
};

/// An audience of at most so many devices is one job.
const SMALL_AUDIENCE_MAX: i64 = 1000;

impl State {
    /// All devices of an audience behind `after` up to `end`, ascending, each once.
    pub(super) fn devices_in(
        &self,
        audience: &ResolvedAudience,
        after: i64,
        end: i64,
    ) -> BTreeSet<i64> {
        match audience {
            ResolvedAudience::Interests(numbers) => {
                let numbers = numbers.iter();
                numbers
                    .flat_map(|number| self.subscribers(*number, after, end))
                    .collect()
            }
            ResolvedAudience::Users(numbers) => {
                let numbers = numbers.iter();
                numbers
                    .flat_map(|number| self.devices_of(*number, after, end))
                    .collect()
            }
            // Read by place.
            ResolvedAudience::Listed(_) => BTreeSet::new(),
            ResolvedAudience::FailuresOf(publish) => {
                let failures = self.publishes.rows.get(publish).map(|row| &row.failures);
                let devices = failures.into_iter().flat_map(BTreeMap::keys).copied();
                devices
                    .filter(|device| (after + 1..=end).contains(device))
                    .collect()
            }
        }
    }

    /// The ranges `(cursor, end]` of the jobs for an audience.
    pub(super) fn ranges(&self, audience: &ResolvedAudience, plan: Plan) -> Vec<(i64, i64)> {
        if let ResolvedAudience::Listed(list) = audience {
            let length = self.list_length(*list);
            return if length > 0 {
                cut(0, length, plan)
            } else {
                Vec::new()
            };
        }
        let devices = self.devices_in(audience, 0, i64::MAX);
        let (Some(first), Some(last)) = (devices.first(), devices.last()) else {
            return Vec::new();
        };
        let (before, last) = (first - 1, *last);
        let span = plan.job_span.max(1);
        let count = i64::try_from(devices.len()).unwrap_or(i64::MAX);
        if count <= span.min(SMALL_AUDIENCE_MAX) {
            return vec![(before, last)];
        }
        cut(before, last, plan)
    }

    /// A job as its holder sees it.
    pub(super) fn job(&self, number: i64) -> Option<Job> {
        let row = self.jobs.rows.get(&number)?;
        let publish = self.publishes.rows.get(&row.publish)?;
        Some(Job {
            id: JobId(number),
            publish: Arc::clone(&publish.publish),
            cursor: DeviceOrdinal(row.cursor),
            end: DeviceOrdinal(row.end),
            fence: Fence(row.claim.fence),
            audience: Arc::clone(&publish.audience),
            first_page: None,
        })
    }

    /// With its page, if that is its only one and no longer than planned.
    pub(super) fn with_first_page(&self, job: Job, plan: Plan) -> Job {
        let first_page = (plan.first_page_max > 0)
            .then(|| self.audience_page(&job, job.cursor, plan.first_page_max))
            .filter(|page| page.last);
        Job { first_page, ..job }
    }

    pub(super) fn audience_page(&self, job: &Job, after: DeviceOrdinal, limit: usize) -> Page {
        if let ResolvedAudience::Listed(list) = &*job.audience {
            return self.list_page(job, *list, after, limit);
        }
        let wanted: Vec<_> = job.publish.payloads.platforms().collect();
        let is_for_users = matches!(*job.audience, ResolvedAudience::Users(_));
        let after = after.max(job.cursor);
        let mut devices = self
            .devices_in(&job.audience, after.0, job.end.0)
            .into_iter();
        let mut page = Page {
            cursor: after,
            ..Page::default()
        };
        while page.recipients.len() < limit.max(1) {
            let Some(number) = devices.next() else { break };
            page.cursor = DeviceOrdinal(number);
            let device = self.devices.rows.get(&number);
            let device = device.filter(|device| wanted.contains(&device.id.platform()));
            page.recipients.extend(device.map(|device| Recipient {
                user: device.user.filter(|_| is_for_users).map(UserOrdinal),
                ..device.recipient(number)
            }));
        }
        if devices.next().is_none() {
            page.last = true;
            page.cursor = job.end;
        }
        page
    }

    pub(super) fn record_event(&mut self, event: &Event) -> Recorded {
        let device = self.device(event.instance, event.device);
        let publish = self.publish(event.instance, event.publish);
        let row = publish.and_then(|number| self.publishes.rows.get_mut(&number));
        let (Some(device), Some(row)) = (device, row) else {
            return Recorded::Unknown;
        };
        if !row.has_events {
            return Recorded::Unknown;
        }
        let is_open = event.kind == EventKind::Open;
        let is_new = !row.events.contains_key(&(is_open, device));
        if is_new {
            row.events.insert((is_open, device), event.at);
            row.reported[usize::from(is_open)] += 1;
        }
        self.touch(device, event.received);
        if !is_new {
            return Recorded::Repeated;
        }
        let hour = hour_of(event.received);
        let key = (event.instance, hour, event.device.platform(), is_open);
        *self.event_hours.entry(key).or_default() += 1;
        if let Some(user) = &event.user {
            self.raise_reported(device, event.instance, event.publish, user, is_open);
        }
        Recorded::New
    }

    pub(super) fn prune_publishes(&mut self, before: Timestamp, limit: usize) -> u64 {
        let rows = self.publishes.rows.iter();
        let mut over: Vec<_> = rows
            .filter_map(|(number, row)| Some((row.finished_at?, *number)))
            .filter(|(at, number)| *at < before && !self.is_being_replayed(*number))
            .collect();
        over.sort_unstable();
        over.truncate(limit);
        for (_, number) in &over {
            self.remove_publish(*number);
        }
        over.len() as u64
    }

    /// Whether it is being replayed, or a replay of it.
    pub(super) fn is_being_replayed(&self, publish: i64) -> bool {
        let mut rows = self.publishes.rows.iter();
        rows.any(|(replay, row)| {
            row.replay_of == Some(publish)
                && (row.finished_at.is_none() || self.is_being_replayed(*replay))
        })
    }

    /// Removes a publish and its work.
    pub(super) fn remove_publish(&mut self, number: i64) {
        self.publishes.rows.remove(&number);
        self.lists
            .rows
            .retain(|_, list| list.publish != Some(number));
        self.remove_work(number);
    }

    /// Removes a publish's jobs and retries.
    pub(super) fn remove_work(&mut self, number: i64) {
        self.jobs.rows.retain(|_, job| job.publish != number);
        self.retries.rows.retain(|_, retry| retry.publish != number);
    }

    /// Notes which publishes have no work left.
    pub(super) fn finish_what_is_done(&mut self, now: Timestamp) {
        let (jobs, retries) = (&self.jobs.rows, &self.retries.rows);
        let mut ended = Vec::new();
        for (number, row) in &mut self.publishes.rows {
            if row.state == PublishState::Running
                && !jobs.values().any(|job| job.publish == *number)
                && !retries.values().any(|retry| retry.publish == *number)
            {
                row.end(PublishState::Finished, now);
                ended.push(*number);
            }
        }
        for number in ended {
            self.publish_ended(number);
        }
    }
}

impl PublishRow {
    /// Ends a publish.
    pub(super) fn end(&mut self, state: PublishState, now: Timestamp) {
        self.state = state;
        self.finished_at = Some(now.max(self.publish.accepted_at));
    }
}

/// Cuts what lies behind `before` up to `last` into jobs.
fn cut(before: i64, last: i64, plan: Plan) -> Vec<(i64, i64)> {
    let jobs_max = i64::try_from(plan.jobs_max.max(1)).unwrap_or(i64::MAX);
    let widest = (last - before - 1) / jobs_max + 1;
    let span = plan.job_span.max(1).max(widest);
    let mut ranges = Vec::new();
    let mut cursor = before;
    while cursor < last {
        let end = cursor.saturating_add(span).min(last);
        ranges.push((cursor, end));
        cursor = end;
    }
    ranges
}

impl PublishRow {
    /// Removes a user, who has these devices.
    pub(super) fn forget(
        &mut self,
        user: &UserId,
        user_number: Option<i64>,
        devices: &[i64],
        forgotten: &mut Forgotten,
    ) {
        let mut numbers: Vec<i64> = user_number.into_iter().collect();
        let own = self.named.iter().filter(|(name, _)| name == user);
        numbers.extend(own.filter_map(|(_, number)| *number));
        let (before, names) = (self.named.len(), forgotten.names);
        self.named.retain(|(name, _)| name != user);
        forgotten.names += (before - self.named.len()) as u64;
        if let Some(Audience::Users(users)) = &mut self.scheduled {
            forgotten.names += u64::from(users.remove(user));
        }
        if forgotten.names > names {
            self.webhook = None;
        }
        for number in numbers {
            forgotten.outcomes += u64::from(self.users.remove(&number).is_some());
        }
        let before = self.failures.len();
        self.failures
            .retain(|_, failed| failed.user.as_ref() != Some(user));
        forgotten.failures += (before - self.failures.len()) as u64;
        let before = self.events.len();
        self.events
            .retain(|(_, device), _| !devices.contains(device));
        forgotten.events += (before - self.events.len()) as u64;
    }
}
