//! Instances of the store, as one node reaches them.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use store::StoreError;
use store::configuration::Configuration;
use store::instances::{
    CredentialVersion, InstanceRecord, NewCredential, NewInstance, NewSecretKey, SecretKeyId,
};

use super::FaultyStore;

#[async_trait]
impl Configuration for FaultyStore {
    async fn configuration_version(&self) -> Result<i64, StoreError> {
        self.call(self.world.store.configuration_version()).await
    }

    async fn create_instance(&self, new: NewInstance) -> Result<(), StoreError> {
        self.call(self.world.store.create_instance(new)).await
    }

    async fn instance(&self, id: InstanceId) -> Result<Option<InstanceRecord>, StoreError> {
        self.call(self.world.store.instance(id)).await
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>, StoreError> {
        self.call(self.world.store.instances()).await
    }

    async fn instance_ids(&self) -> Result<Vec<InstanceId>, StoreError> {
        self.call(self.world.store.instance_ids()).await
    }

    async fn delete_instance(&self, id: InstanceId) -> Result<bool, StoreError> {
        self.call(self.world.store.delete_instance(id)).await
    }

    async fn add_secret_key(
        &self,
        instance: InstanceId,
        key: NewSecretKey,
    ) -> Result<SecretKeyId, StoreError> {
        self.call(self.world.store.add_secret_key(instance, key))
            .await
    }

    async fn revoke_secret_key(
        &self,
        instance: InstanceId,
        key: SecretKeyId,
    ) -> Result<bool, StoreError> {
        self.call(self.world.store.revoke_secret_key(instance, key))
            .await
    }

    async fn set_credential(
        &self,
        instance: InstanceId,
        new: NewCredential,
    ) -> Result<(), StoreError> {
        self.call(self.world.store.set_credential(instance, new))
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
        self.call(
            self.world
                .store
                .mark_credential(instance, platform, version, broken, now),
        )
        .await
    }
}
