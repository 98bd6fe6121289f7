//! What a node asks of a store for those who search: it only goes through.

use async_trait::async_trait;
use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use store::StoreError;
use store::lookup::{PublishCursor, Waiting};
use store::search::{FoundPublishes, PublishLabel, Reach, Searching, WantedPublishes};

use super::FaultyStore;

#[async_trait]
impl Searching for FaultyStore {
    async fn search_publishes(
        &self,
        instance: InstanceId,
        wanted: WantedPublishes,
        after: Option<PublishCursor>,
        reach: Reach,
    ) -> Result<FoundPublishes, StoreError> {
        let found = self
            .world
            .store
            .search_publishes(instance, wanted, after, reach);
        self.call(found).await
    }

    async fn publish_label(
        &self,
        instance: InstanceId,
        id: PublishId,
    ) -> Result<Option<PublishLabel>, StoreError> {
        self.call(self.world.store.publish_label(instance, id))
            .await
    }

    async fn publish_waiting(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<Waiting>>, StoreError> {
        let told = self.world.store.publish_waiting(instance, id, after, limit);
        self.call(told).await
    }
}
