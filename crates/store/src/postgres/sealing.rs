//! Sealed values, for whoever changes the master key.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::seal::Sealed;

use super::PostgresStore;
use super::fault::Fault;
use super::session::{Columns as _, Session};
use crate::StoreError;
use crate::publishes::AHEAD_MAX;
use crate::sealing::{
    NodeKeys, Resealed, SEALED_PAGE_MAX, SealedKind, SealedRow, SealedValue, Sealing,
    ids_from_bytes,
};

#[async_trait]
impl Sealing for PostgresStore {
    async fn sealed_page(
        &self,
        kind: SealedKind,
        after: Option<SealedRow>,
        limit: usize,
    ) -> Result<Vec<SealedValue>, StoreError> {
        self.sessions
            .read(
                (kind, after.unwrap_or(SealedRow::FIRST), limit),
                |s, (kind, after, limit)| Box::pin(page(s, *kind, after, *limit)),
            )
            .await
    }

    async fn reseal(&self, kind: SealedKind, values: Vec<Resealed>) -> Result<u64, StoreError> {
        self.sessions
            .write((kind, values), |s, (kind, values)| {
                Box::pin(reseal(s, *kind, values))
            })
            .await
    }

    async fn node_keys(&self, now: Timestamp) -> Result<Vec<NodeKeys>, StoreError> {
        self.sessions
            .read(now, |s, now| Box::pin(node_keys(s, *now)))
            .await
    }
}

/// The row's numbers and text, the ids of what it is of, and the value; behind the row `$1, $2, $3`.
const fn select(kind: SealedKind) -> &'static str {
    match kind {
        SealedKind::VapidKeys => {
            "SELECT instance, 0::bigint, '', id, id, vapid_private_key FROM instances
              WHERE instance > $1 AND $2::bigint IS NOT NULL AND $3::text IS NOT NULL ORDER BY instance LIMIT $4"
        }
        SealedKind::SecretKeys => {
            "SELECT k.instance, k.secret_key, '', i.id, i.id, k.sealed FROM secret_keys k JOIN instances i USING (instance)
              WHERE (k.instance, k.secret_key) > ($1, $2) AND $3::text IS NOT NULL
              ORDER BY k.instance, k.secret_key LIMIT $4"
        }
        SealedKind::Credentials => {
            "SELECT c.instance, 0::bigint, c.platform, i.id, i.id, c.sealed FROM credentials c JOIN instances i USING (instance)
              WHERE (c.instance, c.platform) > ($1, $3) AND $2::bigint IS NOT NULL
              ORDER BY c.instance, c.platform LIMIT $4"
        }
        SealedKind::WebhookSecrets => {
            "SELECT w.webhook, 0::bigint, '', i.id, w.id, w.secret FROM webhooks w JOIN instances i USING (instance)
              WHERE w.webhook > $1 AND $2::bigint IS NOT NULL AND $3::text IS NOT NULL AND w.secret IS NOT NULL
              ORDER BY w.webhook LIMIT $4"
        }
        SealedKind::PublishWebhooks => {
            "SELECT b.instance, b.publish, '', p.id, p.id, b.sealed FROM publish_webhooks b
               JOIN publishes p ON p.instance = b.instance AND p.publish = b.publish
              WHERE (b.instance, b.publish) > ($1, $2) AND $3::text IS NOT NULL
              ORDER BY b.instance, b.publish LIMIT $4"
        }
        SealedKind::ProviderTokens => {
            "SELECT 0::bigint, 0::bigint, name, gen_random_uuid(), gen_random_uuid(), sealed FROM provider_tokens
              WHERE name > $3 AND $1::bigint IS NOT NULL AND $2::bigint IS NOT NULL ORDER BY name LIMIT $4"
        }
    }
}

/// Puts `$4` in place of `$5` in the row `$1, $2, $3`.
const fn update(kind: SealedKind) -> &'static str {
    match kind {
        SealedKind::VapidKeys => {
            "UPDATE instances SET vapid_private_key = $4 WHERE instance = $1
                AND $2::bigint IS NOT NULL AND $3::text IS NOT NULL AND vapid_private_key = $5"
        }
        SealedKind::SecretKeys => {
            "UPDATE secret_keys SET sealed = $4 WHERE instance = $1 AND secret_key = $2 AND $3::text IS NOT NULL AND sealed = $5"
        }
        SealedKind::Credentials => {
            "UPDATE credentials SET sealed = $4 WHERE instance = $1 AND platform = $3 AND $2::bigint IS NOT NULL AND sealed = $5"
        }
        SealedKind::WebhookSecrets => {
            "UPDATE webhooks SET secret = $4 WHERE webhook = $1
                AND $2::bigint IS NOT NULL AND $3::text IS NOT NULL AND secret = $5"
        }
        SealedKind::PublishWebhooks => {
            "UPDATE publish_webhooks SET sealed = $4 WHERE instance = $1 AND publish = $2
                AND $3::text IS NOT NULL AND sealed = $5"
        }
        SealedKind::ProviderTokens => {
            "UPDATE provider_tokens SET sealed = $4 WHERE name = $3
                AND $1::bigint IS NOT NULL AND $2::bigint IS NOT NULL AND sealed = $5"
        }
    }
}

async fn page(
    session: &Session,
    kind: SealedKind,
    after: &SealedRow,
    limit: usize,
) -> Result<Vec<SealedValue>, Fault> {
    let limit = i64::try_from(limit.min(SEALED_PAGE_MAX)).unwrap_or(i64::MAX);
    let rows = session
        .rows(
            select(kind),
            &[&after.number, &after.other, &after.text, &limit],
        )
        .await?;
    let mut values = Vec::with_capacity(rows.len());
    for row in &rows {
        let text: String = row.at(2)?;
        values.push(SealedValue {
            place: kind.place(row.at(3)?, row.at(4)?, &text)?,
            row: SealedRow {
                number: row.at(0)?,
                other: row.at(1)?,
                text,
            },
            sealed: Sealed::from_bytes(row.at(5)?),
        });
    }
    Ok(values)
}

/// In the order of the rows, so that two who do this do not wait for each other.
async fn reseal(session: &Session, kind: SealedKind, values: &[Resealed]) -> Result<u64, Fault> {
    let mut replaced = 0;
    for Resealed { row, from, to } in values {
        replaced += session
            .execute(
                update(kind),
                &[
                    &row.number,
                    &row.other,
                    &row.text,
                    &to.as_bytes(),
                    &from.as_bytes(),
                ],
            )
            .await?;
    }
    Ok(replaced)
}

async fn node_keys(session: &Session, now: Timestamp) -> Result<Vec<NodeKeys>, Fault> {
    let rows = session
        .rows(
            "SELECT node, keys FROM nodes WHERE until > $1 AND until <= $2 ORDER BY node",
            &[&now.as_millis(), &now.after(AHEAD_MAX).as_millis()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let keys: Option<Vec<u8>> = row.at(1)?;
            Ok(NodeKeys {
                node: row.at(0)?,
                keys: ids_from_bytes(keys.as_deref()),
            })
        })
        .collect()
}
