//! Webhooks: added, enabled, disabled, removed. What is queued for them is in the files beside.

mod raise;
mod requests;
mod tend;

use std::time::Duration;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::seal::Sealed;
use domain::user::UserId;
use domain::webhook::{CustomData, Events, Scheme, WebhookId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{PostgresStore, columns, instances};
use crate::StoreError;
use crate::publishes::{Fence, Lease, Settled};
use crate::webhooks::{
    Attempted, Care, ClaimedRequests, Disabled, DueWebhook, NewWebhook, RequestNumber,
    RequestReport, RequestState, WebhookChange, WebhookNumber, WebhookRecord, Webhooks,
};

pub(super) use raise::{
    devices_removed, keep_brought, publish_begun, publish_ended, publishes_ended, raise,
    user_notified,
};
pub(super) use tend::{forget_user, purge, traced};

/// `call!(self.write(a, b), |s| work(s, *a, b))`: the work gets references to the arguments, since it may be done again.
macro_rules! call {
    ($self:ident.$how:ident($($arg:ident),*), |$s:ident| $work:expr) => {
        $self
            .sessions
            .$how(($($arg,)*), |$s, ($($arg,)*)| Box::pin($work))
            .await
    };
}

#[async_trait]
impl Webhooks for PostgresStore {
    async fn add_webhook(
        &self,
        instance: InstanceId,
        new: NewWebhook,
        webhooks_max: usize,
    ) -> Result<bool, StoreError> {
        call!(self.write(instance, new, webhooks_max), |s| add(
            s,
            *instance,
            new,
            *webhooks_max
        ))
    }

    async fn webhooks(&self, instance: InstanceId) -> Result<Vec<WebhookRecord>, StoreError> {
        call!(self.read(instance), |s| all(s, *instance))
    }

    async fn remove_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
    ) -> Result<bool, StoreError> {
        let marked = call!(self.write(instance, id), |s| disable_for_good(
            s, *instance, *id
        ))?;
        let Some(number) = marked else {
            return Ok(false);
        };
        while !call!(self.write(number), |s| tend::remove(s, *number))? {}
        Ok(true)
    }

    async fn change_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        change: WebhookChange,
    ) -> Result<bool, StoreError> {
        call!(self.write(instance, id, change), |s| alter(
            s, *instance, *id, change
        ))
    }

    async fn set_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        disabled: Option<Disabled>,
    ) -> Result<bool, StoreError> {
        call!(self.write(instance, id, disabled), |s| set(
            s,
            *instance,
            *id,
            disabled.as_ref()
        ))
    }

    async fn test_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        payload: String,
    ) -> Result<Option<Uuid>, StoreError> {
        call!(self.write(instance, id, payload), |s| raise::test(
            s, *instance, *id, payload
        ))
    }

    async fn due_webhooks(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueWebhook>, StoreError> {
        call!(self.read(now, limit), |s| requests::due(s, *now, *limit))
    }

    async fn claim_requests(
        &self,
        webhook: WebhookNumber,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<ClaimedRequests>, StoreError> {
        call!(self.write(webhook, lease, now, limit), |s| requests::claim(
            s, *webhook, *lease, *now, *limit
        ))
    }

    async fn make_request(
        &self,
        number: RequestNumber,
        fence: Fence,
        payload: String,
        rest: Option<UserId>,
    ) -> Result<Settled, StoreError> {
        call!(
            self.write(number, fence, payload, rest),
            |s| requests::make(s, *number, *fence, payload, rest.as_ref())
        )
    }

    async fn settle_requests(
        &self,
        webhook: WebhookNumber,
        attempts: Vec<Attempted>,
        disable_after: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        call!(self.write(webhook, attempts, disable_after, now), |s| {
            requests::settle(s, *webhook, attempts, *disable_after, *now)
        })
    }

    async fn webhook_requests(
        &self,
        instance: InstanceId,
        id: WebhookId,
        state: Option<RequestState>,
        before: Option<RequestNumber>,
        limit: usize,
    ) -> Result<Option<Vec<RequestReport>>, StoreError> {
        call!(self.snapshot(instance, id, state, before, limit), |s| {
            requests::list(s, *instance, *id, *state, *before, *limit)
        })
    }

    async fn webhook_request(
        &self,
        instance: InstanceId,
        webhook: WebhookId,
        id: Uuid,
    ) -> Result<Option<RequestReport>, StoreError> {
        call!(self.snapshot(instance, webhook, id), |s| {
            requests::one(s, *instance, *webhook, *id)
        })
    }

    async fn replay_request(
        &self,
        instance: InstanceId,
        webhook: WebhookId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        call!(self.write(instance, webhook, id, now), |s| {
            requests::replay(s, *instance, *webhook, *id, *now)
        })
    }

    async fn tend_webhooks(&self, care: Care) -> Result<u64, StoreError> {
        call!(self.write(care), |s| tend::tend(s, *care))
    }

    async fn webhook_depth(&self) -> Result<u64, StoreError> {
        call!(self.read(), |s| tend::depth(s))
    }
}

/// What [`record`] reads, from the column of this number on.
const COLUMNS: &str =
    "w.id, w.url, w.secret, w.scheme, w.events, w.custom_data, w.created_at, w.disabled_since,
    w.disabled_reason, w.failing_since, w.full_since";

fn record(row: &Row, first: usize) -> Result<WebhookRecord, Fault> {
    let time = |column: usize| -> Result<Option<Timestamp>, Fault> {
        let millis: Option<i64> = row.at(first + column)?;
        Ok(millis.map(Timestamp::from_millis))
    };
    let scheme: &str = row.at(first + 3)?;
    let reason: Option<String> = row.at(first + 8)?;
    let unknown = || corrupt(format!("the signature scheme {scheme:?} of a webhook"));
    Ok(WebhookRecord {
        id: WebhookId::from_uuid(row.at(first)?),
        url: row.at(first + 1)?,
        secret: row
            .at::<Option<Vec<u8>>>(first + 2)?
            .map(Sealed::from_bytes),
        scheme: Scheme::parse(scheme).ok_or_else(unknown)?,
        events: Events::from_bits(row.at(first + 4)?),
        custom_data: CustomData::from_stored(row.at(first + 5)?),
        created_at: Timestamp::from_millis(row.at(first + 6)?),
        disabled: time(7)?
            .zip(reason)
            .map(|(since, reason)| Disabled { since, reason }),
        failing_since: time(9)?,
        full_since: time(10)?,
    })
}

async fn add(
    session: &Session,
    instance: InstanceId,
    new: &NewWebhook,
    webhooks_max: usize,
) -> Result<bool, Fault> {
    // Held, so that no two calls can both add the last one there is room for.
    let instance: Option<i64> = session
        .value(
            "SELECT instance FROM instances WHERE id = $1 AND deleted_by IS NULL FOR UPDATE",
            &[instance.as_uuid()],
        )
        .await?;
    let instance = instance.ok_or(Fault::Store(StoreError::UnknownInstance))?;
    let has: i64 = session
        .known(
            "SELECT count(*) FROM webhooks WHERE instance = $1 AND secret IS NOT NULL",
            &[&instance],
        )
        .await?;
    if has >= columns::limit(webhooks_max) {
        return Ok(false);
    }
    session
        .execute(
            "INSERT INTO webhooks (instance, id, url, secret, scheme, events, custom_data, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                &instance,
                new.id.as_uuid(),
                &new.url,
                &new.secret.as_bytes(),
                &new.scheme.as_str(),
                &new.events.bits(),
                &new.custom_data.as_str(),
                &new.created_at.as_millis(),
            ],
        )
        .await?;
    Ok(true)
}

async fn all(session: &Session, instance: InstanceId) -> Result<Vec<WebhookRecord>, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM webhooks w WHERE w.instance = $1 AND w.secret IS NOT NULL AND w.url <> '' ORDER BY w.webhook"
    );
    let rows = session.rows(&sql, &[&instance]).await?;
    rows.iter().map(|row| record(row, 0)).collect()
}

/// The number of a webhook that somebody added and nobody removed.
async fn number(
    session: &Session,
    instance: InstanceId,
    id: WebhookId,
) -> Result<Option<i64>, Fault> {
    session
        .value(
            "SELECT w.webhook FROM webhooks w JOIN instances i ON i.instance = w.instance
              WHERE w.id = $1 AND i.id = $2 AND i.deleted_by IS NULL AND w.secret IS NOT NULL AND w.url <> ''",
            &[id.as_uuid(), instance.as_uuid()],
        )
        .await
}

async fn alter(
    session: &Session,
    instance: InstanceId,
    id: WebhookId,
    change: &WebhookChange,
) -> Result<bool, Fault> {
    let Some(number) = number(session, instance, id).await? else {
        return Ok(false);
    };
    // One that is being removed stays so.
    let changed = session
        .execute(
            "UPDATE webhooks SET url = $2, events = $3, custom_data = $4 WHERE webhook = $1 AND url <> ''",
            &[
                &number,
                &change.url,
                &change.events.bits(),
                &change.custom_data.as_str(),
            ],
        )
        .await?;
    Ok(changed > 0)
}

async fn set(
    session: &Session,
    instance: InstanceId,
    id: WebhookId,
    disabled: Option<&Disabled>,
) -> Result<bool, Fault> {
    let Some(number) = number(session, instance, id).await? else {
        return Ok(false);
    };
    match disabled {
        None => {
            session
                .execute(
                    "UPDATE webhooks SET disabled_since = NULL, disabled_reason = NULL, failing_since = NULL
                      WHERE webhook = $1 AND url <> ''",
                    &[&number],
                )
                .await?
        }
        Some(Disabled { since, reason }) => {
            session
                .execute(
                    "UPDATE webhooks SET disabled_since = $2, disabled_reason = $3
                      WHERE webhook = $1 AND disabled_since IS NULL",
                    &[&number, &since.as_millis(), reason],
                )
                .await?
        }
    };
    Ok(true)
}

/// Begins to remove a webhook: from here on nobody finds it, and nothing is queued for it. A crash leaves the rest to
/// [`tend::tend`].
async fn disable_for_good(
    session: &Session,
    instance: InstanceId,
    id: WebhookId,
) -> Result<Option<i64>, Fault> {
    let Some(number) = number(session, instance, id).await? else {
        return Ok(None);
    };
    session
        .execute(
            "UPDATE webhooks SET url = '', events = 0, disabled_since = 0, disabled_reason = 'removed' WHERE webhook = $1",
            &[&number],
        )
        .await?;
    Ok(Some(number))
}
