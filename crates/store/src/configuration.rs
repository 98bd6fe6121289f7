//! What an operator sets up: instances with their secret keys and credentials. Few, and read through a cache that watches
//! [`Configuration::configuration_version`].

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;

use crate::StoreError;
use crate::instances::{
    CredentialVersion, InstanceRecord, NewCredential, NewInstance, NewSecretKey, SecretKeyId,
};

/// Instances of a store. See the [crate's documentation](crate) for what holds for every method.
#[async_trait]
pub trait Configuration {
    /// A number that grows with every change of an instance, secret key or credential, whichever process makes it.
    async fn configuration_version(&self) -> Result<i64, StoreError>;

    /// Adds an instance. [`StoreError::InstanceExists`] if its id is taken.
    async fn create_instance(&self, new: NewInstance) -> Result<(), StoreError>;

    /// One instance.
    async fn instance(&self, id: InstanceId) -> Result<Option<InstanceRecord>, StoreError>;

    /// All instances, by name, then id.
    async fn instances(&self) -> Result<Vec<InstanceRecord>, StoreError>;

    /// The ids of all instances, in no order.
    async fn instance_ids(&self) -> Result<Vec<InstanceId>, StoreError>;

    /// Deletes an instance and everything in it. Whether there was one. Nobody sees it from the start of the call on; what
    /// it had is removed in pieces before the call returns (and, should that be cut short, by [`Store::prune_publishes`](crate::Store::prune_publishes)).
    async fn delete_instance(&self, id: InstanceId) -> Result<bool, StoreError>;

    /// Adds a secret key; it is active at once, beside the others.
    async fn add_secret_key(
        &self,
        instance: InstanceId,
        key: NewSecretKey,
    ) -> Result<SecretKeyId, StoreError>;

    /// Revokes a secret key. Whether the instance had it; the last active one is not revoked, and `false` returned.
    async fn revoke_secret_key(
        &self,
        instance: InstanceId,
        key: SecretKeyId,
    ) -> Result<bool, StoreError>;

    /// Sets a gateway credential in place of the one before; it counts as not broken.
    async fn set_credential(
        &self,
        instance: InstanceId,
        new: NewCredential,
    ) -> Result<(), StoreError>;

    /// Writes down that a gateway refuses a credential (`Some` reason) or takes it again (`None`). Does nothing if the
    /// credential is not of this version any more, or is in that state already. Whether something changed.
    async fn mark_credential(
        &self,
        instance: InstanceId,
        platform: Platform,
        version: CredentialVersion,
        broken: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
}
