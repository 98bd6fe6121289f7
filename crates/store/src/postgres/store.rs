//! [`Store`] for [`PostgresStore`]: what is a transaction and what is not. Nothing is decided here.

use std::sync::Arc;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{
    DeviceId, DeviceMetadata, DeviceOrdinal, GatewayToken, Platform, Registration,
};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::publish::{Audience, PublishId};
use domain::user::UserId;

use super::{
    PostgresStore, devices, export, import, instances, interests, jobs, keys, lookup, replay,
    retries, scheduled, settlement, users,
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

/// `call!(self.write(a, b), |s| work(s, *a, b))`: the work gets references to the arguments, since it may be done again.
/// `self.for_devices.write` is the same for what devices ask for.
macro_rules! call {
    ($self:ident.$how:ident($($arg:ident),*), |$s:ident| $work:expr) => {
        call!($self.sessions.$how($($arg),*), |$s| $work)
    };
    ($self:ident.$sessions:ident.$how:ident($($arg:ident),*), |$s:ident| $work:expr) => {
        $self
            .$sessions
            .$how(($($arg,)*), |$s, ($($arg,)*)| Box::pin($work))
            .await
    };
}

pub(super) use call;

#[async_trait]
impl Store for PostgresStore {
    async fn register_device(
        &self,
        registration: Registration,
        fresh: DeviceId,
        most: Option<u64>,
        now: Timestamp,
    ) -> Result<Registered, StoreError> {
        call!(
            self.for_devices.write(registration, fresh, most, now),
            |s| devices::register(s, registration, *fresh, *most, *now)
        )
    }

    async fn device(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        call!(self.for_devices.read(instance, id), |s| devices::one(
            s, *instance, *id
        ))
    }

    async fn delete_device(&self, instance: InstanceId, id: DeviceId) -> Result<bool, StoreError> {
        call!(self.for_devices.write(instance, id), |s| devices::delete(
            s, *instance, *id
        ))
    }

    async fn set_metadata(
        &self,
        instance: InstanceId,
        id: DeviceId,
        metadata: DeviceMetadata,
    ) -> Result<Changed, StoreError> {
        call!(self.for_devices.write(instance, id, metadata), |s| {
            devices::set_metadata(s, *instance, *id, metadata)
        })
    }

    async fn set_gateway_token(
        &self,
        instance: InstanceId,
        id: DeviceId,
        token: GatewayToken,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        call!(self.for_devices.write(instance, id, token, now), |s| {
            devices::set_gateway_token(s, *instance, *id, token, *now)
        })
    }

    async fn bind_user(
        &self,
        instance: InstanceId,
        id: DeviceId,
        user: UserId,
        most: u32,
        now: Timestamp,
    ) -> Result<Bound, StoreError> {
        call!(self.for_devices.write(instance, id, user, most, now), |s| {
            users::bind(s, *instance, *id, user, *most, *now)
        })
    }

    async fn delete_user(&self, instance: InstanceId, user: UserId) -> Result<u64, StoreError> {
        call!(self.write(instance, user), |s| users::delete(
            s, *instance, user
        ))
    }

    async fn interests(
        &self,
        instance: InstanceId,
        id: DeviceId,
        after: Option<InterestName>,
        limit: usize,
    ) -> Result<Option<InterestPage>, StoreError> {
        call!(self.for_devices.read(instance, id, after, limit), |s| {
            interests::page(s, *instance, *id, after.as_ref(), *limit)
        })
    }

    async fn set_interests(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interests: Vec<InterestName>,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        call!(self.for_devices.write(instance, id, interests, now), |s| {
            interests::set(s, *instance, *id, interests, *now)
        })
    }

    async fn add_interest(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interest: InterestName,
        interests_max: usize,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        call!(
            self.for_devices
                .write(instance, id, interest, interests_max, now),
            |s| interests::add(s, *instance, *id, interest, *interests_max, *now)
        )
    }

    async fn remove_interest(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interest: InterestName,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        call!(self.for_devices.write(instance, id, interest, now), |s| {
            interests::remove(s, *instance, *id, interest, *now)
        })
    }

    async fn import_devices(
        &self,
        instance: InstanceId,
        devices: Arc<[DeviceImport]>,
        rules: ImportRules,
        now: Timestamp,
    ) -> Result<Vec<Imported>, StoreError> {
        call!(self.write(instance, devices, rules, now), |s| {
            import::devices(s, *instance, devices, *rules, *now)
        })
    }

    async fn export_devices(
        &self,
        instance: InstanceId,
        after: Option<uuid::Uuid>,
        limit: usize,
    ) -> Result<DevicesPage, StoreError> {
        call!(self.snapshot(instance, after, limit), |s| export::devices(
            s, *instance, *after, *limit
        ))
    }

    async fn create_publish(&self, new: NewPublish, plan: Plan) -> Result<Accepted, StoreError> {
        let accepted = self.accept(new, plan).await;
        self.tell_of_work(plan);
        accepted
    }

    async fn repeated_publish(
        &self,
        instance: InstanceId,
        once: Once,
    ) -> Result<Option<PublishId>, StoreError> {
        call!(self.read(instance, once), |s| keys::made(
            s, *instance, once
        ))
    }

    async fn start_scheduled(
        &self,
        plan: Plan,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let started = call!(self.write(plan, now, limit), |s| scheduled::start(
            s, *plan, *now, *limit
        ))?;
        self.tell_of_work(plan);
        self.claimed_jobs(started).await
    }

    async fn next_scheduled(&self) -> Result<Option<Timestamp>, StoreError> {
        call!(self.read(), |s| scheduled::next_due(s))
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
        let replayed = self.replay(request, plan, now).await;
        self.tell_of_work(plan);
        replayed
    }

    async fn count_audience(
        &self,
        instance: InstanceId,
        audience: Audience,
        platforms: Vec<Platform>,
    ) -> Result<AudienceCount, StoreError> {
        self.count(instance, audience, platforms).await
    }

    async fn claim_jobs(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let claimed = call!(self.write(lease, now, limit), |s| jobs::claim(
            s, *lease, *now, *limit
        ))?;
        self.claimed_jobs(claimed).await
    }

    async fn renew_job(
        &self,
        job: JobId,
        fence: Fence,
        until: Timestamp,
    ) -> Result<Settled, StoreError> {
        call!(self.write(job, fence, until), |s| jobs::renew(
            s, *job, *fence, *until, None
        ))
    }

    async fn release_job(&self, job: JobId, fence: Fence) -> Result<Settled, StoreError> {
        let released = call!(self.write(job, fence), |s| jobs::release(s, *job, *fence));
        self.bell.ring();
        released
    }

    async fn audience_page(
        &self,
        job: &Job,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.page(job, after, limit).await
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
            publish: job.publish.id,
            cursor,
            lease_until,
        };
        self.settle(progress, last, settlement, now).await
    }

    async fn claim_retries(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<RetryBatch>, StoreError> {
        let groups = call!(self.write(lease, now, limit), |s| retries::claim(
            s, *lease, *now, *limit
        ))?;
        self.claimed_retries(groups).await
    }

    async fn renew_retries(
        &self,
        ids: Vec<(RetryId, Fence)>,
        until: Timestamp,
    ) -> Result<Settled, StoreError> {
        call!(self.write(ids, until), |s| retries::renew(s, ids, *until))
    }

    async fn settle_retries(
        &self,
        publish: PublishId,
        ids: Vec<(RetryId, Fence)>,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        call!(self.write(publish, ids, settlement, now), |s| {
            settlement::of_retries(s, *publish, ids, settlement, *now)
        })
    }

    async fn next_retry_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        call!(self.read(now), |s| retries::next_due(s, *now))
    }

    async fn publish_report(
        &self,
        instance: InstanceId,
        id: PublishId,
    ) -> Result<Option<PublishReport>, StoreError> {
        call!(self.snapshot(instance, id), |s| lookup::report(
            s, *instance, *id
        ))
    }

    async fn list_publishes(
        &self,
        instance: InstanceId,
        state: Option<PublishState>,
        after: Option<PublishCursor>,
        limit: usize,
    ) -> Result<PublishPage, StoreError> {
        call!(self.snapshot(instance, state, after, limit), |s| {
            lookup::list(s, *instance, *state, *after, *limit)
        })
    }

    async fn publish_users(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Option<Vec<UserOutcome>>, StoreError> {
        call!(
            self.snapshot(instance, id, after, limit),
            |s| lookup::users(s, *instance, *id, after.as_ref(), *limit)
        )
    }

    async fn publish_failures(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<Failed>>, StoreError> {
        call!(self.read(instance, id, after, limit), |s| lookup::failures(
            s, *instance, *id, *after, *limit
        ))
    }

    async fn record_events(&self, events: Vec<Event>) -> Result<Vec<Recorded>, StoreError> {
        self.reporting.run(&self.for_devices, events).await
    }

    async fn queue_depth(&self, now: Timestamp) -> Result<QueueDepth, StoreError> {
        call!(self.read(now), |s| jobs::queue_depth(s, *now))
    }

    async fn prune_publishes(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.prune(before, limit).await
    }

    async fn prune_keys(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        call!(self.write(before, limit), |s| keys::prune(
            s, *before, *limit
        ))
    }

    async fn check(&self) -> Result<(), StoreError> {
        call!(self.write(), |s| instances::check(s))
    }

    async fn close(&self) {
        self.bell.stop().await;
        self.sessions.close().await;
    }
}
