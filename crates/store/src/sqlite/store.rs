//! [`Store`] for [`SqliteStore`]: which thread does what. Nothing is decided here.

use std::sync::Arc;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{
    DeviceId, DeviceMetadata, DeviceOrdinal, GatewayToken, Platform, Registration,
};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::publish::PublishId;
use domain::user::UserId;
use uuid::Uuid;

use super::audience::Window;
use super::publishes::Stored;
use super::settlement::Progress;
use super::{
    SqliteStore, audience, devices, events, export, import, instances, interests, jobs, prune,
    publishes, retries, settlement, users,
};
use crate::devices::{Bound, Changed, DeviceRecord, InterestPage, Registered};
use crate::instances::{
    CredentialVersion, InstanceRecord, NewCredential, NewInstance, NewSecretKey, SecretKeyId,
};
use crate::publishes::{
    Event, Fence, Job, JobId, Lease, NewPublish, Page, Plan, PublishReport, QueueDepth, Recorded,
    RetryBatch, RetryId, Settled, Settlement,
};
use crate::transfer::{DeviceImport, DevicesPage, ImportRules, Imported};
use crate::{Store, StoreError};

/// A job as its caller wants it.
fn job(claimed: jobs::Claimed, stored: &Stored) -> Job {
    Job {
        id: claimed.job,
        publish: Arc::clone(&stored.publish),
        cursor: claimed.cursor,
        end: claimed.end,
        fence: claimed.fence,
        audience: Arc::clone(&stored.audience),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn configuration_version(&self) -> Result<i64, StoreError> {
        self.readers.run(instances::configuration_version).await
    }

    async fn create_instance(&self, new: NewInstance) -> Result<(), StoreError> {
        self.writer.run(move |c| instances::create(c, &new)).await
    }

    async fn instance(&self, id: InstanceId) -> Result<Option<InstanceRecord>, StoreError> {
        self.readers.run(move |c| instances::one(c, id)).await
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>, StoreError> {
        self.readers.run(instances::all).await
    }

    async fn delete_instance(&self, id: InstanceId) -> Result<bool, StoreError> {
        let was_there = self
            .writer
            .run(move |c| instances::mark_deleted(c, id))
            .await?;
        if was_there {
            self.cache.clear();
            self.purge_deleted().await?;
        }
        Ok(was_there)
    }

    async fn add_secret_key(
        &self,
        instance: InstanceId,
        key: NewSecretKey,
    ) -> Result<SecretKeyId, StoreError> {
        self.writer
            .run(move |c| instances::add_secret_key(c, instance, &key))
            .await
    }

    async fn revoke_secret_key(
        &self,
        instance: InstanceId,
        key: SecretKeyId,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| instances::revoke_secret_key(c, instance, key))
            .await
    }

    async fn set_credential(
        &self,
        instance: InstanceId,
        new: NewCredential,
    ) -> Result<(), StoreError> {
        self.writer
            .run(move |c| instances::set_credential(c, instance, &new))
            .await
    }

    async fn mark_credential(
        &self,
        instance: InstanceId,
        platform: Platform,
        version: CredentialVersion,
        broken: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let broken = broken.map(str::to_owned);
        self.writer
            .run(move |c| {
                instances::mark_credential(c, instance, platform, version, broken.as_deref(), now)
            })
            .await
    }

    async fn register_device(
        &self,
        registration: Registration,
        fresh: DeviceId,
        now: Timestamp,
    ) -> Result<Registered, StoreError> {
        self.writer
            .run(move |c| devices::register(c, &registration, fresh, now))
            .await
    }

    async fn device(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        self.readers
            .run(move |c| devices::one(c, instance, id))
            .await
    }

    async fn delete_device(&self, instance: InstanceId, id: DeviceId) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| devices::delete(c, instance, id))
            .await
    }

    async fn set_metadata(
        &self,
        instance: InstanceId,
        id: DeviceId,
        metadata: DeviceMetadata,
    ) -> Result<Changed, StoreError> {
        self.writer
            .run(move |c| devices::set_metadata(c, instance, id, &metadata))
            .await
    }

    async fn set_gateway_token(
        &self,
        instance: InstanceId,
        id: DeviceId,
        token: GatewayToken,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        self.writer
            .run(move |c| devices::set_gateway_token(c, instance, id, &token, now))
            .await
    }

    async fn bind_user(
        &self,
        instance: InstanceId,
        id: DeviceId,
        user: UserId,
        devices_max: u32,
    ) -> Result<Bound, StoreError> {
        self.writer
            .run(move |c| users::bind(c, instance, id, &user, devices_max))
            .await
    }

    async fn delete_user(&self, instance: InstanceId, user: UserId) -> Result<u64, StoreError> {
        self.writer
            .run(move |c| users::delete(c, instance, &user))
            .await
    }

    async fn interests(
        &self,
        instance: InstanceId,
        id: DeviceId,
        after: Option<InterestName>,
        limit: usize,
    ) -> Result<Option<InterestPage>, StoreError> {
        self.readers
            .run(move |c| interests::page(c, instance, id, after.as_ref(), limit))
            .await
    }

    async fn set_interests(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interests: Vec<InterestName>,
    ) -> Result<Changed, StoreError> {
        self.writer
            .run(move |c| interests::set(c, instance, id, &interests))
            .await
    }

    async fn add_interest(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interest: InterestName,
        interests_max: usize,
    ) -> Result<Changed, StoreError> {
        self.writer
            .run(move |c| interests::add(c, instance, id, &interest, interests_max))
            .await
    }

    async fn remove_interest(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interest: InterestName,
    ) -> Result<Changed, StoreError> {
        self.writer
            .run(move |c| interests::remove(c, instance, id, &interest))
            .await
    }

    async fn import_devices(
        &self,
        instance: InstanceId,
        devices: Arc<[DeviceImport]>,
        rules: ImportRules,
        now: Timestamp,
    ) -> Result<Vec<Imported>, StoreError> {
        self.writer
            .run(move |c| import::devices(c, instance, &devices, rules, now))
            .await
    }

    async fn export_devices(
        &self,
        instance: InstanceId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<DevicesPage, StoreError> {
        self.readers
            .run(move |c| export::devices(c, instance, after, limit))
            .await
    }

    async fn create_publish(&self, new: NewPublish, plan: Plan) -> Result<Vec<Job>, StoreError> {
        let payloads = serde_json::to_string(&new.publish.payloads)
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        let publish = Arc::clone(&new.publish);
        let created = self
            .writer
            .run(move |c| publishes::create(c, &new.publish, &payloads, &new.audience, plan))
            .await?;
        let stored = Stored {
            publish,
            audience: created.audience,
        };
        let jobs: Vec<Job> = created
            .jobs
            .into_iter()
            .map(|claimed| job(claimed, &stored))
            .collect();
        if !jobs.is_empty() {
            // Retries will ask for it.
            self.cache.put(created.number, stored);
        }
        Ok(jobs)
    }

    async fn claim_jobs(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let claimed = self
            .writer
            .run(move |c| jobs::claim(c, lease, now, limit))
            .await?;
        let mut jobs = Vec::with_capacity(claimed.len());
        for claimed in claimed {
            if let Some(stored) = self.claimed_publish(claimed.publish).await? {
                jobs.push(job(claimed, &stored));
            }
        }
        Ok(jobs)
    }

    async fn renew_job(
        &self,
        job: JobId,
        fence: Fence,
        until: Timestamp,
    ) -> Result<Settled, StoreError> {
        self.writer
            .run(move |c| jobs::renew(c, job, fence, until))
            .await
    }

    async fn release_job(&self, job: JobId, fence: Fence) -> Result<Settled, StoreError> {
        self.writer.run(move |c| jobs::release(c, job, fence)).await
    }

    async fn audience_page(
        &self,
        job: &Job,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let audience = Arc::clone(&job.audience);
        let wanted = Platform::ALL.map(|platform| job.publish.payloads.has(platform));
        let window = Window {
            after: after.max(job.cursor),
            end: job.end,
            limit,
        };
        self.readers
            .run(move |c| audience::page(c, &audience, window, wanted).map(|(page, _)| page))
            .await
    }

    async fn settle_page(
        &self,
        job: &Job,
        cursor: DeviceOrdinal,
        last: bool,
        lease_until: Timestamp,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        let progress = Progress {
            job: job.id,
            fence: job.fence,
            cursor,
            last,
            lease_until,
        };
        self.writer
            .run(move |c| settlement::page(c, progress, &settlement, now))
            .await
    }

    async fn claim_retries(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<RetryBatch>, StoreError> {
        let groups = self
            .writer
            .run(move |c| retries::claim(c, lease, now, limit))
            .await?;
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

    async fn settle_retries(
        &self,
        publish: PublishId,
        ids: Vec<(RetryId, Fence)>,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        self.writer
            .run(move |c| settlement::of_retries(c, publish, &ids, &settlement, now))
            .await
    }

    async fn next_retry_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.readers.run(move |c| retries::next_due(c, now)).await
    }

    async fn publish_report(
        &self,
        instance: InstanceId,
        id: PublishId,
    ) -> Result<Option<PublishReport>, StoreError> {
        self.readers
            .run(move |c| publishes::report(c, instance, id))
            .await
    }

    async fn record_events(&self, events: Vec<Event>) -> Result<Vec<Recorded>, StoreError> {
        self.writer.run(move |c| events::record(c, &events)).await
    }

    async fn queue_depth(&self, now: Timestamp) -> Result<QueueDepth, StoreError> {
        self.readers.run(move |c| jobs::queue_depth(c, now)).await
    }

    async fn prune_publishes(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
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

    async fn check(&self) -> Result<(), StoreError> {
        self.writer.run(instances::check).await?;
        self.readers
            .run(instances::configuration_version)
            .await
            .map(|_| ())
    }

    async fn close(&self) {
        self.shut_down().await;
    }
}
