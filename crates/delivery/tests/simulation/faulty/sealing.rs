//! Sealed values of the store, as one node reaches it.

use async_trait::async_trait;
use domain::clock::Timestamp;
use store::StoreError;
use store::sealing::{NodeKeys, Resealed, SealedKind, SealedRow, SealedValue, Sealing};

use super::FaultyStore;

#[async_trait]
impl Sealing for FaultyStore {
    async fn sealed_page(
        &self,
        kind: SealedKind,
        after: Option<SealedRow>,
        limit: usize,
    ) -> Result<Vec<SealedValue>, StoreError> {
        self.call(self.world.store.sealed_page(kind, after, limit))
            .await
    }

    async fn reseal(&self, kind: SealedKind, values: Vec<Resealed>) -> Result<u64, StoreError> {
        self.call(self.world.store.reseal(kind, values)).await
    }

    async fn node_keys(&self, now: Timestamp) -> Result<Vec<NodeKeys>, StoreError> {
        self.call(self.world.store.node_keys(now)).await
    }
}
