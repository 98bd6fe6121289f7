//! Calls of the store that take more than one step: those that hand out jobs, and those that go on in pieces.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::publish::{Audience, PublishId};

use super::{SqliteStore, cancel, count, jobs, prune, publishes, replay};
use crate::StoreError;
use crate::lookup::{AudienceCount, Cancelled, Replayed};
use crate::publishes::{Accepted, Job, NewPublish, Plan, ResolvedAudience, Retry, RetryBatch};
use crate::stored::Texts;

impl SqliteStore {
    pub(super) async fn accept(&self, new: NewPublish, plan: Plan) -> Result<Accepted, StoreError> {
        let texts = Texts::of(&new).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        let publish = Arc::clone(&new.publish);
        let created = self
            .writer
            .run(move |c| publishes::create(c, &new, &texts, plan))
            .await?;
        Ok(created.answer(publish, &self.cache))
    }

    /// What was claimed, with the publishes.
    pub(super) async fn claimed_jobs(
        &self,
        claimed: Vec<jobs::Claimed>,
    ) -> Result<Vec<Job>, StoreError> {
        let mut found = Vec::with_capacity(claimed.len());
        for claimed in claimed {
            if let Some(stored) = self.claimed_publish(claimed.publish).await? {
                found.push(claimed.of(&stored));
            }
        }
        Ok(found)
    }

    /// The same for retries, which were claimed by publish.
    pub(super) async fn claimed_retries(
        &self,
        groups: Vec<(i64, Vec<Retry>)>,
    ) -> Result<Vec<RetryBatch>, StoreError> {
        let mut batches = Vec::with_capacity(groups.len());
        for (number, retries) in groups {
            if let Some(stored) = self.claimed_publish(number).await? {
                batches.push(RetryBatch {
                    publish: stored.publish,
                    retries,
                });
            }
        }
        Ok(batches)
    }

    pub(super) async fn replay(
        &self,
        request: replay::Request,
        plan: Plan,
        now: Timestamp,
    ) -> Result<Replayed, StoreError> {
        let outcome = self
            .writer
            .run(move |c| replay::create(c, &request, plan, now))
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
            .writer
            .run(move |c| cancel::mark(c, instance, id, now))
            .await?;
        if let Some(number) = number {
            while !self
                .writer
                .run(move |c| cancel::remove_retries(c, number))
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
            .readers
            .run(move |c| count::resolve(c, instance, &audience))
            .await?;
        let resolved = match resolved {
            None => return Ok(AudienceCount::default()),
            Some(ResolvedAudience::Users(numbers)) => {
                return self
                    .readers
                    .run(move |c| count::users(c, &numbers, &platforms))
                    .await;
            }
            Some(resolved) => Arc::new(resolved),
        };
        let platforms: Arc<[Platform]> = platforms.into();
        let mut counted = AudienceCount::default();
        let mut after = Some(DeviceOrdinal::default());
        while let Some(from) = after {
            let (resolved, platforms) = (Arc::clone(&resolved), Arc::clone(&platforms));
            (after, counted) = self
                .readers
                .run(move |c| {
                    let next =
                        count::piece(c, &resolved, from, count::PIECE, &platforms, &mut counted)?;
                    Ok((next, counted))
                })
                .await?;
        }
        Ok(counted)
    }

    pub(super) async fn prune(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let mut pruned = 0;
        while pruned < limit {
            let left = limit - pruned;
            let piece = self
                .writer
                .run(move |c| prune::publishes(c, before, left))
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
