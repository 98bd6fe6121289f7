//! What devices reported, by the hour.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use rusqlite::{Connection, params};

use super::{SqliteStore, columns};
use crate::StoreError;
use crate::insights::{EventHour, Insights};
use crate::publishes::EventKind;

/// How many counts one transaction forgets at most.
const PRUNED_MAX: usize = 10_000;

#[async_trait]
impl Insights for SqliteStore {
    async fn event_hours(
        &self,
        instance: InstanceId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<EventHour>, StoreError> {
        self.readers
            .run(move |c| event_hours(c, instance, from, until))
            .await
    }

    async fn prune_event_hours(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.writer.run(move |c| prune(c, before, limit)).await
    }
}

fn event_hours(
    connection: &Connection,
    instance: InstanceId,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<EventHour>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT h.hour, h.platform, h.kind, h.count FROM event_hours h
           JOIN instances i ON i.instance = h.instance
          WHERE i.id = ?1 AND i.deleted = 0 AND h.hour >= ?2 AND h.hour < ?3
          ORDER BY h.hour, h.platform, h.kind",
    )?;
    let mut rows = statement.query(params![
        instance.as_uuid().as_bytes(),
        from.as_millis(),
        until.as_millis()
    ])?;
    let mut hours = Vec::new();
    while let Some(row) = rows.next()? {
        let (platform, kind): (String, String) = (row.get(1)?, row.get(2)?);
        let damaged = || StoreError::Corrupt(format!("a count of {platform:?} and {kind:?}"));
        hours.push(EventHour {
            hour: Timestamp::from_millis(row.get(0)?),
            platform: Platform::parse(&platform).ok_or_else(damaged)?,
            kind: EventKind::parse(&kind).ok_or_else(damaged)?,
            count: u64::try_from(row.get::<_, i64>(3)?).map_err(|_| damaged())?,
        });
    }
    Ok(hours)
}

/// Counts one report more.
pub(super) fn count(
    connection: &Connection,
    instance: i64,
    hour: Timestamp,
    platform: Platform,
    kind: EventKind,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO event_hours (instance, hour, platform, kind, count) VALUES (?1, ?2, ?3, ?4, 1)
             ON CONFLICT DO UPDATE SET count = count + 1",
        )?
        .execute(params![
            instance,
            hour.as_millis(),
            platform.as_str(),
            kind.as_str()
        ])?;
    Ok(())
}

fn prune(connection: &Connection, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM event_hours WHERE (instance, hour, platform, kind) IN
                (SELECT instance, hour, platform, kind FROM event_hours WHERE hour < ?1 LIMIT ?2)",
        )?
        .execute(params![
            before.as_millis(),
            columns::limit(limit.min(PRUNED_MAX))
        ])?;
    Ok(removed as u64)
}
