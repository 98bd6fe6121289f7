//! What is kept for those who manage: what is a transaction and what is not.

use async_trait::async_trait;
use domain::admin_token::AdminTokenDigest;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal, Recipient};
use domain::instance::{InstanceId, InstanceName};
use domain::user::UserId;

use super::{PostgresStore, audit, forget, instances, people, prune, tokens, users};
use crate::StoreError;
use crate::administration::{
    AdminTokenId, AdminTokenRecord, Administration, AuditEntry, AuditFilter, AuditId, AuditOutcome,
    DeviceFilter, Forgotten, ListedDevice, ListedUser, NewAdminToken, NewAuditEntry, TracePage,
    Unbound,
};
use crate::lookup::PublishCursor;

/// As in `store.rs`: the work gets references to the arguments, since it may be done again.
macro_rules! call {
    ($self:ident.$how:ident($($arg:ident),*), |$s:ident| $work:expr) => {
        $self
            .sessions
            .$how(($($arg,)*), |$s, ($($arg,)*)| Box::pin($work))
            .await
    };
}

#[async_trait]
impl Administration for PostgresStore {
    async fn add_admin_token(
        &self,
        new: NewAdminToken,
        entry: NewAuditEntry,
    ) -> Result<Option<AdminTokenId>, StoreError> {
        call!(self.write(new, entry), |s| tokens::add(s, new, entry))
    }

    async fn admin_token(
        &self,
        digest: AdminTokenDigest,
    ) -> Result<Option<AdminTokenRecord>, StoreError> {
        call!(self.read(digest), |s| tokens::one(s, *digest))
    }

    async fn admin_tokens(&self) -> Result<Vec<AdminTokenRecord>, StoreError> {
        call!(self.read(), |s| tokens::all(s))
    }

    async fn revoke_admin_token(
        &self,
        id: AdminTokenId,
        entry: NewAuditEntry,
    ) -> Result<bool, StoreError> {
        call!(self.write(id, entry), |s| tokens::revoke(s, *id, entry))
    }

    async fn touch_admin_token(&self, id: AdminTokenId, now: Timestamp) -> Result<(), StoreError> {
        call!(self.write(id, now), |s| tokens::touch(s, *id, *now))
    }

    async fn append_audit(&self, entry: NewAuditEntry) -> Result<AuditId, StoreError> {
        call!(self.write(entry), |s| audit::append(
            s,
            entry,
            &AuditOutcome::Begun
        ))
    }

    async fn conclude_audit(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError> {
        call!(self.write(id, outcome), |s| audit::conclude(
            s, *id, outcome
        ))
    }

    async fn audit_page(
        &self,
        filter: AuditFilter,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        call!(self.read(filter, after, limit), |s| audit::page(
            s, filter, *after, *limit
        ))
    }

    async fn prune_audit(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        call!(self.write(before, limit), |s| audit::prune(
            s, *before, *limit
        ))
    }

    async fn rename_instance(
        &self,
        id: InstanceId,
        name: InstanceName,
    ) -> Result<bool, StoreError> {
        call!(self.write(id, name), |s| instances::rename(s, *id, name))
    }

    async fn list_devices(
        &self,
        instance: InstanceId,
        filter: DeviceFilter,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Vec<ListedDevice>, StoreError> {
        call!(self.read(instance, filter, after, limit), |s| {
            people::devices(s, *instance, filter, *after, *limit)
        })
    }

    async fn recipient(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Option<Recipient>, StoreError> {
        call!(self.read(instance, id), |s| people::recipient(
            s, *instance, *id
        ))
    }

    async fn unbind_device(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Unbound, StoreError> {
        call!(self.write(instance, id), |s| users::unbind(
            s, *instance, *id
        ))
    }

    async fn list_users(
        &self,
        instance: InstanceId,
        prefix: &str,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<ListedUser>, StoreError> {
        let prefix = prefix.to_owned();
        call!(self.read(instance, prefix, after, limit), |s| {
            people::users(s, *instance, prefix, after.as_ref(), *limit)
        })
    }

    async fn user_traces(
        &self,
        instance: InstanceId,
        user: UserId,
        after: Option<PublishCursor>,
    ) -> Result<TracePage, StoreError> {
        call!(self.snapshot(instance, user, after), |s| forget::traces(
            s, *instance, user, *after
        ))
    }

    async fn forget_user(
        &self,
        instance: InstanceId,
        user: UserId,
        pseudonym: UserId,
    ) -> Result<Forgotten, StoreError> {
        let whom = user.clone();
        let begun = call!(self.write(instance, whom, pseudonym), |s| forget::begin(
            s, *instance, whom, pseudonym
        ))?;
        let Some((mut numbers, mut forgotten)) = begun else {
            return Ok(Forgotten::default());
        };
        loop {
            let whom = user.clone();
            let at = numbers.clone();
            let piece = call!(self.write(at, whom), |s| forget::piece(s, at, whom));
            let (next, removed) = piece?;
            forgotten.add(removed);
            match next {
                Some(before) => numbers.before = before,
                None => return Ok(forgotten),
            }
        }
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        call!(self.read(), |s| forget::scrub(s))
    }

    async fn prune_payloads(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        call!(self.write(before, limit), |s| prune::payloads(
            s, *before, *limit
        ))
    }

    async fn prune_names(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let mut pruned = 0;
        while pruned < limit as u64 {
            let piece = call!(self.write(before), |s| prune::names(s, *before));
            let Some(finished) = piece? else { break };
            pruned += u64::from(finished);
        }
        Ok(pruned)
    }
}
