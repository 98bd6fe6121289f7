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
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{SqliteStore, columns, instances};
use crate::StoreError;
use crate::publishes::{Fence, Lease, Settled};
use crate::webhooks::{
    Attempted, Care, ClaimedRequests, Disabled, DueWebhook, NewWebhook, RequestNumber,
    RequestReport, RequestState, WebhookChange, WebhookNumber, WebhookRecord, Webhooks,
};

pub(super) use raise::{
    device_removed, drop_brought, keep_brought, publish_begun, publish_ended, raise, user_notified,
};
pub(super) use tend::{forget_user, purge, traced};

#[async_trait]
impl Webhooks for SqliteStore {
    async fn add_webhook(
        &self,
        instance: InstanceId,
        new: NewWebhook,
        webhooks_max: usize,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| add(c, instance, &new, webhooks_max))
            .await
    }

    async fn webhooks(&self, instance: InstanceId) -> Result<Vec<WebhookRecord>, StoreError> {
        self.readers.run(move |c| all(c, instance)).await
    }

    async fn remove_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
    ) -> Result<bool, StoreError> {
        let Some(number) = self
            .writer
            .run(move |c| disable_for_good(c, instance, id))
            .await?
        else {
            return Ok(false);
        };
        while !self.writer.run(move |c| tend::remove(c, number)).await? {}
        Ok(true)
    }

    async fn change_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        change: WebhookChange,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| alter(c, instance, id, &change))
            .await
    }

    async fn set_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        disabled: Option<Disabled>,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| set(c, instance, id, disabled.as_ref()))
            .await
    }

    async fn test_webhook(
        &self,
        instance: InstanceId,
        id: WebhookId,
        payload: String,
    ) -> Result<Option<Uuid>, StoreError> {
        self.writer
            .run(move |c| raise::test(c, instance, id, &payload))
            .await
    }

    async fn due_webhooks(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueWebhook>, StoreError> {
        self.readers
            .run(move |c| requests::due(c, now, limit))
            .await
    }

    async fn claim_requests(
        &self,
        webhook: WebhookNumber,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<ClaimedRequests>, StoreError> {
        self.writer
            .run(move |c| requests::claim(c, webhook, lease, now, limit))
            .await
    }

    async fn make_request(
        &self,
        number: RequestNumber,
        fence: Fence,
        payload: String,
        rest: Option<UserId>,
    ) -> Result<Settled, StoreError> {
        self.writer
            .run(move |c| requests::make(c, number, fence, &payload, rest.as_ref()))
            .await
    }

    async fn settle_requests(
        &self,
        webhook: WebhookNumber,
        attempts: Vec<Attempted>,
        disable_after: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| requests::settle(c, webhook, &attempts, disable_after, now))
            .await
    }

    async fn webhook_requests(
        &self,
        instance: InstanceId,
        id: WebhookId,
        state: Option<RequestState>,
        before: Option<RequestNumber>,
        limit: usize,
    ) -> Result<Option<Vec<RequestReport>>, StoreError> {
        self.readers
            .run(move |c| requests::list(c, instance, id, state, before, limit))
            .await
    }

    async fn webhook_request(
        &self,
        instance: InstanceId,
        webhook: WebhookId,
        id: Uuid,
    ) -> Result<Option<RequestReport>, StoreError> {
        self.readers
            .run(move |c| requests::one(c, instance, webhook, id))
            .await
    }

    async fn replay_request(
        &self,
        instance: InstanceId,
        webhook: WebhookId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| requests::replay(c, instance, webhook, id, now))
            .await
    }

    async fn tend_webhooks(&self, care: Care) -> Result<u64, StoreError> {
        self.writer.run(move |c| tend::tend(c, care)).await
    }

    async fn webhook_depth(&self) -> Result<u64, StoreError> {
        self.readers.run(tend::depth).await
    }
}

/// What [`record`] reads, from the column of this number on.
const COLUMNS: &str =
    "w.id, w.url, w.secret, w.scheme, w.events, w.custom_data, w.created_at, w.disabled_since,
    w.disabled_reason, w.failing_since, w.full_since";

fn record(row: &Row<'_>, first: usize) -> Result<WebhookRecord, StoreError> {
    let time = |column: usize| -> Result<Option<Timestamp>, StoreError> {
        let millis: Option<i64> = row.get(first + column)?;
        Ok(millis.map(Timestamp::from_millis))
    };
    let scheme: String = row.get(first + 3)?;
    let reason: Option<String> = row.get(first + 8)?;
    let corrupt = || StoreError::Corrupt(format!("the signature scheme {scheme:?} of a webhook"));
    Ok(WebhookRecord {
        id: WebhookId::from_uuid(Uuid::from_bytes(row.get(first)?)),
        url: row.get(first + 1)?,
        secret: row.get::<_, Option<_>>(first + 2)?.map(Sealed::from_bytes),
        scheme: Scheme::parse(&scheme).ok_or_else(corrupt)?,
        events: Events::from_bits(row.get(first + 4)?),
        custom_data: CustomData::from_stored(row.get(first + 5)?),
        created_at: Timestamp::from_millis(row.get(first + 6)?),
        disabled: time(7)?
            .zip(reason)
            .map(|(since, reason)| Disabled { since, reason }),
        failing_since: time(9)?,
        full_since: time(10)?,
    })
}

fn add(
    connection: &Connection,
    instance: InstanceId,
    new: &NewWebhook,
    webhooks_max: usize,
) -> Result<bool, StoreError> {
    let instance = instances::known(connection, instance)?;
    let has: i64 = connection
        .prepare_cached("SELECT count(*) FROM webhooks WHERE instance = ?1 AND secret IS NOT NULL")?
        .query_row([instance], |row| row.get(0))?;
    if has >= columns::limit(webhooks_max) {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "INSERT INTO webhooks (instance, id, url, secret, scheme, events, custom_data, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            instance,
            new.id.as_uuid().as_bytes(),
            new.url,
            new.secret.as_bytes(),
            new.scheme.as_str(),
            new.events.bits(),
            new.custom_data.as_str(),
            new.created_at.as_millis()
        ])?;
    Ok(true)
}

fn all(connection: &Connection, instance: InstanceId) -> Result<Vec<WebhookRecord>, StoreError> {
    let Some(instance) = instances::number(connection, instance)? else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM webhooks w WHERE w.instance = ?1 AND w.secret IS NOT NULL AND w.url <> '' ORDER BY w.webhook"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([instance])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(record(row, 0)?);
    }
    Ok(found)
}

/// The number of a webhook that somebody added and nobody removed.
fn number(
    connection: &Connection,
    instance: InstanceId,
    id: WebhookId,
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT w.webhook FROM webhooks w CROSS JOIN instances i ON i.instance = w.instance
              WHERE w.id = ?1 AND i.id = ?2 AND i.deleted = 0 AND w.secret IS NOT NULL AND w.url <> ''",
        )?
        .query_row(
            params![id.as_uuid().as_bytes(), instance.as_uuid().as_bytes()],
            |row| row.get(0),
        )
        .optional()?)
}

fn alter(
    connection: &Connection,
    instance: InstanceId,
    id: WebhookId,
    change: &WebhookChange,
) -> Result<bool, StoreError> {
    let Some(number) = number(connection, instance, id)? else {
        return Ok(false);
    };
    connection
        .prepare_cached(
            "UPDATE webhooks SET url = ?2, events = ?3, custom_data = ?4 WHERE webhook = ?1",
        )?
        .execute(params![
            number,
            change.url,
            change.events.bits(),
            change.custom_data.as_str()
        ])?;
    Ok(true)
}

fn set(
    connection: &Connection,
    instance: InstanceId,
    id: WebhookId,
    disabled: Option<&Disabled>,
) -> Result<bool, StoreError> {
    let Some(number) = number(connection, instance, id)? else {
        return Ok(false);
    };
    match disabled {
        None => connection
            .prepare_cached(
                "UPDATE webhooks SET disabled_since = NULL, disabled_reason = NULL, failing_since = NULL WHERE webhook = ?1",
            )?
            .execute([number])?,
        Some(Disabled { since, reason }) => connection
            .prepare_cached(
                "UPDATE webhooks SET disabled_since = ?2, disabled_reason = ?3
                  WHERE webhook = ?1 AND disabled_since IS NULL",
            )?
            .execute(params![number, since.as_millis(), reason])?,
    };
    Ok(true)
}

/// Begins to remove a webhook: from here on nobody finds it, and nothing is queued for it. A crash leaves the rest to
/// [`tend::tend`].
fn disable_for_good(
    connection: &Connection,
    instance: InstanceId,
    id: WebhookId,
) -> Result<Option<i64>, StoreError> {
    let Some(number) = number(connection, instance, id)? else {
        return Ok(None);
    };
    connection
        .prepare_cached(
            "UPDATE webhooks SET url = '', events = 0, disabled_since = 0, disabled_reason = 'removed' WHERE webhook = ?1",
        )?
        .execute([number])?;
    Ok(Some(number))
}
