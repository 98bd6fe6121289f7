//! [`Store`] for [`SqliteStore`]: which thread does what. Nothing is decided here.

use std::sync::Arc;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceMetadata, DeviceOrdinal, GatewayToken, Registration};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::publish::{Audience, PublishId};
use domain::user::UserId;

use super::{
    SqliteStore, audience, devices, events, export, import, instances, interests, jobs, keys,
    lookup, replay, retries, scheduled, settlement, users,
};
use crate::devices::{Bound, Changed, DeviceRecord, InterestPage, Registered};
use crate::lookup::{
    AudienceCount, Cancelled, Failed, Fresh, PublishCursor, PublishPage, PublishReport,
    PublishState, Replayed, UserOutcome,
};
use crate::publishes::{
    Accepted, Event, Fence, Job, JobId, Lease, NewPublish, Once, Page, Plan, QueueDepth, Recorded,
    RetryBatch, RetryId, Settled, Settlement,
};
use crate::transfer::{DeviceImport, DevicesPage, ImportRules, Imported};
use crate::{Store, StoreError};

#[async_trait]
impl Store for SqliteStore {
    async fn register_device(
        &self,
        registration: Registration,
        fresh: DeviceId,
        devices_max: Option<u64>,
        now: Timestamp,
    ) -> Result<Registered, StoreError> {
        self.writer
            .run_for_devices(move |c| devices::register(c, &registration, fresh, devices_max, now))
            .await
    }

    async fn device(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        self.readers
            .run_for_devices(move |c| devices::one(c, instance, id))
            .await
    }

    async fn delete_device(&self, instance: InstanceId, id: DeviceId) -> Result<bool, StoreError> {
        self.writer
            .run_for_devices(move |c| devices::delete(c, instance, id))
            .await
    }

    async fn set_metadata(
        &self,
        instance: InstanceId,
        id: DeviceId,
        metadata: DeviceMetadata,
    ) -> Result<Changed, StoreError> {
        self.writer
            .run_for_devices(move |c| devices::set_metadata(c, instance, id, &metadata))
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
            .run_for_devices(move |c| devices::set_gateway_token(c, instance, id, &token, now))
            .await
    }

    async fn bind_user(
        &self,
        instance: InstanceId,
        id: DeviceId,
        user: UserId,
        devices_max: u32,
        now: Timestamp,
    ) -> Result<Bound, StoreError> {
        self.writer
            .run_for_devices(move |c| users::bind(c, instance, id, &user, devices_max, now))
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
            .run_for_devices(move |c| interests::page(c, instance, id, after.as_ref(), limit))
            .await
    }

    async fn set_interests(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interests: Vec<InterestName>,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        let names = interests.len();
        let set = move |c: &_| interests::set(c, instance, id, &interests, now);
        self.writer.run_with_names(names, set).await
    }

    async fn add_interest(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interest: InterestName,
        interests_max: usize,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        self.writer
            .run_for_devices(move |c| {
                interests::add(c, instance, id, &interest, interests_max, now)
            })
            .await
    }

    async fn remove_interest(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interest: InterestName,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        self.writer
            .run_for_devices(move |c| interests::remove(c, instance, id, &interest, now))
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
        after: Option<uuid::Uuid>,
        limit: usize,
    ) -> Result<DevicesPage, StoreError> {
        self.readers
            .run(move |c| export::devices(c, instance, after, limit))
            .await
    }

    async fn create_publish(&self, new: NewPublish, plan: Plan) -> Result<Accepted, StoreError> {
        self.accept(new, plan).await
    }

    async fn repeated_publish(
        &self,
        instance: InstanceId,
        once: Once,
    ) -> Result<Option<PublishId>, StoreError> {
        self.readers
            .run(move |c| keys::made(c, instance, &once))
            .await
    }

    async fn start_scheduled(
        &self,
        plan: Plan,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let started = self
            .writer
            .run(move |c| scheduled::start(c, plan, now, limit))
            .await?;
        self.claimed_jobs(started).await
    }

    async fn next_scheduled(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.run(scheduled::next_due).await
    }

    async fn cancel_publish(
        &self,
        instance: InstanceId,
        id: PublishId,
        now: Timestamp,
    ) -> Result<Cancelled, StoreError> {
        self.cancel(instance, id, now).await
    }

    async fn replay_publish(
        &self,
        instance: InstanceId,
        id: PublishId,
        fresh: Fresh,
        once: Option<Once>,
        plan: Plan,
        now: Timestamp,
    ) -> Result<Replayed, StoreError> {
        let request = replay::Request {
            instance,
            of: id,
            fresh,
            once,
        };
        self.replay(request, plan, now).await
    }

    async fn count_audience(
        &self,
        instance: InstanceId,
        audience: Audience,
        platforms: Vec<domain::device::Platform>,
    ) -> Result<AudienceCount, StoreError> {
        self.count(instance, audience, platforms).await
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
        self.claimed_jobs(claimed).await
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
        let wanted =
            domain::device::Platform::ALL.map(|platform| job.publish.payloads.has(platform));
        let window = audience::Window {
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
        let progress = settlement::Progress {
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
            .run_for_retries(move |c| retries::claim(c, lease, now, limit))
            .await?;
        self.claimed_retries(groups).await
    }

    async fn renew_retries(
        &self,
        ids: Vec<(RetryId, Fence)>,
        until: Timestamp,
    ) -> Result<Settled, StoreError> {
        self.writer
            .run(move |c| retries::renew(c, &ids, until))
            .await
    }

    async fn settle_retries(
        &self,
        publish: PublishId,
        ids: Vec<(RetryId, Fence)>,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        self.writer
            .run_for_retries(move |c| settlement::of_retries(c, publish, &ids, &settlement, now))
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
            .run(move |c| lookup::report(c, instance, id))
            .await
    }

    async fn list_publishes(
        &self,
        instance: InstanceId,
        state: Option<PublishState>,
        after: Option<PublishCursor>,
        limit: usize,
    ) -> Result<PublishPage, StoreError> {
        self.readers
            .run(move |c| lookup::list(c, instance, state, after, limit))
            .await
    }

    async fn publish_users(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Option<Vec<UserOutcome>>, StoreError> {
        self.readers
            .run(move |c| lookup::users(c, instance, id, after.as_ref(), limit))
            .await
    }

    async fn publish_failures(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<Failed>>, StoreError> {
        self.readers
            .run(move |c| lookup::failures(c, instance, id, after, limit))
            .await
    }

    async fn record_events(&self, events: Vec<Event>) -> Result<Vec<Recorded>, StoreError> {
        self.writer
            .run_for_devices(move |c| events::record(c, &events))
            .await
    }

    async fn queue_depth(&self, now: Timestamp) -> Result<QueueDepth, StoreError> {
        self.readers.run(move |c| jobs::queue_depth(c, now)).await
    }

    async fn prune_publishes(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.prune(before, limit).await
    }

    async fn prune_keys(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.writer
            .run(move |c| keys::prune(c, before, limit))
            .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.writer.run(instances::check).await?;
        self.readers.run(instances::configuration_version).await?;
        self.readers.run(jobs::check).await
    }

    async fn close(&self) {
        self.shut_down().await;
    }
}
