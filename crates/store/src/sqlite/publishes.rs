//! Publishes: how one is written, cut into jobs, read back and finished.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::publish::{Audience, Publish, PublishId};
use domain::trace::TraceParent;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::keys::{self, Taken};
use super::{audience, columns, instances, interests, jobs, lists, scheduled, users, webhooks};
use crate::StoreError;
use crate::lookup::PublishState;
use crate::publishes::{NewPublish, Plan, ResolvedAudience};
use crate::stored::{FORMAT, Stored, Texts, accepting, decode, encode};

/// The words of `state`.
pub(super) const SCHEDULED: &str = PublishState::Scheduled.as_str();
pub(super) const RUNNING: &str = PublishState::Running.as_str();
pub(super) const FINISHED: &str = PublishState::Finished.as_str();
pub(super) const CANCELLED: &str = PublishState::Cancelled.as_str();

/// What was written for an accepted publish, whose jobs find it by its number.
pub(super) type Created = accepting::Created<i64>;
/// What became of a request.
pub(super) type Outcome = accepting::Outcome<i64>;

/// Writes a publish and its jobs, or when it is to be sent.
pub(super) fn create(
    connection: &Connection,
    new: &NewPublish,
    texts: &Texts,
    plan: Plan,
) -> Result<Outcome, StoreError> {
    let publish = &*new.publish;
    let instance = instances::known(connection, publish.instance)?;
    if let Some(once) = &new.once {
        match keys::take(connection, instance, once, publish.id, publish.accepted_at)? {
            Taken::Now => {}
            Taken::Before(id) => return Ok(Outcome::Repeated(id)),
            Taken::ByAnother => return Ok(Outcome::KeyReused),
        }
    }
    let (mut audience, mut users) = (ResolvedAudience::Interests(Vec::new()), None);
    let (mut ranges, mut first_page) = (Vec::new(), None);
    if texts.scheduled.is_none() {
        (audience, users) = resolve(connection, instance, &new.audience)?;
        let wanted = Platform::ALL.map(|platform| publish.payloads.has(platform));
        if let Some(whole) = audience::whole(connection, &audience, plan, wanted)? {
            ranges.push(whole.range);
            first_page = Some(whole.page);
        } else {
            ranges = audience::ranges(connection, &audience, plan)?;
        }
    }
    let state = match &texts.scheduled {
        Some(_) => SCHEDULED,
        None if ranges.is_empty() => FINISHED,
        None => RUNNING,
    };
    let number = insert(connection, instance, new, state)?;
    if let Audience::List(list) = new.audience {
        lists::take(connection, instance, list, number)?;
    }
    connection
        .prepare_cached(
            "INSERT INTO payloads (publish, format, payloads, audience, users, trace, interests)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            number,
            FORMAT,
            texts.payloads,
            encode(&audience),
            users,
            publish.trace.map(TraceParent::to_bytes),
            texts.interests
        ])?;
    if let Some(names) = &texts.scheduled {
        scheduled::insert(connection, number, publish.send_at, names)?;
    }
    if let Some(brought) = &new.webhook {
        webhooks::keep_brought(connection, number, brought)?;
    }
    if state != SCHEDULED {
        webhooks::publish_begun(connection, number)?;
    }
    if state == FINISHED {
        webhooks::publish_ended(connection, number)?;
    }
    let jobs = jobs::insert(connection, number, &ranges, plan.lease)?;
    Ok(Outcome::New(Created {
        number,
        audience: Arc::new(audience),
        jobs,
        first_page,
    }))
}

fn insert(
    connection: &Connection,
    instance: i64,
    new: &NewPublish,
    state: &str,
) -> Result<i64, StoreError> {
    let publish = &*new.publish;
    let accepted_at = publish.accepted_at.as_millis();
    let is_later = publish.send_at > publish.accepted_at;
    connection
        .prepare_cached(
            "INSERT INTO publishes (instance, id, accepted_at, finished_at, state, send_at, expires_at, named, named_count)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            instance,
            publish.id.uuid().as_bytes(),
            accepted_at,
            (state == FINISHED).then_some(accepted_at),
            state,
            is_later.then(|| publish.send_at.as_millis()),
            publish.expires_at.map(Timestamp::as_millis),
            new.audience.kind().as_str(),
            columns::limit(new.audience.named())
        ])?;
    Ok(connection.last_insert_rowid())
}

/// Numbers of the interests or users that somebody is subscribed to or bound to; the others have no devices. For users, all
/// that were named too, as `payloads.users` keeps them.
pub(super) fn resolve(
    connection: &Connection,
    instance: i64,
    audience: &Audience,
) -> Result<(ResolvedAudience, Option<String>), StoreError> {
    let mut numbers = Vec::new();
    match audience {
        Audience::List(list) => Ok((ResolvedAudience::Listed(list.number), None)),
        Audience::Interests(names) => {
            for name in names {
                numbers.extend(interests::number(connection, instance, name)?);
            }
            numbers.sort_unstable();
            Ok((ResolvedAudience::Interests(numbers), None))
        }
        Audience::Users(ids) => {
            let mut named = Vec::with_capacity(ids.len());
            for id in ids {
                let number = users::number(connection, instance, id)?;
                numbers.extend(number);
                named.push((id, number));
            }
            numbers.sort_unstable();
            let named = serde_json::to_string(&named)
                .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
            Ok((ResolvedAudience::Users(numbers), Some(named)))
        }
    }
}

/// Reads a publish by its number; `None` if it has been deleted.
pub(super) fn load(connection: &Connection, number: i64) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT i.id, p.id, p.accepted_at, c.format, c.payloads, c.audience, p.send_at, p.expires_at, c.trace
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
    let accepted_at = row.get(2)?;
    Ok(Some(Stored {
        publish: Arc::new(Publish {
            id: PublishId::from_uuid(Uuid::from_bytes(row.get(1)?)),
            instance: InstanceId::from_uuid(Uuid::from_bytes(row.get(0)?)),
            accepted_at: Timestamp::from_millis(accepted_at),
            send_at: Timestamp::from_millis(row.get::<_, Option<i64>>(6)?.unwrap_or(accepted_at)),
            expires_at: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
            payloads,
            trace: row
                .get_ref(8)?
                .as_blob_or_null()?
                .and_then(TraceParent::from_bytes),
        }),
        audience: Arc::new(decode(row.get_ref(5)?.as_blob()?)?),
    }))
}

/// The number of a publish, of any instance, whose work goes on.
pub(super) fn number(connection: &Connection, id: PublishId) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT publish FROM publishes WHERE id = ?1 AND state <> 'cancelled'")?
        .query_row([id.uuid().as_bytes()], |row| row.get(0))
        .optional()?)
}

/// Notes that a publish is finished, if no work of it is left.
pub(super) fn finish_if_done(
    connection: &Connection,
    number: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ended = connection
        .prepare_cached(
            "UPDATE publishes SET finished_at = max(?2, accepted_at), state = 'finished'
              WHERE publish = ?1 AND state = 'running'
                AND NOT EXISTS (SELECT 1 FROM jobs WHERE publish = ?1)
                AND NOT EXISTS (SELECT 1 FROM retries WHERE publish = ?1)",
        )?
        .execute([number, now.as_millis()])?;
    if ended > 0 {
        webhooks::publish_ended(connection, number)?;
    }
    Ok(())
}

/// Notes that a publish that had not ended has ended in this state.
pub(super) fn end(
    connection: &Connection,
    number: i64,
    state: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE publishes SET finished_at = max(?2, accepted_at), state = ?3
              WHERE publish = ?1 AND finished_at IS NULL",
        )?
        .execute(params![number, now.as_millis(), state])?;
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
