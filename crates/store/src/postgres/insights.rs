//! What devices reported, by the hour and by the day; and how many there are.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::publish::PublishId;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{PostgresStore, activity, columns, events, prune, room};
use crate::StoreError;
use crate::activity::{CountedDevices, Day, FoundDevices, WantedDevices};
use crate::insights::{EventDay, EventHour, Insights, ListedEvent};
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

    async fn event_days(
        &self,
        instance: InstanceId,
        from: Day,
        until: Day,
    ) -> Result<Vec<EventDay>, StoreError> {
        self.sessions
            .snapshot((instance, from, until), |s, (instance, from, until)| {
                Box::pin(event_days(s, *instance, *from, *until))
            })
            .await
    }

    async fn roll_up_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.sessions
            .write((before, limit), |s, (before, limit)| {
                Box::pin(roll_up(s, *before, *limit))
            })
            .await
    }

    async fn prune_event_counts(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.sessions
            .write((before, limit), |s, (before, limit)| {
                Box::pin(prune(s, *before, *limit))
            })
            .await
    }

    async fn prune_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let mut pruned = 0;
        while pruned < limit as u64 {
            let piece = self
                .sessions
                .write(before, |s, before| Box::pin(prune::events(s, *before)));
            let Some(is_whole) = piece.await? else { break };
            pruned += u64::from(is_whole);
        }
        Ok(pruned)
    }

    async fn publish_events(
        &self,
        instance: InstanceId,
        id: PublishId,
        kind: EventKind,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<ListedEvent>>, StoreError> {
        let arguments = (instance, id, kind, after, limit);
        self.sessions
            .snapshot(arguments, |s, (instance, id, kind, after, limit)| {
                Box::pin(events::of_publish(s, *instance, *id, *kind, *after, *limit))
            })
            .await
    }

    async fn device_count(&self, instance: InstanceId) -> Result<u64, StoreError> {
        self.sessions
            .read((instance,), |s, (instance,)| {
                Box::pin(room::device_count(s, *instance))
            })
            .await
    }

    async fn count_devices(
        &self,
        instance: InstanceId,
        today: Day,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<CountedDevices, StoreError> {
        let arguments = (instance, today, after, limit);
        self.sessions
            .read(arguments, |s, (instance, today, after, limit)| {
                Box::pin(activity::count(s, *instance, *today, *after, *limit))
            })
            .await
    }

    async fn find_devices(
        &self,
        instance: InstanceId,
        wanted: WantedDevices,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<FoundDevices, StoreError> {
        let arguments = (instance, wanted, after, limit);
        self.sessions
            .snapshot(arguments, |s, (instance, wanted, after, limit)| {
                Box::pin(activity::find(s, *instance, wanted, *after, *limit))
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
    let mut removed = 0;
    for sql in [
        "DELETE FROM event_hours WHERE (instance, hour, platform, kind) IN
            (SELECT instance, hour, platform, kind FROM event_hours WHERE instance = $1 LIMIT $2)",
        "DELETE FROM event_days WHERE (instance, day, platform, kind) IN
            (SELECT instance, day, platform, kind FROM event_days WHERE instance = $1 LIMIT $2)",
    ] {
        let limit = columns::limit(PRUNED_MAX);
        removed += session.execute(sql, &[&instance, &limit]).await?;
    }
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

/// What stands by the hour and what stands by the day are counts of different reports, so they are added.
async fn event_days(
    session: &Session,
    instance: InstanceId,
    from: Day,
    until: Day,
) -> Result<Vec<EventDay>, Fault> {
    let rows = session
        .rows(
            "SELECT c.day, c.platform, c.kind, sum(c.count)::bigint FROM (
                 SELECT h.hour / 86400000 AS day, h.platform, h.kind, h.count FROM instances i
                   JOIN event_hours h ON h.instance = i.instance
                  WHERE i.id = $1 AND i.deleted_by IS NULL AND h.hour >= $2::bigint * 86400000
                    AND h.hour < ($3::bigint + 1) * 86400000
                 UNION ALL
                 SELECT d.day, d.platform, d.kind, d.count FROM instances i
                   JOIN event_days d ON d.instance = i.instance
                  WHERE i.id = $1 AND i.deleted_by IS NULL AND d.day >= $2 AND d.day <= $3) AS c
              GROUP BY c.day, c.platform, c.kind ORDER BY c.day, c.platform, c.kind",
            &[&instance.as_uuid(), &from.number(), &until.number()],
        )
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let kind: String = row.at(2)?;
        Ok(EventDay {
            day: Day::from_number(row.at(0)?),
            platform: columns::platform(row.at::<String>(1)?.as_str())?,
            kind: EventKind::parse(&kind)
                .ok_or_else(|| corrupt(format!("a kind of event {kind:?}")))?,
            count: columns::count(row.at(3)?)?,
        })
    };
    rows.iter().map(read).collect()
}

async fn roll_up(session: &Session, before: Timestamp, limit: usize) -> Result<u64, Fault> {
    // The sum of what is being removed, in the order of its key, as whoever else counts has it.
    let moved: Option<i64> = session
        .value(
            "WITH old AS (DELETE FROM event_hours WHERE (instance, hour, platform, kind) IN
                    (SELECT instance, hour, platform, kind FROM event_hours WHERE hour < $1
                      ORDER BY hour LIMIT $2 FOR UPDATE)
                    RETURNING instance, hour, platform, kind, count),
                  added AS (INSERT INTO event_days (instance, day, platform, kind, count)
                    SELECT instance, hour / 86400000, platform, kind, sum(count)::bigint FROM old
                     GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
                    ON CONFLICT (instance, day, platform, kind) DO UPDATE SET count = event_days.count + excluded.count)
             SELECT count(*) FROM old",
            &[&before.as_millis(), &columns::limit(limit.min(PRUNED_MAX))],
        )
        .await?;
    columns::count(moved.unwrap_or_default())
}

async fn prune(session: &Session, before: Timestamp, limit: usize) -> Result<u64, Fault> {
    let limit = columns::limit(limit.min(PRUNED_MAX));
    let hours = session
        .execute(
            "DELETE FROM event_hours WHERE (instance, hour, platform, kind) IN
                (SELECT instance, hour, platform, kind FROM event_hours WHERE hour < $1 ORDER BY hour LIMIT $2 FOR UPDATE)",
            &[&before.as_millis(), &limit],
        )
        .await?;
    let days = session
        .execute(
            "DELETE FROM event_days WHERE (instance, day, platform, kind) IN
                (SELECT instance, day, platform, kind FROM event_days WHERE day < $1 ORDER BY day LIMIT $2 FOR UPDATE)",
            &[&Day::of(before).number(), &limit],
        )
        .await?;
    Ok(hours + days)
}
