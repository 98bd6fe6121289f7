//! Trails: appended in order, read by number, kept short.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::publish::PublishId;
use domain::user::UserId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{SqliteStore, columns, instances};
use crate::StoreError;
use crate::console::{
    Addressee, Console, TRAIL_LENGTH_MAX, Trace, TraceKind, TraceNumber, Watched,
};

#[async_trait]
impl Console for SqliteStore {
    async fn watch_trail(&self, instance: InstanceId, until: Timestamp) -> Result<(), StoreError> {
        let watch = move |c: &Connection| {
            let instance = instances::known(c, instance)?;
            c.prepare_cached(
                "INSERT INTO console (instance, watched_until) VALUES (?1, ?2)
                 ON CONFLICT (instance) DO UPDATE SET watched_until = max(watched_until, excluded.watched_until)",
            )?
            .execute([instance, until.as_millis()])?;
            Ok(())
        };
        self.writer.run(watch).await
    }

    async fn watched_trails(&self, now: Timestamp) -> Result<Vec<Watched>, StoreError> {
        self.readers.run(move |c| watched(c, now)).await
    }

    async fn show_payloads(&self, instance: InstanceId, shows: bool) -> Result<(), StoreError> {
        let set = move |c: &Connection| {
            let instance = instances::known(c, instance)?;
            c.prepare_cached(
                "INSERT INTO console (instance, shows_payloads) VALUES (?1, ?2)
                 ON CONFLICT (instance) DO UPDATE SET shows_payloads = excluded.shows_payloads",
            )?
            .execute(params![instance, shows])?;
            Ok(())
        };
        self.writer.run(set).await
    }

    async fn shows_payloads(&self, instance: InstanceId) -> Result<bool, StoreError> {
        let read = move |c: &Connection| {
            let Some(instance) = instances::number(c, instance)? else {
                return Ok(false);
            };
            let shows = c
                .prepare_cached("SELECT shows_payloads FROM console WHERE instance = ?1")?
                .query_row([instance], |row| row.get(0))
                .optional()?;
            Ok(shows.unwrap_or(false))
        };
        self.readers.run(read).await
    }

    async fn append_trail(
        &self,
        instance: InstanceId,
        traces: Vec<Trace>,
    ) -> Result<(), StoreError> {
        self.writer.run(move |c| append(c, instance, &traces)).await
    }

    async fn trail(
        &self,
        instance: InstanceId,
        after: Option<TraceNumber>,
        limit: usize,
    ) -> Result<Vec<(TraceNumber, Trace)>, StoreError> {
        self.readers
            .run(move |c| read(c, instance, after, limit))
            .await
    }

    async fn addressees(
        &self,
        instance: InstanceId,
        devices: Vec<DeviceOrdinal>,
    ) -> Result<Vec<Addressee>, StoreError> {
        self.readers
            .run(move |c| addressees(c, instance, &devices))
            .await
    }

    async fn prune_trails(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let prune = move |c: &Connection| {
            let deleted = c
                .prepare_cached(
                    "DELETE FROM trail WHERE trace IN (SELECT trace FROM trail WHERE at < ?1 LIMIT ?2)",
                )?
                .execute(params![before.as_millis(), columns::limit(limit)])?;
            Ok(deleted as u64)
        };
        self.writer.run(prune).await
    }
}

fn watched(connection: &Connection, now: Timestamp) -> Result<Vec<Watched>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, shows_payloads FROM console CROSS JOIN instances USING (instance) WHERE watched_until > ?1 AND deleted = 0",
    )?;
    let rows = statement.query_and_then([now.as_millis()], |row| {
        Ok(Watched {
            instance: InstanceId::from_uuid(Uuid::from_bytes(row.get(0)?)),
            shows_payloads: row.get(1)?,
        })
    })?;
    rows.collect()
}

fn append(connection: &Connection, id: InstanceId, traces: &[Trace]) -> Result<(), StoreError> {
    let instance = match instances::known(connection, id) {
        Err(StoreError::UnknownInstance) => return Ok(()),
        known => known?,
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO trail (instance, at, kind, device, user, publish, interests, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for trace in traces {
        let interests: Vec<&str> = trace.interests.iter().map(InterestName::as_str).collect();
        insert.execute(params![
            instance,
            trace.at.as_millis(),
            trace.kind.as_str(),
            trace.device.map(|device| device.to_string()),
            trace.user.as_ref().map(UserId::as_str),
            trace.publish.map(|publish| publish.to_string()),
            interests.join("\n"),
            trace.detail,
        ])?;
    }
    connection
        .prepare_cached(
            "DELETE FROM trail WHERE instance = ?1 AND trace <= (
                 SELECT trace FROM trail WHERE instance = ?1 ORDER BY trace DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![instance, columns::limit(TRAIL_LENGTH_MAX)])?;
    Ok(())
}

fn read(
    connection: &Connection,
    instance: InstanceId,
    after: Option<TraceNumber>,
    limit: usize,
) -> Result<Vec<(TraceNumber, Trace)>, StoreError> {
    let Some(instance) = instances::number(connection, instance)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(match after {
        Some(_) => {
            "SELECT trace, at, kind, device, user, publish, interests, detail
               FROM trail WHERE instance = ?1 AND trace > ?2 ORDER BY trace LIMIT ?3"
        }
        None => {
            "SELECT trace, at, kind, device, user, publish, interests, detail
               FROM trail WHERE instance = ?1 AND trace > ?2 ORDER BY trace DESC LIMIT ?3"
        }
    })?;
    let after_number = after.map_or(0, |after| after.0);
    let arguments = params![instance, after_number, columns::limit(limit)];
    let rows = statement.query_and_then(arguments, trace)?;
    let mut traces = rows.collect::<Result<Vec<_>, _>>()?;
    if after.is_none() {
        traces.reverse();
    }
    Ok(traces)
}

fn trace(row: &Row<'_>) -> Result<(TraceNumber, Trace), StoreError> {
    let text = |at: usize| row.get::<_, Option<String>>(at);
    let corrupt = || StoreError::Corrupt("a trace that cannot be read".to_owned());
    let interests: String = row.get(6)?;
    let interests: Result<Vec<_>, _> = interests.lines().map(InterestName::parse).collect();
    let trace = Trace {
        at: Timestamp::from_millis(row.get(1)?),
        kind: text(2)?
            .as_deref()
            .and_then(TraceKind::parse)
            .ok_or_else(corrupt)?,
        device: text(3)?.as_deref().and_then(DeviceId::parse),
        user: text(4)?.and_then(|user| UserId::parse(user).ok()),
        publish: text(5)?.as_deref().and_then(PublishId::parse),
        interests: interests.map_err(|_| corrupt())?,
        detail: row.get(7)?,
    };
    Ok((TraceNumber(row.get(0)?), trace))
}

fn addressees(
    connection: &Connection,
    instance: InstanceId,
    devices: &[DeviceOrdinal],
) -> Result<Vec<Addressee>, StoreError> {
    let Some(instance) = instances::number(connection, instance)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(
        "SELECT d.platform, d.id, u.id FROM devices d LEFT JOIN users u ON u.user_number = d.user_number
          WHERE d.device = ?1 AND d.instance = ?2",
    )?;
    let mut found = Vec::new();
    for ordinal in devices {
        let row = statement
            .query_row([ordinal.0, instance], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, [u8; 16]>(1)?,
                    row.get::<_, Option<String>>(2)?,
                ))
            })
            .optional()?;
        let Some((platform, id, user)) = row else {
            continue;
        };
        found.push(Addressee {
            ordinal: *ordinal,
            device: DeviceId::from_parts(columns::platform(&platform)?, Uuid::from_bytes(id)),
            user: user.and_then(|user| UserId::parse(user).ok()),
        });
    }
    Ok(found)
}

/// Removes the lines that name a user, or one of the user's devices.
pub(super) fn forget_user(
    connection: &Connection,
    instance: i64,
    user: &UserId,
    devices: &[DeviceId],
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM trail WHERE instance = ?1 AND user = ?2")?
        .execute(params![instance, user.as_str()])?;
    let mut of_device =
        connection.prepare_cached("DELETE FROM trail WHERE instance = ?1 AND device = ?2")?;
    for device in devices {
        of_device.execute(params![instance, device.to_string()])?;
    }
    Ok(())
}
