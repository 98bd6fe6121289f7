//! Lists of users: the audiences of publishes that name very many, or give each values of their own.
//!
//! A list is told to the store piece by piece before its publish is accepted, so that neither a request nor a transaction has to
//! hold all of it. Until a publish is accepted for it, it is nobody's, and is forgotten some time after it was begun, as is one
//! whose publish is gone.

use std::fmt;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;
use domain::payload::Values;
use domain::publish::PublishId;
use domain::user::UserId;

use crate::StoreError;

/// A user of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The user, who need not have devices.
    pub user: UserId,
    /// What fills the places of the payloads.
    pub values: Option<Values>,
}

/// What a store keeps of lists of users. The contract of [`Store`](crate::Store) holds here too.
#[async_trait]
pub trait UserLists: Send + Sync + fmt::Debug {
    /// Begins a list. Its number, for [`UserList`](domain::publish::UserList).
    /// [`StoreError::UnknownInstance`] if there is no such instance.
    async fn begin_list(&self, instance: InstanceId, now: Timestamp) -> Result<i64, StoreError>;

    /// Adds users to a list that no publish has been accepted for, behind the `length` that it has. The first of them that the
    /// list has already, by place; then nothing is added.
    async fn extend_list(
        &self,
        list: i64,
        length: u64,
        users: Vec<Listed>,
    ) -> Result<Option<usize>, StoreError>;

    /// Forgets a list, unless a publish has been accepted for it.
    async fn discard_list(&self, list: i64) -> Result<(), StoreError>;

    /// Forgets up to `limit` lists that were begun before `before` and are nobody's, or not any more. How many it forgot.
    async fn prune_lists(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// The values that the users of these devices have in a publish, or in the one it replays. Devices without a user, and
    /// users without values, are left out.
    async fn user_values(
        &self,
        publish: PublishId,
        devices: Vec<DeviceOrdinal>,
    ) -> Result<Vec<(DeviceOrdinal, Values)>, StoreError>;
}
