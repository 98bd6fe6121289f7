//! Calls of the store that take more than one step: those that hand out jobs, and those that go on in pieces.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::publish::{Audience, PublishId};

use super::audience::Window;
use super::settlement::Progress;
use super::{
    PostgresStore, audience, cancel, count, jobs, prune, publishes, replay, retries, settlement,
    together,
};
use crate::StoreError;
use crate::lookup::{AudienceCount, Cancelled, Replayed};
use crate::publishes::{
    Accepted, Job, NewPublish, Page, Plan, ResolvedAudience, RetryBatch, Settled, Settlement,
};
use crate::stored::Texts;

impl PostgresStore {
    pub(super) async fn accept(&self, new: NewPublish, plan: Plan) -> Result<Accepted, StoreError> {
        let texts = Texts::of(&new).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        let publish = Arc::clone(&new.publish);
        let request = (new, texts, plan);
        let created = if together::is_fit(&request) {
            self.creating.run(&self.sessions, request).await?
        } else {
            self.sessions
                .write(request, |s, (new, texts, plan)| {
                    Box::pin(publishes::create(s, new, texts, *plan))
                })
                .await?
        };
        Ok(created.answer(publish, &self.cache))
    }

    /// What was claimed, with the publishes.
    pub(super) async fn claimed_jobs(
        &self,
        claimed: Vec<jobs::Claimed>,
    ) -> Result<Vec<Job>, StoreError> {
        let mut found = Vec::with_capacity(claimed.len());
        for claimed in claimed {
            let stored = self.claimed_publish(claimed.publish);
            if let Some(stored) = stored.await? {
                found.push(claimed.of(&stored));
            }
        }
        Ok(found)
    }

    /// The same for retries, which were claimed by publish.
    pub(super) async fn claimed_retries(
        &self,
        groups: Vec<retries::Group>,
    ) -> Result<Vec<RetryBatch>, StoreError> {
        let mut batches = Vec::with_capacity(groups.len());
        for group in groups {
            let stored = self.claimed_publish(group.publish);
            if let Some(stored) = stored.await? {
                batches.push(RetryBatch {
                    publish: stored.publish,
                    retries: group.retries,
                });
            }
        }
        Ok(batches)
    }

    pub(super) async fn page(
        &self,
        job: &Job,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let wanted = Platform::ALL.map(|platform| job.publish.payloads.has(platform));
        let window = Window {
            after: after.max(job.cursor),
            end: job.end,
            limit,
        };
        let args = (job.publish.instance, &*job.audience, window, wanted);
        let read = self
            .sessions
            .read(args, |s, (instance, audience, window, wanted)| {
                Box::pin(audience::page(s, *instance, audience, *window, *wanted))
            });
        Ok(read.await?.0)
    }

    pub(super) async fn settle(
        &self,
        progress: Progress,
        last: bool,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        if last {
            let call = (progress, settlement, now);
            return self.settling.run(&self.sessions, call).await;
        }
        self.sessions
            .write(
                (progress, settlement, now),
                |s, (progress, settlement, now)| {
                    Box::pin(settlement::page(s, *progress, settlement, *now))
                },
            )
            .await
    }

    pub(super) async fn replay(
        &self,
        request: replay::Request,
        plan: Plan,
        now: Timestamp,
    ) -> Result<Replayed, StoreError> {
        let outcome = self
            .sessions
            .write((request, plan, now), |s, (request, plan, now)| {
                Box::pin(replay::create(s, request, *plan, *now))
            })
            .await?;
        Ok(match outcome {
            replay::Outcome::Accepted(created) => {
                Replayed::Accepted(self.claimed_jobs(created.jobs).await?)
            }
            replay::Outcome::Repeated(id) => Replayed::Repeated(id),
            replay::Outcome::KeyReused => Replayed::KeyReused,
            replay::Outcome::Unfinished => Replayed::Unfinished,
            replay::Outcome::Expired => Replayed::Expired,
            replay::Outcome::Unknown => Replayed::Unknown,
        })
    }

    pub(super) async fn cancel(
        &self,
        instance: InstanceId,
        id: PublishId,
        now: Timestamp,
    ) -> Result<Cancelled, StoreError> {
        let (cancelled, number) = self
            .sessions
            .write((instance, id, now), |s, (instance, id, now)| {
                Box::pin(cancel::mark(s, *instance, *id, *now))
            })
            .await?;
        if let Some(number) = number {
            while !self
                .sessions
                .write(number, |s, number| {
                    Box::pin(cancel::remove_retries(s, *number))
                })
                .await?
            {}
        }
        Ok(cancelled)
    }

    pub(super) async fn count(
        &self,
        instance: InstanceId,
        audience: Audience,
        platforms: Vec<Platform>,
    ) -> Result<AudienceCount, StoreError> {
        let resolved = self
            .sessions
            .read((instance, audience), |s, (instance, audience)| {
                Box::pin(count::resolve(s, *instance, audience))
            })
            .await?;
        let (instance, resolved) = match resolved {
            None => return Ok(AudienceCount::default()),
            Some((instance, ResolvedAudience::Users(numbers))) => {
                return self
                    .sessions
                    .read(
                        (instance, numbers, platforms),
                        |s, (instance, numbers, platforms)| {
                            Box::pin(count::users(s, *instance, numbers, platforms))
                        },
                    )
                    .await;
            }
            Some(resolved) => resolved,
        };
        let mut counted = AudienceCount::default();
        let mut after = Some(DeviceOrdinal::default());
        while let Some(from) = after {
            let piece;
            (after, piece) = self
                .sessions
                .read(
                    (instance, &resolved, from),
                    |s, (instance, resolved, from)| {
                        Box::pin(count::piece(s, *instance, resolved, *from, count::PIECE))
                    },
                )
                .await?;
            for (platform, devices) in piece {
                if platforms.contains(&platform) {
                    counted.add(platform, devices);
                }
            }
        }
        Ok(counted)
    }

    pub(super) async fn prune(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let mut pruned = 0;
        while pruned < limit {
            let piece = self
                .sessions
                .write((before, limit - pruned), |s, (before, left)| {
                    Box::pin(prune::publishes(s, *before, *left))
                })
                .await?;
            pruned += piece.publishes;
            if piece.done {
                break;
            }
        }
        // What a crash left of a deleted instance.
        self.purge_deleted().await?;
        Ok(pruned)
    }
}
