//! Webhooks: where an app's backend wants to be told of events, and the durable queue of what it is to be told.
//!
//! An event is written down in the very transaction in which it happens, once for each webhook of its instance that chose it,
//! so that neither is there without the other; an instance without webhooks costs one look into an index. Nothing is made of
//! it there: what a request carries is made, and kept, when it is first sent. Requests wait, are leased and fenced like retries.
//!
//! Beside the webhooks that somebody added, an instance has one that nobody sees: it queues the requests to the URLs that
//! publishes bring along.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::seal::Sealed;
use domain::user::UserId;
use domain::webhook::{CustomData, EventType, Events, Scheme, WebhookId};
use uuid::Uuid;

use crate::StoreError;
use crate::publishes::{Fence, Lease, Settled};

/// A webhook to be added.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Its id, chosen by the caller.
    pub id: WebhookId,
    /// Where requests go.
    pub url: String,
    /// What they are signed with, sealed.
    pub secret: Sealed,
    /// How they are signed.
    pub scheme: Scheme,
    /// What it is told of.
    pub events: Events,
    /// What it wants back.
    pub custom_data: CustomData,
    /// When it is added.
    pub created_at: Timestamp,
}

/// What may be changed of a webhook. Its id, its secret and how it signs stay.
#[derive(Debug, Clone)]
pub struct WebhookChange {
    /// Where requests go from now on, those that wait too.
    pub url: String,
    /// What it is told of.
    pub events: Events,
    /// What it wants back.
    pub custom_data: CustomData,
}

/// Why a webhook gets no requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// Since when.
    pub since: Timestamp,
    /// Why, in our words.
    pub reason: String,
}

/// A webhook as kept.
#[derive(Debug, Clone)]
pub struct WebhookRecord {
    /// Its id.
    pub id: WebhookId,
    /// Where requests go; empty for the one that queues for publishes.
    pub url: String,
    /// What they are signed with, sealed; `None` for the one that queues for publishes, whose requests are not signed.
    pub secret: Option<Sealed>,
    /// How they are signed.
    pub scheme: Scheme,
    /// What it is told of.
    pub events: Events,
    /// What it wants back.
    pub custom_data: CustomData,
    /// When it was added.
    pub created_at: Timestamp,
    /// Why it gets no requests; `None` while it does.
    pub disabled: Option<Disabled>,
    /// Since when every attempt has failed; `None` after a success.
    pub failing_since: Option<Timestamp>,
    /// Since when no more events are queued, as too many wait; `None` while they are.
    pub full_since: Option<Timestamp>,
}

/// The number of a webhook within its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebhookNumber(pub i64);

/// The number of a request within its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestNumber(pub i64);

/// A webhook that has requests to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueWebhook {
    /// Which.
    pub number: WebhookNumber,
    /// Whether the last attempt at it failed.
    pub failing: bool,
}

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The JSON of its payload.
    Made(String),
    /// It is yet to be made of what is known of a publish; where that is told in pieces, of the users behind `after`.
    OfPublish {
        /// The publish.
        publish: PublishId,
        /// The last user of the piece before.
        after: Option<UserId>,
    },
}

/// A URL that a publish brought along, and the body of the request that made the publish, which holds it too: sealed together.
#[derive(Debug, Clone)]
pub struct PublishWebhook(pub Sealed);

/// A request that was claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Its number.
    pub number: RequestNumber,
    /// Proof of the claim.
    pub fence: Fence,
    /// `Webhook-Request-ID-UUID`: the same at every attempt.
    pub id: Uuid,
    /// `event_id`: the same for all webhooks that are told of the event.
    pub event_id: Uuid,
    /// What it tells of.
    pub event: EventType,
    /// When the request was first claimed, which all its attempts say.
    pub created_at: Timestamp,
    /// How many attempts there were, since it was last replayed.
    pub attempts: u32,
    /// What it carries.
    pub content: Content,
    /// What its publish brought along, where the request goes there.
    pub brought: Option<PublishWebhook>,
}

/// Requests of one webhook, claimed together.
#[derive(Debug, Clone)]
pub struct ClaimedRequests {
    /// Whose.
    pub instance: InstanceId,
    /// The webhook as it is now.
    pub webhook: WebhookRecord,
    /// The requests, the most overdue first.
    pub requests: Vec<Claimed>,
}

/// What comes after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It was taken.
    Delivered,
    /// It is tried again.
    Again(Timestamp),
    /// It is given up.
    GiveUp,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// Of which request.
    pub number: RequestNumber,
    /// Proof of the claim. One that is not right any more is passed over.
    pub fence: Fence,
    /// What comes after.
    pub next: Next,
    /// The status that the receiver answered, if it answered.
    pub status: Option<u16>,
    /// Why it counts as failed, in our words; `None` if it does not.
    pub error: Option<String>,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestState {
    /// It is to be sent, or to be sent again.
    Waiting,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Failed,
}

impl RequestState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Failed];

    /// The word used in SQL, JSON and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The state with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestReport {
    /// Its number, where a list goes on.
    pub number: RequestNumber,
    /// `Webhook-Request-ID-UUID`.
    pub id: Uuid,
    /// `event_id`.
    pub event_id: Uuid,
    /// What it tells of.
    pub event: EventType,
    /// Where it is.
    pub state: RequestState,
    /// When it was first claimed; `None` while it was not.
    pub created_at: Option<Timestamp>,
    /// How many attempts there were, since it was last replayed.
    pub attempts: u32,
    /// When it is tried next, while it waits.
    pub due_at: Option<Timestamp>,
    /// When it was tried last.
    pub tried_at: Option<Timestamp>,
    /// The status that the receiver answered last.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// What it carries, once that is made.
    pub payload: Option<String>,
    /// The attempts at it, the oldest first, over all replays, as far as [`TRIES_LENGTH_MAX`] lets them be kept.
    pub tries: Vec<Try>,
}

/// An attempt at a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// When its end was written down.
    pub at: Timestamp,
    /// The status that the receiver answered, if it answered.
    pub status: Option<u16>,
    /// Why it counts as failed; `None` if it does not.
    pub error: Option<String>,
}

/// How long the kept attempts at one request are at most, in characters: about fifty. The oldest are forgotten first.
pub const TRIES_LENGTH_MAX: usize = 2000;

/// What a store keeps of webhooks. The contract of [`Store`](crate::Store) holds here too.
#[async_trait]
pub trait Webhooks: Send + Sync + fmt::Debug {
    /// Adds a webhook, unless its instance has `webhooks_max`. Whether it was added. [`StoreError::UnknownInstance`] if there
    /// is no such instance.
    async fn add_webhook(
        &self,
        instance: InstanceId,
        new: NewWebhook,
        webhooks_max: usize,
    ) -> Result<bool, StoreError>;

    /// The webhooks of an instance, in the order they were added.
    async fn webhooks(&self, instance: InstanceId) -> Result<Vec<WebhookRecord>, StoreError>;

    /// Removes a webhook and what waits for it. Whether there was one.
    async fn remove_webhook(&self, instance: InstanceId, id: WebhookId)
    -> Result<bool, StoreError>;

    /// Changes a webhook. Whether there is one. What is queued stays so, and goes where the webhook points when it is sent.
    async fn change_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        change: WebhookChange,
    ) -> Result<bool, StoreError>;

    /// Enables a webhook (`None`), which then counts as not failing, or disables it, with the reason. Whether there is one.
    /// What happens while it is disabled is not queued for it.
    async fn set_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        disabled: Option<Disabled>,
    ) -> Result<bool, StoreError>;

    /// Queues a request of type [`EventType::Test`] that carries `payload`. Its id; `None` if there is no such webhook, or it
    /// is disabled.
    async fn test_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        payload: String,
    ) -> Result<Option<Uuid>, StoreError>;

    /// Enabled webhooks that have requests due which nobody holds a running lease on, at most `limit`.
    async fn due_webhooks(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueWebhook>, StoreError>;

    /// Claims up to `limit` due requests of an enabled webhook that nobody holds a running lease on, the most overdue first.
    /// `None` if there is none. What was put off to more than [`AHEAD_MAX`](crate::publishes::AHEAD_MAX) from now is due; a lease
    /// that ends as late does not run.
    async fn claim_requests(
        &self,
        webhook: WebhookNumber,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<ClaimedRequests>, StoreError>;

    /// Keeps what was made for a claimed request, so that every attempt carries the same. With `rest`, also queues a request of
    /// the same event type for the users behind that one.
    async fn make_request(
        &self,
        number: RequestNumber,
        fence: Fence,
        payload: String,
        rest: Option<UserId>,
    ) -> Result<Settled, StoreError>;

    /// Writes what became of attempts at requests of one webhook. A webhook all of whose attempts have failed for
    /// `disable_after` is disabled with `reason`. Whether it was, by this call.
    async fn settle_requests(
        &self,
        webhook: WebhookNumber,
        attempts: Vec<Attempted>,
        disable_after: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// The requests of a webhook, all or those in one state, the newest first, those before `before`, at most `limit`.
    /// `None` if there is no such webhook.
    async fn webhook_requests(
        &self,
        instance: InstanceId,
        id: WebhookId,
        state: Option<RequestState>,
        before: Option<RequestNumber>,
        limit: usize,
    ) -> Result<Option<Vec<RequestReport>>, StoreError>;

    /// One request of a webhook.
    async fn webhook_request(
        &self,
        instance: InstanceId,
        webhook: WebhookId,
        id: Uuid,
    ) -> Result<Option<RequestReport>, StoreError>;

    /// Queues a request that was delivered, given up, or waits for a later attempt, once more: at once, with its id, from its first
    /// attempt on. Whether there is such a request, which is neither being sent nor due already.
    async fn replay_request(
        &self,
        instance: InstanceId,
        webhook: WebhookId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Looks after the queues: notes where more than `waiting_max` requests wait, so that no more events are queued there until
    /// fewer do; gives up what waits for disabled webhooks; deletes up to `limit` requests that ended before `before`, or
    /// are more than `ended_max` of one webhook. How many it deleted.
    async fn tend_webhooks(&self, care: Care) -> Result<u64, StoreError>;

    /// How many requests wait.
    async fn webhook_depth(&self) -> Result<u64, StoreError>;
}

/// The bounds of the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Care {
    /// Now.
    pub now: Timestamp,
    /// How many requests may wait for one webhook.
    pub waiting_max: usize,
    /// Requests that ended earlier are deleted.
    pub before: Timestamp,
    /// How many ended requests one webhook keeps.
    pub ended_max: usize,
    /// How many requests one call deletes at most.
    pub limit: usize,
}

/// Why a request is given up that waits for a disabled webhook.
pub const DISABLED: &str = "webhook_disabled";

/// Why a request is given up whose publish is gone before it was told of.
pub const PUBLISH_GONE: &str = "publish_gone";

/// Why a webhook is disabled that has failed for too long.
pub const FAILED_TOO_LONG: &str = "every request has failed for too long";
