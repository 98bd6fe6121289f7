//! What is kept for those who manage: each call handed to the thread that does it.

use async_trait::async_trait;
use domain::admin_token::AdminTokenDigest;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal, Recipient};
use domain::instance::{InstanceId, InstanceName};
use domain::user::UserId;

use super::{SqliteStore, audit, forget, instances, people, prune, tokens, users};
use crate::StoreError;
use crate::administration::{
    AdminTokenId, AdminTokenRecord, Administration, AuditEntry, AuditFilter, AuditId, AuditOutcome,
    DeviceFilter, Forgotten, ListedDevice, ListedUser, NewAdminToken, NewAuditEntry, TracePage,
    Unbound,
};
use crate::lookup::PublishCursor;

#[async_trait]
impl Administration for SqliteStore {
    async fn add_admin_token(
        &self,
        new: NewAdminToken,
        entry: NewAuditEntry,
    ) -> Result<Option<AdminTokenId>, StoreError> {
        self.writer.run(move |c| tokens::add(c, &new, &entry)).await
    }

    async fn admin_token(
        &self,
        digest: AdminTokenDigest,
    ) -> Result<Option<AdminTokenRecord>, StoreError> {
        self.readers.run(move |c| tokens::one(c, digest)).await
    }

    async fn admin_tokens(&self) -> Result<Vec<AdminTokenRecord>, StoreError> {
        self.readers.run(tokens::all).await
    }

    async fn revoke_admin_token(
        &self,
        id: AdminTokenId,
        entry: NewAuditEntry,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| tokens::revoke(c, id, &entry))
            .await
    }

    async fn touch_admin_token(&self, id: AdminTokenId, now: Timestamp) -> Result<(), StoreError> {
        self.writer.run(move |c| tokens::touch(c, id, now)).await
    }

    async fn append_audit(&self, entry: NewAuditEntry) -> Result<AuditId, StoreError> {
        let begun = AuditOutcome::Begun;
        self.writer
            .run(move |c| audit::append(c, &entry, &begun))
            .await
    }

    async fn conclude_audit(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError> {
        self.writer
            .run(move |c| audit::conclude(c, id, &outcome))
            .await
    }

    async fn audit_page(
        &self,
        filter: AuditFilter,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.readers
            .run(move |c| audit::page(c, &filter, after, limit))
            .await
    }

    async fn prune_audit(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.writer
            .run(move |c| audit::prune(c, before, limit))
            .await
    }

    async fn rename_instance(
        &self,
        id: InstanceId,
        name: InstanceName,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| instances::rename(c, id, &name))
            .await
    }

    async fn list_devices(
        &self,
        instance: InstanceId,
        filter: DeviceFilter,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Vec<ListedDevice>, StoreError> {
        self.readers
            .run(move |c| people::devices(c, instance, &filter, after, limit))
            .await
    }

    async fn recipient(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Option<Recipient>, StoreError> {
        self.readers
            .run(move |c| people::recipient(c, instance, id))
            .await
    }

    async fn unbind_device(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Unbound, StoreError> {
        self.writer
            .run_for_devices(move |c| users::unbind(c, instance, id))
            .await
    }

    async fn list_users(
        &self,
        instance: InstanceId,
        prefix: &str,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<ListedUser>, StoreError> {
        let prefix = prefix.to_owned();
        self.readers
            .run(move |c| people::users(c, instance, &prefix, after.as_ref(), limit))
            .await
    }

    async fn user_traces(
        &self,
        instance: InstanceId,
        user: UserId,
        after: Option<PublishCursor>,
    ) -> Result<TracePage, StoreError> {
        self.readers
            .run(move |c| forget::traces(c, instance, &user, after))
            .await
    }

    async fn forget_user(
        &self,
        instance: InstanceId,
        user: UserId,
        pseudonym: UserId,
    ) -> Result<Forgotten, StoreError> {
        let whom = user.clone();
        let begun = self
            .writer
            .run(move |c| forget::begin(c, instance, &whom, &pseudonym))
            .await?;
        let Some((mut numbers, mut forgotten)) = begun else {
            return Ok(Forgotten::default());
        };
        loop {
            let whom = user.clone();
            let at = numbers.clone();
            let piece = self.writer.run(move |c| forget::piece(c, &at, &whom));
            let (next, removed) = piece.await?;
            forgotten.add(removed);
            match next {
                Some(before) => numbers.before = before,
                None => return Ok(forgotten),
            }
        }
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let scrubbed = tokio::task::spawn_blocking(move || forget::scrub(&path));
        scrubbed
            .await
            .unwrap_or_else(|_| Err(super::error::unavailable("scrubbing was cut short")))
    }

    async fn prune_payloads(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.writer
            .run(move |c| prune::payloads(c, before, limit))
            .await
    }

    async fn prune_names(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let mut pruned = 0;
        while pruned < limit as u64 {
            let piece = self.writer.run(move |c| prune::names(c, before)).await?;
            let Some(finished) = piece else { break };
            pruned += u64::from(finished);
        }
        Ok(pruned)
    }
}
