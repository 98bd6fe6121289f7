//! Jobs and retries: claimed by lease, guarded by a fence, settled whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Recipient};
use domain::publish::PublishId;
use domain::webhook::Removal;

use super::state::{Claim, Device, RetryRow, State};
use crate::lookup::Failed;
use crate::publishes::{
    AHEAD_MAX, Failure, Fence, Job, JobId, Lease, NewRetry, QueueDepth, Retry, RetryBatch, RetryId,
    Settled, Settlement,
};

/// How far a job has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) cursor: DeviceOrdinal,
    pub(super) last: bool,
    pub(super) lease_until: Timestamp,
}

impl State {
    pub(super) fn claim_jobs(&mut self, lease: Lease, now: Timestamp, limit: usize) -> Vec<Job> {
        self.finish_what_is_done(now);
        let free = self.jobs.rows.iter_mut();
        let free = free.filter(|(_, job)| job.claim.is_free(now)).take(limit);
        let mut numbers = Vec::new();
        for (number, job) in free {
            job.claim.fence += 1;
            job.claim.until = Some(lease.until);
            numbers.push(*number);
        }
        let jobs = numbers.into_iter();
        jobs.filter_map(|number| self.job(number)).collect()
    }

    /// The claim on a job, if this is its fence.
    fn held(&mut self, job: JobId, fence: Fence) -> Option<&mut Claim> {
        let claim = &mut self.jobs.rows.get_mut(&job.0)?.claim;
        (claim.fence == fence.0).then_some(claim)
    }

    pub(super) fn renew_job(&mut self, job: JobId, fence: Fence, until: Timestamp) -> Settled {
        match self.held(job, fence) {
            Some(claim) => {
                claim.until = Some(until);
                Settled::Done
            }
            None => Settled::LeaseLost,
        }
    }

    pub(super) fn release_job(&mut self, job: JobId, fence: Fence) -> Settled {
        match self.held(job, fence) {
            Some(claim) => {
                claim.fence += 1;
                claim.until = None;
                Settled::Done
            }
            None => Settled::LeaseLost,
        }
    }

    pub(super) fn settle_page(
        &mut self,
        job: &Job,
        progress: Progress,
        settlement: &Settlement,
        now: Timestamp,
    ) -> Settled {
        let Some(claim) = self.held(job.id, job.fence) else {
            return Settled::LeaseLost;
        };
        claim.until = Some(progress.lease_until);
        let Some(row) = self.jobs.rows.get_mut(&job.id.0) else {
            return Settled::LeaseLost;
        };
        let publish = row.publish;
        if progress.last {
            self.jobs.rows.remove(&job.id.0);
        } else if progress.cursor.0 > row.cursor {
            row.cursor = progress.cursor.0;
        } else {
            return Settled::Done;
        }
        self.apply(publish, settlement, now);
        Settled::Done
    }

    pub(super) fn claim_retries(
        &mut self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Vec<RetryBatch> {
        self.finish_what_is_done(now);
        let ahead = now.after(AHEAD_MAX);
        let put_off = self.retries.rows.iter_mut();
        put_off
            .filter(|(_, retry)| retry.due_at > ahead)
            .for_each(|(_, retry)| retry.due_at = now);
        let retries = self.retries.rows.iter();
        let mut due: Vec<_> = retries
            .filter(|(_, retry)| retry.due_at <= now && retry.claim.is_free(now))
            .map(|(number, retry)| (retry.due_at, *number))
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        let mut batches: Vec<RetryBatch> = Vec::new();
        for (_, number) in due {
            let Some(row) = self.retries.rows.get_mut(&number) else {
                continue;
            };
            let publish = self.publishes.rows.get(&row.publish);
            let device = self.devices.rows.get(&row.device);
            let (Some(publish), Some(device)) = (publish, device) else {
                continue;
            };
            row.claim.fence += 1;
            row.claim.until = Some(lease.until);
            let recipient = Recipient {
                user: row.user,
                ..device.recipient(row.device)
            };
            let retry = Retry {
                id: RetryId(number),
                recipient,
                attempts: row.attempts,
                fence: Fence(row.claim.fence),
            };
            let publish = &publish.publish;
            match batches.iter_mut().find(|b| b.publish.id == publish.id) {
                Some(batch) => batch.retries.push(retry),
                None => batches.push(RetryBatch {
                    publish: Arc::clone(publish),
                    retries: vec![retry],
                }),
            }
        }
        batches
    }

    pub(super) fn renew_retries(&mut self, ids: &[(RetryId, Fence)], until: Timestamp) -> Settled {
        let mut renewed = Settled::LeaseLost;
        for (id, fence) in ids {
            let row = self.retries.rows.get_mut(&id.0);
            if let Some(row) = row.filter(|row| row.claim.fence == fence.0) {
                row.claim.until = Some(until);
                renewed = Settled::Done;
            }
        }
        renewed
    }

    pub(super) fn settle_retries(
        &mut self,
        publish: PublishId,
        ids: &[(RetryId, Fence)],
        settlement: &Settlement,
        now: Timestamp,
    ) -> Settled {
        let found = self.publishes.find(|row| row.publish.id == publish);
        let Some((publish, _)) = found else {
            return Settled::LeaseLost;
        };
        let mut mine = Vec::new();
        for (id, fence) in ids {
            let row = self.retries.rows.get(&id.0);
            match row.filter(|row| row.publish == publish) {
                // Gone with its device.
                None => {}
                Some(row) if row.claim.fence == fence.0 => mine.push(id.0),
                Some(_) => return Settled::LeaseLost,
            }
        }
        if mine.is_empty() {
            return Settled::LeaseLost;
        }
        for number in mine {
            self.retries.rows.remove(&number);
        }
        self.apply(publish, settlement, now);
        Settled::Done
    }

    pub(super) fn next_retry_due(&self, now: Timestamp) -> Option<Timestamp> {
        let retries = self.retries.rows.values();
        retries
            .filter(|retry| retry.claim.is_free(now))
            .map(|retry| retry.due_at)
            .min()
    }

    pub(super) fn queue_depth(&self, now: Timestamp) -> QueueDepth {
        let oldest = self.jobs.rows.values().next();
        let oldest = oldest.and_then(|job| self.publishes.rows.get(&job.publish));
        QueueDepth {
            jobs: self.jobs.rows.len() as u64,
            retries: self.retries.rows.len() as u64,
            oldest_job: oldest.map_or(Duration::ZERO, |row| now.since(row.publish.send_at)),
        }
    }

    fn apply(&mut self, publish: i64, settlement: &Settlement, now: Timestamp) {
        let users: Vec<_> = settlement
            .users
            .iter()
            .filter_map(|tally| Some((self.kept_under(publish, tally.user.0)?, tally)))
            .collect();
        if let Some(row) = self.publishes.rows.get_mut(&publish) {
            for tally in &settlement.tallies {
                let key = (tally.platform, tally.outcome, tally.reason.clone());
                *row.tallies.entry(key).or_default() += tally.count;
            }
            for (under, tally) in users {
                let (accepted, failed) = row.users.entry(under).or_default();
                *accepted += tally.accepted;
                *failed += tally.failed;
            }
        }
        for failure in &settlement.failures {
            self.keep_failure(publish, failure, now);
        }
        for (device, environment) in &settlement.environments {
            if let Some(device) = self.devices.rows.get_mut(&device.0) {
                device.environment = *environment;
            }
        }
        for dead in &settlement.dead {
            let device = self.devices.rows.get(&dead.device.0);
            let is_same = device.is_some_and(|device| {
                let since = dead.since.unwrap_or(Timestamp::from_millis(i64::MAX));
                device.token == dead.token && device.registered_at < since
            });
            if is_same {
                self.raise_removed(dead.device.0, Removal::TokenDead);
                self.remove_device(dead.device.0);
            }
        }
        for retry in &settlement.retries {
            self.put_retry(publish, retry);
        }
        self.finish_what_is_done(now);
    }

    /// Keeps a failure, unless its device is gone.
    fn keep_failure(&mut self, publish: i64, failure: &Failure, now: Timestamp) {
        let number = failure.device.0;
        let device = self.devices.rows.get(&number);
        let (Some(device), Some(row)) = (device, self.publishes.rows.get_mut(&publish)) else {
            return;
        };
        let user = device.user.and_then(|user| self.users.rows.get(&user));
        let failed = Failed {
            device: device.id,
            ordinal: failure.device,
            user: user.map(|(_, id)| id.clone()),
            outcome: failure.outcome,
            reason: failure.reason.clone(),
            at: now,
        };
        row.failures.insert(number, failed);
    }

    /// Writes a retry, in place of one of the same delivery; not if its device is gone, or is not its user's any more.
    fn put_retry(&mut self, publish: i64, new: &NewRetry) {
        let device = new.device.0;
        let is_its_users = |row: &Device| new.user.is_none_or(|user| row.user == Some(user.0));
        if !self.devices.rows.get(&device).is_some_and(is_its_users) {
            return;
        }
        let row = RetryRow {
            publish,
            device,
            attempts: new.attempts,
            due_at: new.due_at,
            reason: new.reason.clone(),
            user: new.user,
            claim: Claim::NOBODY,
        };
        let same = |row: &RetryRow| row.publish == publish && row.device == device;
        match self.retries.find(same).map(|(number, _)| number) {
            Some(number) => {
                if let Some(known) = self.retries.rows.get_mut(&number) {
                    let fence = known.claim.fence + 1;
                    *known = row;
                    known.claim.fence = fence;
                }
            }
            None => {
                self.retries.add(row);
            }
        }
    }
}
