//! Publishes: how one is written, cut into jobs, read back, finished and reported.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;
use domain::publish::{Audience, Publish, PublishId};
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::{audience, columns, instances, interests, jobs, users};
use crate::StoreError;
use crate::publishes::{Plan, PublishReport, ResolvedAudience, Tally};

/// How `payloads` and `audience` are written: JSON of `domain::payload::Payloads`, and what [`encode`] makes.
const FORMAT: i64 = 1;

/// A publish with its audience, as jobs and retries need it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) publish: Arc<Publish>,
    pub(super) audience: Arc<ResolvedAudience>,
}

/// What was written for an accepted publish.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) number: i64,
    pub(super) audience: Arc<ResolvedAudience>,
    pub(super) jobs: Vec<jobs::Claimed>,
}

/// Writes a publish, its payloads (JSON, made by the caller off the writing thread) and its jobs.
pub(super) fn create(
    connection: &Connection,
    publish: &Publish,
    payloads: &str,
    names: &Audience,
    plan: Plan,
) -> Result<Created, StoreError> {
    let instance = instances::known(connection, publish.instance)?;
    let audience = resolve(connection, instance, names)?;
    let ranges = audience::ranges(connection, &audience, plan)?;
    let accepted_at = publish.accepted_at.as_millis();
    let number: i64 = connection
        .prepare_cached(
            "INSERT INTO publishes (instance, id, accepted_at, finished_at) VALUES (?1, ?2, ?3, ?4) RETURNING publish",
        )?
        .query_row(
            params![
                instance,
                publish.id.uuid().as_bytes(),
                accepted_at,
                ranges.is_empty().then_some(accepted_at)
            ],
            |row| row.get(0),
        )?;
    connection
        .prepare_cached(
            "INSERT INTO payloads (publish, format, payloads, audience) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![number, FORMAT, payloads, encode(&audience)])?;
    let jobs = jobs::insert(connection, number, &ranges, plan.lease)?;
    Ok(Created {
        number,
        audience: Arc::new(audience),
        jobs,
    })
}

/// Numbers of the interests or users that somebody is subscribed to or bound to. The others have no devices.
fn resolve(
    connection: &Connection,
    instance: i64,
    audience: &Audience,
) -> Result<ResolvedAudience, StoreError> {
    let mut numbers = Vec::new();
    match audience {
        Audience::Interests(names) => {
            for name in names {
                numbers.extend(interests::number(connection, instance, name)?);
            }
            numbers.sort_unstable();
            Ok(ResolvedAudience::Interests(numbers))
        }
        Audience::Users(ids) => {
            for id in ids {
                numbers.extend(users::number(connection, instance, id)?);
            }
            numbers.sort_unstable();
            Ok(ResolvedAudience::Users(numbers))
        }
    }
}

/// One byte that tells interests (1) from users (2), then each number in eight bytes, least significant first.
fn encode(audience: &ResolvedAudience) -> Vec<u8> {
    let (kind, numbers) = match audience {
        ResolvedAudience::Interests(numbers) => (1, numbers),
        ResolvedAudience::Users(numbers) => (2, numbers),
    };
    let mut blob = Vec::with_capacity(1 + numbers.len() * 8);
    blob.push(kind);
    for number in numbers {
        blob.extend_from_slice(&number.to_le_bytes());
    }
    blob
}

fn decode(blob: &[u8]) -> Result<ResolvedAudience, StoreError> {
    let corrupt = || StoreError::Corrupt("the audience of a publish".into());
    let (kind, rest) = blob.split_first().ok_or_else(corrupt)?;
    let (chunks, []) = rest.as_chunks::<8>() else {
        return Err(corrupt());
    };
    let numbers = chunks
        .iter()
        .map(|chunk| i64::from_le_bytes(*chunk))
        .collect();
    match kind {
        1 => Ok(ResolvedAudience::Interests(numbers)),
        2 => Ok(ResolvedAudience::Users(numbers)),
        _ => Err(corrupt()),
    }
}

/// Reads a publish by its number; `None` if it has been deleted.
pub(super) fn load(connection: &Connection, number: i64) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT i.id, p.id, p.accepted_at, c.format, c.payloads, c.audience
           FROM publishes p CROSS JOIN instances i ON i.instance = p.instance
                CROSS JOIN payloads c ON c.publish = p.publish
          WHERE p.publish = ?1 AND i.deleted = 0",
    )?;
    let mut rows = statement.query([number])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let format: i64 = row.get(3)?;
    if format != FORMAT {
        return Err(StoreError::Corrupt(format!("a publish in format {format}")));
    }
    let payloads = serde_json::from_str(row.get_ref(4)?.as_str()?)
        .map_err(|error| StoreError::Corrupt(format!("the payloads of a publish: {error}")))?;
    Ok(Some(Stored {
        publish: Arc::new(Publish {
            id: PublishId::from_uuid(Uuid::from_bytes(row.get(1)?)),
            instance: InstanceId::from_uuid(Uuid::from_bytes(row.get(0)?)),
            accepted_at: Timestamp::from_millis(row.get(2)?),
            payloads,
        }),
        audience: Arc::new(decode(row.get_ref(5)?.as_blob()?)?),
    }))
}

/// The number of a publish, of any instance.
pub(super) fn number(connection: &Connection, id: PublishId) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT publish FROM publishes WHERE id = ?1")?
        .query_row([id.uuid().as_bytes()], |row| row.get(0))
        .optional()?)
}

/// Notes that a publish is finished, if no work of it is left.
pub(super) fn finish_if_done(
    connection: &Connection,
    number: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE publishes SET finished_at = max(?2, accepted_at)
              WHERE publish = ?1 AND finished_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM jobs WHERE publish = ?1)
                AND NOT EXISTS (SELECT 1 FROM retries WHERE publish = ?1)",
        )?
        .execute([number, now.as_millis()])?;
    Ok(())
}

/// Finishes publishes that lost their last retry together with a device.
pub(super) fn finish_emptied(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    /// Per call; what is over comes with the next.
    const EMPTIED_MAX: i64 = 1000;
    let emptied: Vec<i64> = connection
        .prepare_cached("SELECT publish FROM emptied ORDER BY publish LIMIT ?1")?
        .query_map([EMPTIED_MAX], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for number in emptied {
        finish_if_done(connection, number, now)?;
        connection
            .prepare_cached("DELETE FROM emptied WHERE publish = ?1")?
            .execute([number])?;
    }
    Ok(())
}

pub(super) fn report(
    connection: &Connection,
    instance: InstanceId,
    id: PublishId,
) -> Result<Option<PublishReport>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT p.publish, p.accepted_at, p.finished_at, p.delivered, p.opened
           FROM publishes p CROSS JOIN instances i ON i.instance = p.instance
          WHERE p.id = ?1 AND i.id = ?2 AND i.deleted = 0",
    )?;
    let mut rows = statement.query([id.uuid().as_bytes(), instance.as_uuid().as_bytes()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let number: i64 = row.get(0)?;
    let retries: i64 = connection
        .prepare_cached("SELECT count(*) FROM retries WHERE publish = ?1")?
        .query_row([number], |row| row.get(0))?;
    Ok(Some(PublishReport {
        id,
        accepted_at: Timestamp::from_millis(row.get(1)?),
        finished_at: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
        tallies: tallies(connection, number)?,
        retries: columns::count(retries)?,
        delivered: columns::count(row.get(3)?)?,
        opened: columns::count(row.get(4)?)?,
    }))
}

fn tallies(connection: &Connection, number: i64) -> Result<Vec<Tally>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT platform, outcome, reason, count FROM tallies
          WHERE publish = ?1 ORDER BY platform, outcome, reason",
    )?;
    let mut rows = statement.query([number])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let outcome = row.get_ref(1)?.as_str()?;
        found.push(Tally {
            platform: columns::platform(row.get_ref(0)?.as_str()?)?,
            outcome: OutcomeKind::parse(outcome)
                .ok_or_else(|| StoreError::Corrupt(format!("an outcome {outcome:?}")))?,
            reason: row.get::<_, String>(2)?.into(),
            count: columns::count(row.get(3)?)?,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_reads_back_and_damage_is_told() {
        for audience in [
            ResolvedAudience::Interests(vec![1, 7, i64::MAX]),
            ResolvedAudience::Users(vec![]),
        ] {
            assert_eq!(decode(&encode(&audience)).unwrap(), audience);
        }
        for bad in [&[][..], &[3], &[1, 0, 0], &[2, 1, 2, 3, 4, 5, 6, 7, 8, 9]] {
            assert!(
                matches!(decode(bad), Err(StoreError::Corrupt(_))),
                "{bad:?}"
            );
        }
    }
}
