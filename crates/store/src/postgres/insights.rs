//! What devices reported, by the hour.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{PostgresStore, columns};
use crate::StoreError;
use crate::insights::{EventHour, Insights};
use crate::publishes::EventKind;

/// How many counts one transaction forgets at most.
const PRUNED_MAX: usize = 10_000;

/// What is to be counted: instance, hour, platform and kind, by their order in the table, which is the order of their locks.
pub(super) type Counts = BTreeMap<(i64, i64, &'static str, &'static str), i64>;

#[async_trait]
impl Insights for PostgresStore {
    async fn event_hours(
        &self,
        instance: InstanceId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<EventHour>, StoreError> {
        self.sessions
            .read((instance, from, until), |s, (instance, from, until)| {
                Box::pin(event_hours(s, *instance, *from, *until))
            })
            .await
    }

    async fn prune_event_hours(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.sessions
            .write((before, limit), |s, (before, limit)| {
                Box::pin(prune(s, *before, *limit))
            })
            .await
    }
}

async fn event_hours(
    session: &Session,
    instance: InstanceId,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<EventHour>, Fault> {
    let rows = session
        .rows(
            "SELECT h.hour, h.platform, h.kind, h.count FROM event_hours h
               JOIN instances i ON i.instance = h.instance
              WHERE i.id = $1 AND i.deleted_by IS NULL AND h.hour >= $2 AND h.hour < $3
              ORDER BY h.hour, h.platform, h.kind",
            &[&instance.as_uuid(), &from.as_millis(), &until.as_millis()],
        )
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let kind: String = row.at(2)?;
        Ok(EventHour {
            hour: Timestamp::from_millis(row.at(0)?),
            platform: columns::platform(row.at::<String>(1)?.as_str())?,
            kind: EventKind::parse(&kind)
                .ok_or_else(|| corrupt(format!("a kind of event {kind:?}")))?,
            count: columns::count(row.at(3)?)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Adds to the counts. In their order, behind all else that a transaction locks, so that nobody waits in a circle.
pub(super) async fn count(session: &Session, counts: &Counts) -> Result<(), Fault> {
    for ((instance, hour, platform, kind), more) in counts {
        session
            .execute(
                "INSERT INTO event_hours (instance, hour, platform, kind, count) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (instance, hour, platform, kind) DO UPDATE SET count = event_hours.count + excluded.count",
                &[instance, hour, platform, kind, more],
            )
            .await?;
    }
    Ok(())
}

/// Forgets a piece of what was counted for an instance that was deleted; whether there was any.
pub(super) async fn purge(session: &Session, instance: i64) -> Result<bool, Fault> {
    let removed = session
        .execute(
            "DELETE FROM event_hours WHERE (instance, hour, platform, kind) IN
                (SELECT instance, hour, platform, kind FROM event_hours WHERE instance = $1 LIMIT $2)",
            &[&instance, &columns::limit(PRUNED_MAX)],
        )
        .await?;
    Ok(removed > 0)
}

/// The key of a count.
pub(super) const fn key(
    instance: i64,
    hour: Timestamp,
    platform: Platform,
    kind: EventKind,
) -> (i64, i64, &'static str, &'static str) {
    (instance, hour.as_millis(), platform.as_str(), kind.as_str())
}

async fn prune(session: &Session, before: Timestamp, limit: usize) -> Result<u64, Fault> {
    session
        .execute(
            "DELETE FROM event_hours WHERE (instance, hour, platform, kind) IN
                (SELECT instance, hour, platform, kind FROM event_hours WHERE hour < $1
                  ORDER BY instance, hour, platform, kind LIMIT $2 FOR UPDATE)",
            &[&before.as_millis(), &columns::limit(limit.min(PRUNED_MAX))],
        )
        .await
}
