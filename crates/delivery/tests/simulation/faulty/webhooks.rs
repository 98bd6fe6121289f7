//! Webhooks of the store, as one node reaches it.

use std::time::Duration;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::user::UserId;
use domain::webhook::WebhookId;
use store::StoreError;
use store::publishes::{Fence, Lease, Settled};
use store::webhooks::{
    Attempted, Care, ClaimedRequests, Disabled, DueWebhook, NewWebhook, RequestNumber,
    RequestReport, RequestState, WebhookChange, WebhookNumber, WebhookRecord, Webhooks,
};
use uuid::Uuid;

use super::FaultyStore;

macro_rules! through {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Webhooks for FaultyStore {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.call(self.world.store.$name($($argument),*)).await
            })+
        }
    };
}

through! {
    fn add_webhook(instance: InstanceId, new: NewWebhook, webhooks_max: usize) -> bool;
    fn webhooks(instance: InstanceId) -> Vec<WebhookRecord>;
    fn remove_webhook(instance: InstanceId, id: WebhookId) -> bool;
    fn change_webhook(instance: InstanceId, id: WebhookId, change: WebhookChange) -> bool;
    fn set_webhook(instance: InstanceId, id: WebhookId, disabled: Option<Disabled>) -> bool;
    fn test_webhook(instance: InstanceId, id: WebhookId, payload: String) -> Option<Uuid>;
    fn due_webhooks(now: Timestamp, limit: usize) -> Vec<DueWebhook>;
    fn claim_requests(
        webhook: WebhookNumber, lease: Lease, now: Timestamp, limit: usize
    ) -> Option<ClaimedRequests>;
    fn make_request(
        number: RequestNumber, fence: Fence, payload: String, rest: Option<UserId>
    ) -> Settled;
    fn settle_requests(
        webhook: WebhookNumber, attempts: Vec<Attempted>, disable_after: Duration, now: Timestamp
    ) -> bool;
    fn webhook_requests(
        instance: InstanceId, id: WebhookId, state: Option<RequestState>, before: Option<RequestNumber>, limit: usize
    ) -> Option<Vec<RequestReport>>;
    fn webhook_request(instance: InstanceId, webhook: WebhookId, id: Uuid) -> Option<RequestReport>;
    fn replay_request(instance: InstanceId, webhook: WebhookId, id: Uuid, now: Timestamp) -> bool;
    fn tend_webhooks(care: Care) -> u64;
    fn webhook_depth() -> u64;
}
