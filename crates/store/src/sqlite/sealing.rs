//! Sealed values, for whoever changes the master key.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::seal::Sealed;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{SqliteStore, columns};
use crate::StoreError;
use crate::publishes::AHEAD_MAX;
use crate::sealing::{
    NodeKeys, Resealed, SEALED_PAGE_MAX, SealedKind, SealedRow, SealedValue, Sealing,
    ids_from_bytes,
};

#[async_trait]
impl Sealing for SqliteStore {
    async fn sealed_page(
        &self,
        kind: SealedKind,
        after: Option<SealedRow>,
        limit: usize,
    ) -> Result<Vec<SealedValue>, StoreError> {
        self.readers
            .run(move |c| page(c, kind, &after.unwrap_or(SealedRow::FIRST), limit))
            .await
    }

    async fn reseal(&self, kind: SealedKind, values: Vec<Resealed>) -> Result<u64, StoreError> {
        self.writer.run(move |c| reseal(c, kind, &values)).await
    }

    async fn node_keys(&self, now: Timestamp) -> Result<Vec<NodeKeys>, StoreError> {
        self.readers.run(move |c| node_keys(c, now)).await
    }
}

/// The row's number and text, the ids of what it is of, and the value; behind the row `?1, ?2`.
const fn select(kind: SealedKind) -> &'static str {
    match kind {
        SealedKind::VapidKeys => {
            "SELECT instance, '', id, id, vapid_private_key FROM instances
              WHERE instance > ?1 AND ?2 IS NOT NULL ORDER BY instance LIMIT ?3"
        }
        SealedKind::SecretKeys => {
            "SELECT k.secret_key, '', i.id, i.id, k.sealed FROM secret_keys k JOIN instances i USING (instance)
              WHERE k.secret_key > ?1 AND ?2 IS NOT NULL ORDER BY k.secret_key LIMIT ?3"
        }
        SealedKind::Credentials => {
            "SELECT c.instance, c.platform, i.id, i.id, c.sealed FROM credentials c JOIN instances i USING (instance)
              WHERE (c.instance, c.platform) > (?1, ?2) ORDER BY c.instance, c.platform LIMIT ?3"
        }
        SealedKind::WebhookSecrets => {
            "SELECT w.webhook, '', i.id, w.id, w.secret FROM webhooks w JOIN instances i USING (instance)
              WHERE w.webhook > ?1 AND ?2 IS NOT NULL AND w.secret IS NOT NULL ORDER BY w.webhook LIMIT ?3"
        }
        SealedKind::PublishWebhooks => {
            "SELECT b.publish, '', p.id, p.id, b.sealed FROM publish_webhooks b JOIN publishes p USING (publish)
              WHERE b.publish > ?1 AND ?2 IS NOT NULL ORDER BY b.publish LIMIT ?3"
        }
        SealedKind::ProviderTokens => {
            "SELECT 0, name, zeroblob(16), zeroblob(16), sealed FROM provider_tokens
              WHERE name > ?2 AND ?1 IS NOT NULL ORDER BY name LIMIT ?3"
        }
    }
}

/// Puts `?3` in place of `?4` in the row `?1, ?2`.
const fn update(kind: SealedKind) -> &'static str {
    match kind {
        SealedKind::VapidKeys => {
            "UPDATE instances SET vapid_private_key = ?3 WHERE instance = ?1 AND ?2 IS NOT NULL AND vapid_private_key = ?4"
        }
        SealedKind::SecretKeys => {
            "UPDATE secret_keys SET sealed = ?3 WHERE secret_key = ?1 AND ?2 IS NOT NULL AND sealed = ?4"
        }
        SealedKind::Credentials => {
            "UPDATE credentials SET sealed = ?3 WHERE instance = ?1 AND platform = ?2 AND sealed = ?4"
        }
        SealedKind::WebhookSecrets => {
            "UPDATE webhooks SET secret = ?3 WHERE webhook = ?1 AND ?2 IS NOT NULL AND secret = ?4"
        }
        SealedKind::PublishWebhooks => {
            "UPDATE publish_webhooks SET sealed = ?3 WHERE publish = ?1 AND ?2 IS NOT NULL AND sealed = ?4"
        }
        SealedKind::ProviderTokens => {
            "UPDATE provider_tokens SET sealed = ?3 WHERE name = ?2 AND ?1 IS NOT NULL AND sealed = ?4"
        }
    }
}

fn page(
    connection: &Connection,
    kind: SealedKind,
    after: &SealedRow,
    limit: usize,
) -> Result<Vec<SealedValue>, StoreError> {
    let limit = columns::limit(limit.min(SEALED_PAGE_MAX));
    let mut statement = connection.prepare_cached(select(kind))?;
    let mut rows = statement.query(params![after.number, after.text, limit])?;
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(1)?;
        let (id, other) = (Uuid::from_bytes(row.get(2)?), Uuid::from_bytes(row.get(3)?));
        values.push(SealedValue {
            place: kind.place(id, other, &text)?,
            row: SealedRow {
                number: row.get(0)?,
                other: 0,
                text,
            },
            sealed: Sealed::from_bytes(row.get(4)?),
        });
    }
    Ok(values)
}

fn reseal(
    connection: &Connection,
    kind: SealedKind,
    values: &[Resealed],
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(update(kind))?;
    let mut replaced = 0;
    for Resealed { row, from, to } in values {
        replaced += statement.execute(params![
            row.number,
            row.text,
            to.as_bytes(),
            from.as_bytes()
        ])? as u64;
    }
    Ok(replaced)
}

fn node_keys(connection: &Connection, now: Timestamp) -> Result<Vec<NodeKeys>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT node, keys FROM nodes WHERE until > ?1 AND until <= ?2 ORDER BY node",
    )?;
    let mut rows = statement.query([now.as_millis(), now.after(AHEAD_MAX).as_millis()])?;
    let mut nodes = Vec::new();
    while let Some(row) = rows.next()? {
        let keys: Option<Vec<u8>> = row.get(1)?;
        nodes.push(NodeKeys {
            node: Uuid::from_bytes(row.get(0)?),
            keys: ids_from_bytes(keys.as_deref()),
        });
    }
    Ok(nodes)
}
