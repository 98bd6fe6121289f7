//! What a node asks of a store for those who manage: it only goes through.

use async_trait::async_trait;
use domain::admin_token::AdminTokenDigest;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal, Recipient};
use domain::instance::{InstanceId, InstanceName};
use domain::user::UserId;
use store::StoreError;
use store::administration::{
    AdminTokenId, AdminTokenRecord, Administration, AuditEntry, AuditFilter, AuditId, AuditOutcome,
    DeviceFilter, Forgotten, ListedDevice, ListedUser, NewAdminToken, NewAuditEntry, TracePage,
    Unbound,
};
use store::lookup::PublishCursor;

use super::FaultyStore;

macro_rules! through {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Administration for FaultyStore {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.call(self.world.store.$name($($argument),*)).await
            })+
        }
    };
}

through! {
    fn add_admin_token(new: NewAdminToken, entry: NewAuditEntry) -> Option<AdminTokenId>;
    fn admin_token(digest: AdminTokenDigest) -> Option<AdminTokenRecord>;
    fn admin_tokens() -> Vec<AdminTokenRecord>;
    fn revoke_admin_token(id: AdminTokenId, entry: NewAuditEntry) -> bool;
    fn touch_admin_token(id: AdminTokenId, now: Timestamp) -> ();
    fn append_audit(entry: NewAuditEntry) -> AuditId;
    fn conclude_audit(id: AuditId, outcome: AuditOutcome) -> ();
    fn audit_page(filter: AuditFilter, after: Option<AuditId>, limit: usize) -> Vec<AuditEntry>;
    fn prune_audit(before: Timestamp, limit: usize) -> u64;
    fn rename_instance(id: InstanceId, name: InstanceName) -> bool;
    fn list_devices(
        instance: InstanceId, filter: DeviceFilter, after: DeviceOrdinal, limit: usize
    ) -> Vec<ListedDevice>;
    fn recipient(instance: InstanceId, id: DeviceId) -> Option<Recipient>;
    fn unbind_device(instance: InstanceId, id: DeviceId) -> Unbound;
    fn list_users(
        instance: InstanceId, prefix: &str, after: Option<UserId>, limit: usize
    ) -> Vec<ListedUser>;
    fn user_traces(instance: InstanceId, user: UserId, after: Option<PublishCursor>) -> TracePage;
    fn forget_user(instance: InstanceId, user: UserId, pseudonym: UserId) -> Forgotten;
    fn scrub() -> ();
    fn prune_payloads(before: Timestamp, limit: usize) -> u64;
    fn prune_names(before: Timestamp, limit: usize) -> u64;
}
