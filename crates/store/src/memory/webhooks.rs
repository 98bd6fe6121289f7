//! Webhooks and what is queued for them.

mod raise;
mod requests;

use std::time::Duration;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::seal::Sealed;
use domain::user::UserId;
use domain::webhook::{EventType, WebhookEvent, WebhookId};
use uuid::Uuid;

use super::MemoryStore;
use super::state::{Claim, State};
use crate::StoreError;
use crate::administration::{TRACED_REQUESTS_MAX, TracedRequest};
use crate::publishes::{AHEAD_MAX, Fence, Lease, Settled};
use crate::sealing::{SealedPlace, SealedRow};
use crate::webhooks::{
    Attempted, Care, ClaimedRequests, Disabled, DueWebhook, NewWebhook, RequestNumber,
    RequestReport, RequestState, Try, WebhookChange, WebhookNumber, WebhookRecord, Webhooks,
};

#[derive(Debug)]
pub(super) struct WebhookRow {
    pub(super) instance: i64,
    record: WebhookRecord,
}

impl State {
    /// Webhooks' secrets where they stand.
    pub(super) fn webhook_secrets(&mut self) -> Vec<(SealedRow, SealedPlace, &mut Sealed)> {
        let instances = &self.instances.rows;
        let webhooks = self.webhooks.rows.iter_mut();
        webhooks
            .filter_map(|(number, row)| {
                let instance = instances.get(&row.instance)?.id;
                let place = SealedPlace::WebhookSecret(instance, row.record.id);
                let secret = row.record.secret.as_mut()?;
                let row = SealedRow {
                    number: *number,
                    other: 0,
                    text: String::new(),
                };
                Some((row, place, secret))
            })
            .collect()
    }
}

impl WebhookRow {
    /// Whether somebody added it, as opposed to the one that queues for publishes.
    fn is_shown(&self) -> bool {
        self.record.secret.is_some()
    }
}

/// What a request is made of.
#[derive(Debug, Clone)]
enum Source {
    Made(String),
    Publish(i64, Option<UserId>),
}

#[derive(Debug)]
pub(super) struct RequestRow {
    webhook: i64,
    id: Uuid,
    event_id: Uuid,
    event: EventType,
    source: Source,
    /// The publish, also once the payload is made.
    publish: Option<i64>,
    created_at: Option<Timestamp>,
    state: RequestState,
    attempts: u32,
    /// `None` until it was tried.
    due_at: Option<Timestamp>,
    claim: Claim,
    tried_at: Option<Timestamp>,
    status: Option<u16>,
    error: Option<String>,
    tries: Vec<Try>,
}

impl RequestRow {
    fn is_due(&self, now: Timestamp) -> bool {
        self.state == RequestState::Waiting
            && self
                .due_at
                .is_none_or(|due| due <= now || due > now.after(AHEAD_MAX))
            && self.claim.is_free(now)
    }

    fn is_replayable(&self, now: Timestamp) -> bool {
        self.state != RequestState::Waiting
            || self.due_at.is_some_and(|due| due > now) && self.claim.is_free(now)
    }

    fn give_up(&mut self, error: &str, now: Timestamp) {
        self.state = RequestState::Failed;
        self.error = Some(error.into());
        self.tried_at = Some(now);
        self.claim = Claim {
            fence: self.claim.fence + 1,
            until: None,
        };
    }
}

impl State {
    pub(super) fn remove_webhooks_of(&mut self, instance: i64) {
        let rows = self.webhooks.rows.iter();
        let mine: Vec<i64> = rows
            .filter(|(_, row)| row.instance == instance)
            .map(|(number, _)| *number)
            .collect();
        for number in mine {
            self.remove_webhook(number);
        }
    }

    /// The requests to the webhooks of an instance that name a user.
    pub(super) fn requests_of(&self, instance: i64, user: &UserId) -> Vec<i64> {
        let names = |row: &RequestRow| match &row.source {
            Source::Made(payload) => WebhookEvent::names(payload, user),
            Source::Publish(_, after) => after.as_ref() == Some(user),
        };
        let is_own = |row: &RequestRow| {
            let webhook = self.webhooks.rows.get(&row.webhook);
            webhook.is_some_and(|webhook| webhook.instance == instance)
        };
        let rows = self.requests.rows.iter();
        let found = rows.filter(|(_, row)| is_own(row) && names(row));
        found.map(|(number, _)| *number).collect()
    }

    pub(super) fn traced_requests(&self, instance: i64, user: &UserId) -> Vec<TracedRequest> {
        let found = self.requests_of(instance, user).into_iter();
        let traced = found.filter_map(|number| {
            let row = self.requests.rows.get(&number)?;
            Some(TracedRequest {
                webhook: self.webhooks.rows.get(&row.webhook)?.record.id,
                id: row.id,
                event: row.event,
                state: row.state,
                created_at: row.created_at,
            })
        });
        traced.take(TRACED_REQUESTS_MAX).collect()
    }

    fn remove_webhook(&mut self, number: i64) {
        self.webhooks.rows.remove(&number);
        self.requests.rows.retain(|_, row| row.webhook != number);
    }

    fn webhook(&self, instance: InstanceId, id: WebhookId) -> Option<i64> {
        let instance = self.instance(instance)?;
        let fits =
            |row: &WebhookRow| row.instance == instance && row.record.id == id && row.is_shown();
        self.webhooks.find(fits).map(|(number, _)| number)
    }
}

#[async_trait]
impl Webhooks for MemoryStore {
    async fn add_webhook(
        &self,
        instance: InstanceId,
        new: NewWebhook,
        webhooks_max: usize,
    ) -> Result<bool, StoreError> {
        self.step(|state| {
            let instance = state.known_instance(instance)?;
            let all = state.webhooks.rows.values();
            if all
                .filter(|row| row.instance == instance && row.is_shown())
                .count()
                >= webhooks_max
            {
                return Ok(false);
            }
            state.webhooks.add(WebhookRow {
                instance,
                record: WebhookRecord {
                    id: new.id,
                    url: new.url,
                    secret: Some(new.secret),
                    scheme: new.scheme,
                    events: new.events,
                    custom_data: new.custom_data,
                    created_at: new.created_at,
                    disabled: None,
                    failing_since: None,
                    full_since: None,
                },
            });
            Ok(true)
        })?
    }

    async fn webhooks(&self, instance: InstanceId) -> Result<Vec<WebhookRecord>, StoreError> {
        self.step(|state| {
            let instance = state.instance(instance);
            let rows = state.webhooks.rows.values();
            rows.filter(|row| Some(row.instance) == instance && row.is_shown())
                .map(|row| row.record.clone())
                .collect()
        })
    }

    async fn remove_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
    ) -> Result<bool, StoreError> {
        self.step(|state| {
            let found = state.webhook(instance, id);
            if let Some(number) = found {
                state.remove_webhook(number);
            }
            found.is_some()
        })
    }

    async fn change_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        change: WebhookChange,
    ) -> Result<bool, StoreError> {
        self.step(|state| {
            let found = state.webhook(instance, id);
            let row = found.and_then(|number| state.webhooks.rows.get_mut(&number));
            let Some(row) = row else { return false };
            row.record.url = change.url;
            row.record.events = change.events;
            row.record.custom_data = change.custom_data;
            true
        })
    }

    async fn set_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        disabled: Option<Disabled>,
    ) -> Result<bool, StoreError> {
        self.step(|state| {
            let found = state.webhook(instance, id);
            let row = found.and_then(|number| state.webhooks.rows.get_mut(&number));
            let Some(row) = row else { return false };
            match disabled {
                None => {
                    row.record.disabled = None;
                    row.record.failing_since = None;
                }
                Some(disabled) => {
                    row.record.disabled.get_or_insert(disabled);
                }
            }
            true
        })
    }

    async fn test_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        payload: String,
    ) -> Result<Option<Uuid>, StoreError> {
        self.step(|state| {
            let number = state.webhook(instance, id)?;
            let row = state.webhooks.rows.get(&number)?;
            if row.record.disabled.is_some() {
                return None;
            }
            let source = Source::Made(payload);
            let event_id = state.fresh_uuid();
            Some(state.queue(number, event_id, EventType::Test, source, None))
        })
    }

    async fn due_webhooks(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueWebhook>, StoreError> {
        self.step(|state| {
            let rows = state.webhooks.rows.iter();
            rows.filter(|(_, row)| row.record.disabled.is_none())
                .filter(|(number, _)| {
                    let mut requests = state.requests.rows.values();
                    requests.any(|row| row.webhook == **number && row.is_due(now))
                })
                .take(limit)
                .map(|(number, row)| DueWebhook {
                    number: WebhookNumber(*number),
                    failing: row.record.failing_since.is_some(),
                })
                .collect()
        })
    }

    async fn claim_requests(
        &self,
        webhook: WebhookNumber,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<ClaimedRequests>, StoreError> {
        self.step(|state| state.claim_requests(webhook, lease, now, limit))
    }

    async fn make_request(
        &self,
        number: RequestNumber,
        fence: Fence,
        payload: String,
        rest: Option<UserId>,
    ) -> Result<Settled, StoreError> {
        self.step(|state| state.make_request(number, fence, payload, rest))
    }

    async fn settle_requests(
        &self,
        webhook: WebhookNumber,
        attempts: Vec<Attempted>,
        disable_after: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.step(|state| state.settle_requests(webhook, &attempts, disable_after, now))
    }

    async fn webhook_requests(
        &self,
        instance: InstanceId,
        id: WebhookId,
        state: Option<RequestState>,
        before: Option<RequestNumber>,
        limit: usize,
    ) -> Result<Option<Vec<RequestReport>>, StoreError> {
        self.step(|all| {
            let number = all.webhook(instance, id)?;
            Some(all.webhook_requests(number, state, before, limit))
        })
    }

    async fn webhook_request(
        &self,
        instance: InstanceId,
        webhook: WebhookId,
        id: Uuid,
    ) -> Result<Option<RequestReport>, StoreError> {
        self.step(|state| {
            let number = state.webhook(instance, webhook)?;
            let all = state.webhook_requests(number, None, None, usize::MAX);
            all.into_iter().find(|report| report.id == id)
        })
    }

    async fn replay_request(
        &self,
        instance: InstanceId,
        webhook: WebhookId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.step(|state| {
            let Some(number) = state.webhook(instance, webhook) else {
                return false;
            };
            let mut rows = state.requests.rows.values_mut();
            let found = rows.find(|row| row.webhook == number && row.id == id);
            let Some(row) = found.filter(|row| row.is_replayable(now)) else {
                return false;
            };
            row.state = RequestState::Waiting;
            row.attempts = 0;
            row.due_at = Some(now);
            row.claim = Claim {
                fence: row.claim.fence + 1,
                until: None,
            };
            true
        })
    }

    async fn tend_webhooks(&self, care: Care) -> Result<u64, StoreError> {
        self.step(|state| state.tend_webhooks(care))
    }

    async fn webhook_depth(&self) -> Result<u64, StoreError> {
        self.step(|state| {
            let rows = state.requests.rows.values();
            rows.filter(|row| row.state == RequestState::Waiting)
                .count() as u64
        })
    }
}
