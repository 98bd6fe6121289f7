//! What devices reported, by the hour and by the day; and how many there are.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::publish::PublishId;
use rusqlite::{Connection, params};

use super::{SqliteStore, activity, columns, devices, events, instances, prune};
use crate::StoreError;
use crate::activity::{CountedDevices, Day, FoundDevices, WantedDevices};
use crate::insights::{EventDay, EventHour, Insights, ListedEvent};
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

    async fn event_days(
        &self,
        instance: InstanceId,
        from: Day,
        until: Day,
    ) -> Result<Vec<EventDay>, StoreError> {
        self.readers
            .run(move |c| event_days(c, instance, from, until))
            .await
    }

    async fn roll_up_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.writer.run(move |c| roll_up(c, before, limit)).await
    }

    async fn prune_event_counts(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.writer.run(move |c| prune(c, before, limit)).await
    }

    async fn prune_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let mut pruned = 0;
        while pruned < limit as u64 {
            let piece = self.writer.run(move |c| prune::events(c, before)).await?;
            let Some(is_whole) = piece else { break };
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
        self.readers
            .run(move |c| events::of_publish(c, instance, id, kind, after, limit))
            .await
    }

    async fn device_count(&self, instance: InstanceId) -> Result<u64, StoreError> {
        self.readers
            .run(move |c| match instances::number(c, instance)? {
                Some(instance) => devices::count(c, instance),
                None => Ok(0),
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
        self.readers
            .run(move |c| activity::count(c, instance, today, after, limit))
            .await
    }

    async fn find_devices(
        &self,
        instance: InstanceId,
        wanted: WantedDevices,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<FoundDevices, StoreError> {
        self.readers
            .run(move |c| activity::find(c, instance, &wanted, after, limit))
            .await
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

/// What stands by the hour and what stands by the day are counts of different reports, so they are added.
fn event_days(
    connection: &Connection,
    instance: InstanceId,
    from: Day,
    until: Day,
) -> Result<Vec<EventDay>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT c.day, c.platform, c.kind, sum(c.count) FROM (
             SELECT h.hour / 86400000 AS day, h.platform, h.kind, h.count FROM instances i
               CROSS JOIN event_hours h ON h.instance = i.instance
              WHERE i.id = ?1 AND i.deleted = 0 AND h.hour >= ?2 * 86400000 AND h.hour < (?3 + 1) * 86400000
             UNION ALL
             SELECT d.day, d.platform, d.kind, d.count FROM instances i
               CROSS JOIN event_days d ON d.instance = i.instance
              WHERE i.id = ?1 AND i.deleted = 0 AND d.day >= ?2 AND d.day <= ?3) AS c
          GROUP BY c.day, c.platform, c.kind ORDER BY c.day, c.platform, c.kind",
    )?;
    let mut rows = statement.query(params![
        instance.as_uuid().as_bytes(),
        from.number(),
        until.number()
    ])?;
    let mut days = Vec::new();
    while let Some(row) = rows.next()? {
        let (platform, kind) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
        days.push(EventDay {
            day: Day::from_number(row.get(0)?),
            platform: columns::platform(platform)?,
            kind: EventKind::parse(kind)
                .ok_or_else(|| StoreError::Corrupt(format!("a kind of event {kind:?}")))?,
            count: columns::count(row.get(3)?)?,
        });
    }
    Ok(days)
}

fn roll_up(connection: &Connection, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let old: Vec<(i64, i64, String, String, i64)> = connection
        .prepare_cached(
            "SELECT instance, hour, platform, kind, count FROM event_hours WHERE hour < ?1 ORDER BY hour LIMIT ?2",
        )?
        .query_map(
            params![before.as_millis(), columns::limit(limit.min(PRUNED_MAX))],
            |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            },
        )?
        .collect::<Result<_, _>>()?;
    let mut add = connection.prepare_cached(
        "INSERT INTO event_days (instance, day, platform, kind, count) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET count = count + excluded.count",
    )?;
    let mut remove = connection.prepare_cached(
        "DELETE FROM event_hours WHERE instance = ?1 AND hour = ?2 AND platform = ?3 AND kind = ?4",
    )?;
    for (instance, hour, platform, kind, count) in &old {
        let day = Day::of(Timestamp::from_millis(*hour));
        add.execute(params![instance, day.number(), platform, kind, count])?;
        remove.execute(params![instance, hour, platform, kind])?;
    }
    Ok(old.len() as u64)
}

fn prune(connection: &Connection, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let limit = columns::limit(limit.min(PRUNED_MAX));
    let hours = connection
        .prepare_cached(
            "DELETE FROM event_hours WHERE (instance, hour, platform, kind) IN
                (SELECT instance, hour, platform, kind FROM event_hours WHERE hour < ?1 LIMIT ?2)",
        )?
        .execute(params![before.as_millis(), limit])?;
    let days = connection
        .prepare_cached(
            "DELETE FROM event_days WHERE (instance, day, platform, kind) IN
                (SELECT instance, day, platform, kind FROM event_days WHERE day < ?1 LIMIT ?2)",
        )?
        .execute(params![Day::of(before).number(), limit])?;
    Ok((hours + days) as u64)
}
